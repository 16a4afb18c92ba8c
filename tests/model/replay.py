"""Walks a path of the model on the real engine and database, one action after the other, and compares the two.

The engine's functions are the real ones, and so is the database. Of the time only this is made: when the
model says that something is over, it is.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection

import sagas
from sagas import Rejected, Saga, store
from sagas.conf import config
from sagas.decisions.messages import Chain, Deadline, Link, Message
from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.definition.participants import Call
from sagas.delivery.redelivery import Past, perform_delivery
from sagas.engine import lifecycle, shared_decisions
from sagas.engine.claiming import claim
from sagas.engine.cohort import Performed
from sagas.engine.performing import go_on_where_they_stand, perform, sort_along_chain
from sagas.escalations import actions
from sagas.local.worker import Worker
from sagas.models import Confirmation as Received
from sagas.models import Escalation, Log, Run
from sagas.states import State
from tests.lab.sagas import Boom, Experiment
from tests.model import world
from tests.model.transactions import SOONER
from tests.model.world import PHASES, Mark, Marked, Own, Process, Row, World, name
from tests.support.runs import shift_clock

#: Seconds; longer than any test takes, so that nothing is over before the model says so.
LONG = 3600.0
TWICE = ", and comes twice"
FATES = (", and comes again", ", dies before it publishes", TWICE)
#: Of a worker that performs all operations of a chain in one transaction.
TOGETHER = "together: "
#: Of a process without a broker.
IN_A_PROCESS = ", in a process"
#: Without messages of the run's own, the engine and the model say the same in no words.
_AT_FORKS = (State.EXECUTING, State.CONFIRMING)


@dataclass
class Participants:
    """What participants do next: nothing but their work, unless a walk wants them to break or to say no."""

    mood: str = ""
    #: The step at which they do; any, if empty.
    at: str = ""

    def judge(self, call: Call[Any]) -> None:
        """Stands for the laboratory's own ``judge``."""
        if self.at not in {"", call.step}:
            return
        if self.mood == "breaks":
            raise Boom(self.mood)
        if self.mood == "says no":
            raise Rejected(self.mood)


#: A chain in a process, and how many deaths are counted at it.
Taken = tuple[Chain, int]


