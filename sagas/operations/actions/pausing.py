"""Stop something for a while, and let it go on: a run, a saga, a step's participant, or all new starts.

A pause of one run is an action like the others. The wider ones have no run to lock and no log to write into: their
record is the pause's own row, which is written once and ended once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext, ngettext

from sagas import store
from sagas.db import after_commit
from sagas.definition import registry
from sagas.engine import pauses
from sagas.errors import InvalidArgument, NotApplicable
from sagas.operations.actions import effects
from sagas.operations.actions.action import Action, Plan
from sagas.operations.actions.situation import Situation
from sagas.states import FINAL, State
from sagas.store.pauses import Open
from sagas.store.workers import kick
from sagas.validation import check_note, check_person

#: Runs that are released in one transaction, and by one call. Those that are left are looked at within minutes.
BATCH, MOST = 500, 50_000
#: Live runs that a plan counts.
COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Pause(Action):
    """Perform nothing more for a run until it is unpaused."""

    name: ClassVar[str] = "pause"
    permission: ClassVar[str] = "sagas.change_run"
    #: Who stops a run that moves fast means it wherever it is.
    depends_on_sight: ClassVar[bool] = False

    def refusal(self, run: Situation) -> str:
        """It needs a run that has not ended and is not paused itself."""
        if run.row.state in FINAL:
            return gettext("the run is %(state)s: it has ended") % {"state": gettext(run.row.state)}
        return gettext("it is paused already") if _own(run) else ""

    def plan(self, run: Situation) -> Plan:
        """What is held back."""
        words = [gettext("Nothing more is performed for it until it is unpaused.")]
        found = effects.next_effects(run.definition, run.row.place) if run.definition else []
        if found:
            listed = ", ".join(effect.words for effect in found)
            words.append(gettext("Next would be %(steps)s.") % {"steps": listed})
        words.append(gettext("What has begun ends, confirmations are taken, and no deadline turns it back."))
        return Plan(tuple(words))

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:  # noqa: ARG002
        """Note the pause. The next claim or delivery of the run holds it back."""
        hidden = run.run.hide(reason) if run.run is not None else reason
        store.pauses.begin(pauses.RUN, saga="", step="", run_id=run.id, by=by, reason=hidden)
        store.moves.log(store.moves.event_entry("pause", by=by), [run.row])
        return run.row.state


@dataclass(frozen=True, slots=True)
class Unpause(Action):
    """Let a paused run go on."""

    name: ClassVar[str] = "unpause"
    permission: ClassVar[str] = "sagas.change_run"
    depends_on_sight: ClassVar[bool] = False

    def refusal(self, run: Situation) -> str:
        """It needs a pause of the run itself."""
        return "" if _own(run) else gettext("it is not paused itself")

    def plan(self, run: Situation) -> Plan:
        """What still holds it back."""
        others = [found for found in run.pauses if found.scope != pauses.RUN]
        if others:
            told = ", ".join(str(Target.of(found)) for found in others)
            return Plan((gettext("It is still held back by the pause of %(what)s.") % {"what": told},))
        return Plan((gettext("It goes on now, and its deadlines are later by the time of the pause."),))

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:  # noqa: ARG002
        """End the pause, and make the run due."""
        hidden = run.run.hide(reason) if run.run is not None else reason
        store.pauses.end(pauses.RUN, saga="", step="", run_id=run.id, by=by, reason=hidden)
        store.pauses.release(pauses.RUN, saga="", run_id=run.id, longest=pauses.LONGEST, limit=1)
        store.moves.log(store.moves.event_entry("unpause", by=by), [run.row])
        after_commit(kick)
        return run.row.state


def _own(run: Situation) -> bool:
    return any(found.scope == pauses.RUN for found in run.pauses)


# What is wider than a run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A saga, a step's participant, or the new starts of a saga or of all.

    Attributes:
        scope: "saga", "step" or "starts".
        saga: the saga's name; "" for the starts of all.
        step: the step's name.
    """

    scope: str
    saga: str = ""
    step: str = ""

    @classmethod
    def of(cls, pause: Open) -> Target:
        """What a pause is about."""
        return cls(pause.scope, pause.saga, pause.step)

    def __str__(self) -> str:
        match self.scope:
            case "starts":
                return (
                    gettext("new starts of %(saga)s") % {"saga": self.saga} if self.saga else gettext("all new starts")
                )
            case "step":
                return f"{self.saga}.{self.step}"
            case _:
                return self.saga

    def check(self) -> None:
        """Raise ``InvalidArgument`` unless there is such a saga, and such a step."""
        if self.scope not in {pauses.SAGA, pauses.STEP, pauses.STARTS} or bool(self.step) != (
            self.scope == pauses.STEP
        ):
            raise InvalidArgument("give a saga, a saga and a step, or new starts")
        if not self.saga and self.scope == pauses.STARTS:
            return
        versions = [found for found in registry.all_definitions() if found.name == self.saga]
        if not versions:
            msg = f"there is no saga {self.saga!r:.80} here"
            raise InvalidArgument(msg)
        steps = {step.name for found in versions for step in found.all_steps}
        if self.step and self.step not in steps:
            msg = f"{self.saga} has no step {self.step!r:.80}; it has {', '.join(sorted(steps))}"
            raise InvalidArgument(msg)


