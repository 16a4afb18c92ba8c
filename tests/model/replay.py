"""Walks a path of the model on the real engine and database, one action after the other, and compares the two.

The engine's functions are the real ones, and so is the database. Of the time only this is made: when the
model says that something is over, it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

import sagas
from sagas import Rejected, Saga, store
from sagas.decisions.messages import Chain, Deadline, Message
from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.definition.participants import Call
from sagas.engine import lifecycle
from sagas.engine.claiming import claim
from sagas.engine.performing import perform
from sagas.escalations import actions
from sagas.models import Confirmation as Received
from sagas.models import Escalation, Log, Run
from sagas.states import State
from tests.lab.sagas import Boom, Experiment
from tests.model import world
from tests.model.world import PHASES, Row, World, name
from tests.support.runs import shift_clock

#: Seconds; longer than any test takes, so that nothing is over before the model says so.
LONG = 3600.0
FATES = (", and comes again", ", dies before it publishes")
#: Without messages of the run's own, the engine and the model say the same in no words.
_AT_FORKS = (State.EXECUTING, State.CONFIRMING)


@dataclass
class Participants:
    """What participants do next: nothing but their work, unless a walk wants them to break or to say no."""

    mood: str = ""

    def judge(self, call: Call[Any]) -> None:
        """Stands for the laboratory's own ``judge``."""
        if self.mood == "breaks":
            raise Boom(self.mood)
        if self.mood == "says no":
            raise Rejected(self.mood)


@dataclass
class Replay:
    """One run, in the engine and in the model.

    Attributes:
        saga: its definition; all its participants ask ``participants``.
        air: the real messages, by what they are in the model.
    """

    saga: type[Saga[Any]]
    participants: Participants
    run_id: UUID = field(init=False)
    air: dict[world.Message, Message] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the run."""
        self.run_id = sagas.start(self.saga, Experiment())

    @property
    def definition(self) -> Definition:
        """The saga's."""
        return self.saga.definition

    def step(self, label: str, before: World, after: World) -> None:
        """Do in the engine what the model has done."""
        who, _, what = label.partition(": ")
        for fate in FATES:
            what = what.removesuffix(fate)
        if who == "time":
            self._pass_time(before.row, after.row)
        elif label.endswith(" is lost"):
            (lost,) = before.air - after.air
            del self.air[lost]
        elif who == "claim":
            self._publish(self._claim(what, before.row), label)
        elif who in {"the customer", "a person"}:
            self._decide(what)
        else:
            (message,) = (m for m in before.air if name(self.definition, m) == who)
            published = self._deliver(self.air[message], what)
            if not label.endswith(FATES):
                del self.air[message]
            self._publish(published, label)
        if after.row.started and not before.row.started:
            # It has begun: its time is not over before the model says so.
            shift_clock([self.run_id], -LONG)

    def compare(self, expected: World) -> None:
        """Whether both are in the same state."""
        assert self._row(expected.row) == expected.row._replace(why="", over=False)
        assert frozenset(self.air) == expected.air
        assert self._effects() == expected.effects

    def leave(self) -> None:
        """Nothing is due any more, however long the other walks take."""
        far = datetime(2100, 1, 1, tzinfo=UTC)
        Run.objects.filter(pk=self.run_id, due_at__isnull=False).update(due_at=far)

    # -- Actions ----------------------------------------------------------------------------------------------

    def _decide(self, what: str) -> None:
        match what:
            case "confirms":
                lifecycle.receive_confirmation(self.run_id, self.definition.confirmations[0].name, "{}")
            case "cancels":
                lifecycle.cancel_run(self.run_id, reason="", by="")
            case "resumes it":
                actions.resume(self.run_id, by="somebody", note="")
            case _:
                outcome = State(what.removeprefix("resolves it as "))
                actions.resolve(self.run_id, outcome=outcome, by="somebody", note="done")

    def _claim(self, what: str, row: Row) -> list[Message]:
        claimed = claim(lapsed=row.claims > 0)
        assert claimed.count == 1
        if what.startswith("is refused by the broker"):
            store.claims.release_leases([i for m in claimed.messages if isinstance(m, Chain) for i in m.ids])
            kept = Chain if what.endswith("which has it") else ()
            return [message for message in claimed.messages if isinstance(message, kept)]
        return claimed.messages

    def _deliver(self, message: Message, what: str) -> list[Message]:
        if isinstance(message, Deadline):
            return lifecycle.expire_unconfirmed(
                message.saga, message.version, message.confirmation, message.ids, by="message"
            )
        assert isinstance(message, Chain)
        self.participants.mood = what
        try:
            performed = perform(message.links[0], message.ids, token=message.token)
        finally:
            self.participants.mood = ""
        rest = message.links[1:]
        going = [Chain(rest, tuple(performed.survivors))] if rest and performed.survivors else []
        return [*performed.messages, *going]

    def _publish(self, messages: list[Message], label: str) -> None:
        if label.endswith("dies before it publishes"):
            return
        for message in messages:
            if isinstance(message, Deadline):
                self.air[world.DEADLINE] = message
            elif isinstance(message, Chain):
                self.air[tuple((self.definition.index(link.step), link.phase) for link in message.links)] = message

    def _pass_time(self, before: Row, after: Row) -> None:
        with connection.cursor() as cursor:
            if after.over and not before.over:
                cursor.execute(
                    "UPDATE sagas_run SET started_at = started_at - %s * interval '1 second', "
                    "deadline = deadline - %s * interval '1 second' WHERE id = %s",
                    [3 * LONG, 3 * LONG, self.run_id],
                )
            for wait in set(after.waits) - set(before.waits):
                cursor.execute(
                    "UPDATE sagas_run SET pending = jsonb_set(pending, ARRAY[%s, 'until'], '0') WHERE id = %s",
                    [self.definition.all_steps[wait.at].name, self.run_id],
                )
            if after.due is not before.due:
                assert after.due is world.When.NOW
                cursor.execute("UPDATE sagas_run SET due_at = clock_timestamp() WHERE id = %s", [self.run_id])

    # -- What is there ----------------------------------------------------------------------------------------

    def _row(self, expected: Row) -> Row:
        run = Run.objects.get(pk=self.run_id)
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (now,) = cursor.fetchone()
        is_due = None if run.due_at is None else run.due_at <= now
        # Of a time that is ahead the model knows more: what it is the time of.
        due = None if is_due is None else world.When.NOW if is_due else world.When.LATER
        if due is world.When.LATER and expected.due not in {None, world.When.NOW}:
            due = expected.due
        waits = tuple(
            sorted(
                world.Wait(self.definition.index(step), wait["failed"], over=wait["until"] <= now.timestamp())
                for step, wait in (run.pending or {}).items()
            )
        )
        state = State(run.state)
        opened = Escalation.objects.filter(run_id=self.run_id, resolved_at=None).values_list("state", flat=True).first()
        return Row(
            Place(state, run.cursor, run.fork),
            run.attempt,
            run.claims,
            due,
            started=run.started_at is not None,
            # What branches waited for is nothing to an undo, and nothing to the end.
            waits=waits if state in _AT_FORKS else expected.waits,
            came=Received.objects.filter(run_id=self.run_id).exists(),
            escalated_from=State(opened) if opened else None,
        )

    def _effects(self) -> world.Effects:
        done = list(Log.objects.filter(run_id=self.run_id, outcome="DONE").values_list("step", "operation"))
        return tuple(
            tuple(
                done.count((step.name, step.actions[phase].operation)) if phase in step.actions else 0
                for phase in PHASES
            )
            for step in self.definition.all_steps
        )