@dataclass
class Replay:
    """One run, in the engine and in the model.

    Attributes:
        saga: its definition; all its participants ask ``participants``.
        marks: whether messages are marked of what went wrong before: where processes may go on without a message.
        air: the real messages, by what they are in the model.
        hands: the same of what processes go on with.
        processes: of those without a broker, their chains and how many deaths are counted at each.
    """

    saga: type[Saga[Any]]
    participants: Participants
    marks: bool = False
    run_id: UUID = field(init=False)
    group: str = field(init=False)
    air: dict[world.Message, Message] = field(default_factory=dict)
    hands: dict[world.Chain, Chain] = field(default_factory=dict)
    processes: dict[Process, list[Taken]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the run."""
        self.group = str(uuid4())
        self.run_id = sagas.start(self.saga, Experiment(group=self.group))

    @property
    def definition(self) -> Definition:
        """The saga's."""
        return self.saga.definition

    def step(self, label: str, before: World, after: World) -> None:
        """Do in the engine what the model has done."""
        who, _, what = label.partition(": ")
        for fate in FATES:
            what = what.removesuffix(fate)
        self._aim(what, before.row, is_claim=who in {"claim", "a process"})
        what = what.removesuffix(SOONER)
        if who == "time":
            self._pass_time(before.row, after.row)
        elif label.endswith(" is lost"):
            (lost,) = before.air - after.air
            del self.air[lost]
        elif who == "claim":
            self._publish(self._claim(what, before.row), label)
        elif who == "the group":
            decline = "too few" if after.decided == world.NO else None
            sagas.decide(self.saga, self.definition.confirmations[0].name, self.group, decline=decline)
        elif who == "the tick":
            shared_decisions.settle_some()
        elif who in {"the customer", "a person"}:
            self._decide(what)
        elif who.endswith("a process"):
            self._work(who, what, before, after)
        elif who.endswith(", on the short path"):
            (chain,) = (c for c in before.hands if f"{name(self.definition, c)}, on the short path" == who)
            going = self.hands.pop(chain)
            if not what.startswith("dies"):
                self._publish(self._perform(going, what), label)
        else:
            (message,) = (m for m in before.air if name(self.definition, m) == who)
            published = self._deliver(message, what)
            self._ack(message, label)
            self._publish(published, label)
        # Two of the model's may be one here, which does not know whose deaths are counted.
        left = _known(after)
        self.processes = {process: taken for process, taken in self.processes.items() if process in left}
        if after.row.started and not before.row.started:
            # It has begun: its time is not over before the model says so.
            shift_clock([self.run_id], -LONG)

    def compare(self, expected: World) -> None:
        """Whether both are in the same state."""
        assert self._row(expected.row) == expected.row._replace(why="", over=False)
        assert frozenset(self.air) == expected.air
        assert frozenset(self.hands) == expected.hands
        assert set(self.processes) == _known(expected)
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
                self._put_down()
            case _:
                outcome = State(what.removeprefix("resolves it as "))
                actions.resolve(self.run_id, outcome=outcome, by="somebody", note="done")
                self._put_down()

    def _put_down(self) -> None:
        """What processes still go on with is to a run that a person has what late messages are."""
        for chain, going in self.hands.items():
            self.air[chain] = going
        self.hands.clear()

    def _claim(self, what: str, row: Row) -> list[Message]:
        claimed = claim(lapsed=row.claims > 0)
        assert claimed.count == 1
        if what.startswith("is refused by the broker"):
            store.claims.release_leases([i for m in claimed.messages if isinstance(m, Chain) for i in m.ids])
            kept = Chain if what.endswith("which has it") else ()
            return [message for message in claimed.messages if isinstance(message, kept)]
        return claimed.messages

    def _aim(self, what: str, row: Row, *, is_claim: bool) -> None:
        """Of a wait and a lease that go on, let that be over first which the model wants."""
        sooner = what.endswith(SOONER)
        if row.due is world.When.WAIT or not (row.waits or sooner):
            return
        waits = LONG / 2 if sooner and is_claim else 2 * LONG
        lease = 4 * LONG if sooner else LONG / 2
        with connection.cursor() as cursor:
            for wait in row.waits:
                if not wait.over:
                    cursor.execute(
                        "UPDATE sagas_run SET pending = jsonb_set(pending, ARRAY[%s, 'until'], "
                        "to_jsonb(extract(epoch FROM clock_timestamp())::float8 + %s)) WHERE id = %s",
                        [self.definition.all_steps[wait.at].name, waits, self.run_id],
                    )
            if row.due is world.When.LATER:
                self._be_due_in(lease)

    def _be_due_in(self, seconds: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE sagas_run SET due_at = clock_timestamp() + %s * interval '1 second' WHERE id = %s",
                [seconds, self.run_id],
            )

    # -- Without a broker -------------------------------------------------------------------------------------

    def _take_up(self, row: Row) -> list[Taken]:
        """What a process claims, in the order in which it performs it."""
        taken: list[Taken] = []
        ours, theirs = socket.socketpair()
        with closing(ours), closing(theirs):
            process = Worker(theirs, "a process")

            def perform_later(chain: Chain, *, deaths: int = 0) -> None:
                taken.append((chain, deaths))

            process._perform = perform_later  # type: ignore[method-assign]  # it performs when the walk says so
            if row.claims:
                process._take_up_lapsed()
            else:
                process._carry(claim(limit=config().cohort).messages)
                process._perform_waiting()
        return taken

    def _keep(self, taken: Sequence[Taken]) -> None:
        if taken:
            self.processes[tuple(self._own(*one) for one in taken)] = list(taken)

    def _own(self, chain: Chain, deaths: int) -> Own:
        links = self._links(chain)
        mark = Mark.AGAIN if deaths else Mark.ALONE if chain.by_message else None
        return Own(Marked(links, mark) if mark else links, deaths)

    def _work(self, who: str, what: str, before: World, after: World) -> None:
        """Have a process claim, perform the first operation of what it has, or die."""
        if who == "a process":
            self._keep(self._take_up(before.row))
            return
        (working,) = before.processes - after.processes
        assert f"{name(self.definition, working[0].message)}{IN_A_PROCESS}" == who
        process = _as_known(working)
        (chain, deaths), *rest = self.processes[process]
        if what == "dies":
            return
        link, later = chain.links[0], chain.links[1:]
        held = what.endswith("goes on")
        self.participants.mood = what
        try:
            performed = perform_delivery(link, chain.ids, Past.of(chain, deaths=deaths), worker="a process", held=held)
        finally:
            self.participants.mood = ""
        first, last = _following(chain, later, performed, held=held)
        self._keep([*first, *rest, *last])

    def _deliver(self, message: world.Message, what: str) -> list[Message]:
        delivered = self.air[message]
        if isinstance(delivered, Deadline):
            return lifecycle.expire_unconfirmed(
                delivered.saga, delivered.version, delivered.confirmation, delivered.ids, by="message"
            )
        assert isinstance(delivered, Chain)
        if isinstance(message, Marked) and message.mark is Mark.AGAIN:
            _, ahead = sort_along_chain(delivered.links[0], delivered.ids)
            if ahead:
                return go_on_where_they_stand(ahead)
        return self._perform(delivered, what, marked=isinstance(message, Marked))

    def _perform(self, message: Chain, what: str, *, marked: bool = False) -> list[Message]:
        """Perform the first link, and say what follows; with what the process goes on itself is in ``hands``."""
        held = what.endswith("goes on")
        together = what.startswith(TOGETHER)
        step, _, mood = what.removeprefix(TOGETHER).partition(" ")
        self.participants.mood, self.participants.at = (mood.removesuffix(" the set"), step) if together else (what, "")
        declared = self.definition.compressed
        # A definition is frozen. Nothing that it remembers depends on this.
        object.__setattr__(self.definition, "compressed", together)
        # The model forgets how often a message was published.
        token = 0 if together else message.token
        try:
            performed = perform(message.links[0], message.ids, token=token, held=held)
        finally:
            self.participants.mood = self.participants.at = ""
            object.__setattr__(self.definition, "compressed", declared)
        rest = message.links[1:]
        if not rest or not performed.survivors:
            return performed.messages
        following = Chain(rest, tuple(performed.survivors), by_message=marked or performed.troubled)
        if held and not performed.troubled:
            self.hands[self._links(following)] = following
            return performed.messages
        return [*performed.messages, following]

    def _publish(self, messages: list[Message], label: str) -> None:
        if label.endswith("dies before it publishes"):
            return
        for message in messages:
            if isinstance(message, Deadline):
                self.air[world.DEADLINE] = message
            elif isinstance(message, Chain) and label == "claim: goes on with it":
                self.hands[self._links(message)] = message
            elif isinstance(message, Chain):
                chain = self._links(message)
                self.air[Marked(chain, Mark.ALONE) if self.marks and message.by_message else chain] = message

    def _links(self, message: Chain) -> world.Chain:
        return tuple((self.definition.index(link.step), link.phase) for link in message.links)

    def _ack(self, message: world.Message, label: str) -> None:
        if label.endswith(TWICE):
            return
        delivered = self.air.pop(message)
        if label.endswith(FATES):
            self.air[self._again(message)] = delivered

    def _again(self, message: world.Message) -> world.Message:
        if isinstance(message, str) or not self.marks:
            return message
        return Marked(message.chain if isinstance(message, Marked) else message, Mark.AGAIN)

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
                    "UPDATE sagas_run SET pending = jsonb_set(pending, ARRAY[%s, 'until'], '1') WHERE id = %s",
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


def _following(
    chain: Chain, later: Sequence[Link], performed: Performed, *, held: bool
) -> tuple[list[Taken], list[Taken]]:
    """What the same process performs at once, and what behind its other chains: ``delivery.delivering``."""
    last = [(message, 0) for message in performed.messages if isinstance(message, Chain)]
    if not later or not performed.survivors:
        return [], last
    following = Chain(tuple(later), tuple(performed.survivors), by_message=performed.troubled or not held)
    if held and not performed.troubled:
        return [(following, 0)], last
    if performed.troubled and not chain.by_message:
        return [], [(following, 0), *last]
    return [(replace(following, by_message=True), 0)], last


def _as_known(process: Process) -> Process:
    return tuple(own._replace(its_own=0) for own in process)


def _known(expected: World) -> set[Process]:
    """The model's processes without what only the model knows."""
    return {_as_known(process) for process in expected.processes}