#: What a user needs for the wider pauses.
PERMISSION = "sagas.change_pause"


def plan_pause(target: Target) -> Plan:
    """Say what a pause would hold back. Nothing is written."""
    target.check()
    words = [gettext("Holds back %(what)s until it is unpaused.") % {"what": target}]
    if target.scope != pauses.STARTS:
        count = store.pauses.count_live(target.scope, saga=target.saga, run_id=None, most=COUNTED)
        more = "+" if count == COUNTED else ""
        told = ngettext(
            "%(count)s%(more)s run is under way: it waits, where it comes to what is paused.",
            "%(count)s%(more)s runs are under way: they wait, where they come to what is paused.",
            count,
        )
        words.append(told % {"count": count, "more": more})
        words.append(gettext("What has begun ends, confirmations are taken, and no deadline turns back what waits."))
    else:
        words.append(gettext("New runs are accepted, and do not begin. Their deadlines have not begun either."))
    return Plan(tuple(words))


def plan_unpause(target: Target) -> Plan:
    """Say what the end of a pause would let go. Nothing is written."""
    count = store.pauses.count_held()
    told = ngettext(
        "Lets %(what)s go on. %(count)d run is held back by what is paused now.",
        "Lets %(what)s go on. %(count)d runs are held back by what is paused now.",
        count,
    )
    return Plan((told % {"what": target, "count": count},))


def pause(target: Target, *, by: str, reason: str) -> None:
    """Pause it, from the next claim and the next delivery on.

    Raises:
        NotApplicable: it is paused already.
        InvalidArgument: there is no such saga or step, no name or no reason, or a text is too long.
    """
    target.check()
    _check(by, reason)
    with transaction.atomic():
        begun = store.pauses.begin(target.scope, saga=target.saga, step=target.step, run_id=None, by=by, reason=reason)
        if begun is None:
            raise NotApplicable(gettext("it is paused already"))


def unpause(target: Target, *, by: str, reason: str) -> int:
    """End a pause, and make due what it held back, batch by batch.

    If the process dies in between, each run that is left is looked at within five minutes.

    Returns:
        How many runs were made due.

    Raises:
        NotApplicable: it is not paused.
        InvalidArgument: there is no name or no reason, or a text is too long.
    """
    _check(by, reason)
    with transaction.atomic():
        ended = store.pauses.end(target.scope, saga=target.saga, step=target.step, run_id=None, by=by, reason=reason)
        if ended is None:
            raise NotApplicable(gettext("it is not paused"))
    released = 0
    while released < MOST:
        with transaction.atomic():
            batch = store.pauses.release(
                target.scope, saga=target.saga, run_id=None, longest=pauses.LONGEST, limit=BATCH
            )
            after_commit(kick)
        released += batch
        if not batch:
            break
    return released


def open_pauses() -> list[Open]:
    """What is paused, the oldest first."""
    return store.pauses.all_open()


def pauses_as_json(found: Iterable[Open]) -> list[dict[str, Any]]:
    """As ``--json`` has it."""
    return [
        {
            "scope": one.scope,
            "saga": one.saga,
            "step": one.step,
            "run": _text(one.run_id),
            "since": one.since.isoformat(),
            "by": one.paused_by,
            "reason": one.reason,
        }
        for one in found
    ]


def _text(run_id: UUID | None) -> str:
    return "" if run_id is None else str(run_id)


def _check(by: str, reason: str) -> None:
    check_person("by", by)
    check_note("reason", reason)
    if not by.strip() or not reason.strip():
        msg = "say who does it, and why"
        raise InvalidArgument(msg)
