"""Actions on escalated runs: acknowledge, assign, resume, end by hand. The engine's part is ``sagas.escalations``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from django.utils.translation import gettext

from sagas import api
from sagas.decisions.plan import Place
from sagas.escalations.actions import refunds_to_make
from sagas.operations.actions import effects
from sagas.operations.actions.action import Action, Plan
from sagas.operations.actions.situation import Situation, state_of
from sagas.states import State


@dataclass(frozen=True, slots=True)
class _OfEscalated(Action):
    def refusal(self, run: Situation) -> str:
        """It needs an escalated run."""
        if run.row.state is State.ESCALATED:
            return ""
        return gettext("the run is %(state)s: it is not escalated") % {"state": gettext(run.row.state)}


@dataclass(frozen=True, slots=True)
class Acknowledge(_OfEscalated):
    """Say that somebody has seen it: no more notices are sent."""

    name: ClassVar[str] = "acknowledge"
    permission: ClassVar[str] = "sagas.acknowledge_escalation"
    needs_reason: ClassVar[bool] = False
    depends_on_sight: ClassVar[bool] = False

    def plan(self, run: Situation) -> Plan:
        """Nothing of the run changes."""
        if run.escalation is not None and run.escalation.acknowledged:
            return Plan((gettext("It is acknowledged already."),))
        return Plan((gettext("No more notices of it are sent."),))

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:  # noqa: ARG002
        """Acknowledge its escalation."""
        api.acknowledge(run.id, by=by, escalation=escalation)
        return run.row.state


@dataclass(frozen=True, slots=True)
class Assign(_OfEscalated):
    """Say who sees to it.

    Attributes:
        to: who; by default the person who acts.
    """

    name: ClassVar[str] = "assign"
    permission: ClassVar[str] = "sagas.acknowledge_escalation"
    needs_reason: ClassVar[bool] = False
    depends_on_sight: ClassVar[bool] = False

    to: str = ""

    def plan(self, run: Situation) -> Plan:  # noqa: ARG002 - every escalated run is assigned alike
        """Nothing of the run changes."""
        if self.to:
            return Plan((gettext("%(person)s sees to it.") % {"person": self.to},))
        return Plan((gettext("You see to it, and no more notices of it are sent."),))

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:  # noqa: ARG002
        """Assign its escalation."""
        api.assign(run.id, to=self.to or by, by=by, escalation=escalation)
        return run.row.state


@dataclass(frozen=True, slots=True)
class Resume(_OfEscalated):
    """Try again where it was escalated, once the cause is mended."""

    name: ClassVar[str] = "resume"
    permission: ClassVar[str] = "sagas.change_escalation"

    def plan(self, run: Situation) -> Plan:
        """Where it goes on, with which operations."""
        state = state_of(run)
        words = [gettext("It goes on in %(state)s.") % {"state": gettext(state)}]
        if run.definition is None:
            return Plan(tuple(words))
        stood = Place(state, run.row.cursor, run.row.fork)
        found, ends = effects.effects_from(run.definition, stood)
        if found:
            listed = ", ".join(effect.words for effect in found)
            words.append(gettext("It performs %(steps)s.") % {"steps": listed})
        if state in {State.CONFIRMING, State.COMPENSATING}:
            words.append(gettext("The run ends %(state)s.") % {"state": gettext(ends)})
            return Plan(tuple(words), tuple(found), ends)
        return Plan(tuple(words), tuple(found))

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:
        """Put it back to where it stood."""
        return api.resume(run.id, by=by, note=reason, escalation=escalation)


@dataclass(frozen=True, slots=True)
class Resolve(_OfEscalated):
    """End it by hand: the person vouches for the effects that are left.

    Attributes:
        outcome: "SUCCEEDED" or "FAILED".
    """

    name: ClassVar[str] = "resolve"
    permission: ClassVar[str] = "sagas.resolve_escalation"

    outcome: str = State.FAILED.value

    def plan(self, run: Situation) -> Plan:
        """What the engine still does; what it no longer does."""
        words = [gettext("The run ends %(state)s here.") % {"state": gettext(self.outcome)}]
        if self.outcome != State.FAILED:
            words.append(gettext("The engine confirms nothing more: what is left, a person has confirmed by hand."))
            return Plan(tuple(words), (), self.outcome)
        words.append(gettext("The engine undoes no step any more: what is left, a person has undone by hand."))
        bits = 0 if run.escalation is None else refunds_to_make(run.row, run.escalation)
        if not bits or run.definition is None:
            return Plan(tuple(words), (), self.outcome)
        found, _ = effects.effects_from(run.definition, Place(State.COMPENSATING, 0, bits))
        listed = ", ".join(effect.words for effect in found)
        words.append(gettext("It still gives back %(names)s.") % {"names": listed})
        return Plan(tuple(words), tuple(found), self.outcome)

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:
        """End it."""
        return api.resolve(run.id, outcome=self.outcome, by=by, note=reason, escalation=escalation)  # type: ignore[arg-type]  # the engine checks it
