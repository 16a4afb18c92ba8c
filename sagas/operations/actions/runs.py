"""Actions on runs that nobody has been called for: try again now, cancel, confirm by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.utils.translation import gettext, ngettext

from sagas import api
from sagas.decisions import plan
from sagas.decisions.plan import Place
from sagas.engine.lifecycle import backoffs
from sagas.operations.actions import effects
from sagas.operations.actions.action import Action, Plan
from sagas.operations.actions.effects import Effect
from sagas.operations.actions.situation import Situation
from sagas.states import UNDECIDED, State
from sagas.store.locked_runs import PARENT


@dataclass(frozen=True, slots=True)
class Retry(Action):
    """Make the next attempt now, and not when its wait is over."""

    name: ClassVar[str] = "retry"
    permission: ClassVar[str] = "sagas.change_run"

    def refusal(self, run: Situation) -> str:
        """It needs a wait for a next attempt."""
        if run.row.waits_for_retry or backoffs(run.row, run.now):
            return ""
        return gettext("it does not wait for its next attempt")

    def plan(self, run: Situation) -> Plan:
        """The operations that are tried now, and how many attempts of them have failed."""
        if run.definition is None:
            return Plan((gettext("It is due now, and waits for a worker that knows its saga."),))
        waiting = set(backoffs(run.row, run.now))
        found = [
            effect
            for effect in effects.next_effects(run.definition, run.row.place)
            if not waiting or effect.step in waiting
        ]
        failed = max([run.row.attempt, *(run.row.waits[step].failed for step in waiting)])
        told = ngettext(
            "Tries %(steps)s again now, after %(count)d failed attempt.",
            "Tries %(steps)s again now, after %(count)d failed attempts.",
            failed,
        ) % {"steps": ", ".join(effect.words for effect in found), "count": failed}
        due = max(0.0, run.standing.due_in or 0.0)
        words = [told, gettext("It would be due in %(seconds)d s.") % {"seconds": round(due)}] if due >= 1 else [told]
        return Plan(tuple(words), tuple(found))

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:  # noqa: ARG002
        """End its waits; a dispatcher claims it."""
        api.retry(run.id, by=by)
        return run.row.state


@dataclass(frozen=True, slots=True)
class Cancel(Action):
    """Undo what is done.

    Attributes:
        message: why, for customers; by default a standard sentence.
    """

    name: ClassVar[str] = "cancel"
    permission: ClassVar[str] = "sagas.change_run"

    message: str = ""

    def refusal(self, run: Situation) -> str:
        """It needs a run that is not decided. The engine, under the lock, also asks the run's parent."""
        own = run.definition.confirmation_names if run.definition is not None else frozenset()
        if run.row.parent_id is None and own and own <= run.confirmed:
            return gettext("the run is confirmed: it cannot be cancelled any more")
        if run.row.state not in UNDECIDED:
            return gettext("the run is %(state)s: it cannot be cancelled any more") % {"state": gettext(run.row.state)}
        if run.definition is None:
            return gettext("this process does not know its saga")
        return ""

    def plan(self, run: Situation) -> Plan:
        """The undo operations, in their order."""
        if run.definition is None or run.undone_from is None:
            return Plan(())
        found, ends = effects.effects_from(run.definition, run.undone_from)
        refunds = effects.refunds_of(run.definition, found)
        undone = [effect for effect in found if effect not in refunds]
        words = []
        if refunds:
            words.append(gettext("Gives back %(names)s.") % {"names": _listed(refunds)})
        words += [_undoes(undone), gettext("The run ends %(state)s.") % {"state": gettext(ends)}]
        return Plan(tuple(words), tuple(found), ends)

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:  # noqa: ARG002
        """Let the compensation begin."""
        return api.cancel(run.id, reason=reason, by=by, message=self.message)


@dataclass(frozen=True, slots=True)
class Confirm(Action):
    """Take a confirmation that has come by another way, on the word of a person.

    Attributes:
        confirmation: its name; by default the one that is missing.
        data: what the run keeps of it.
    """

    name: ClassVar[str] = "confirm"
    #: Who confirms by hand vouches for a payment, or whatever it is, that the engine has not seen.
    permission: ClassVar[str] = "sagas.resolve_escalation"

    confirmation: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def refusal(self, run: Situation) -> str:
        """It needs an undecided run that misses this confirmation."""
        if run.row.state not in UNDECIDED:
            return gettext("the run is %(state)s: it cannot be confirmed any more") % {"state": gettext(run.row.state)}
        if run.definition is None:
            return gettext("this process does not know its saga")
        missing = self._missing(run)
        if not missing:
            return gettext("no confirmation is missing")
        if self.confirmation and self.confirmation not in missing:
            return gettext("it does not wait for %(name)s, but for %(names)s") % {
                "name": self.confirmation,
                "names": ", ".join(missing),
            }
        if not self.confirmation and len(missing) > 1:
            return gettext("say which one: it waits for %(names)s") % {"names": ", ".join(missing)}
        return ""

    def plan(self, run: Situation) -> Plan:
        """What is confirmed by it, or what is missing still."""
        assert run.definition is not None  # or it does not apply
        name = self._name(run)
        words = [gettext("Takes the confirmation %(name)s.") % {"name": name}]
        left = [missing for missing in self._missing(run) if missing != name]
        if run.row.parent_id is not None and PARENT not in run.confirmed:
            left.append(gettext("the run that it is a step of"))
        if left:
            words.append(gettext("The run still waits for %(names)s.") % {"names": ", ".join(left)})
            return Plan(tuple(words))
        after, _ = plan.place_to_confirm(run.definition, before=State.AWAITING_CONFIRM)
        found, ends = effects.effects_from(run.definition, after)
        forward: list[Effect] = []
        if run.row.state is not State.AWAITING_CONFIRM:
            forward, _ = effects.effects_from(run.definition, Place(State.EXECUTING, run.row.cursor, run.row.fork))
            words.append(
                ngettext(
                    "First goes on with %(count)d step: %(steps)s.",
                    "First goes on with %(count)d steps: %(steps)s.",
                    len(forward),
                )
                % {"count": len(forward), "steps": _listed(forward)}
            )
        if found:
            words.append(
                ngettext(
                    "Then performs %(count)d operation: %(steps)s.",
                    "Then performs %(count)d operations: %(steps)s.",
                    len(found),
                )
                % {"count": len(found), "steps": _listed(found)}
            )
        words.append(gettext("The run ends %(state)s, and can no longer be undone.") % {"state": gettext(ends)})
        return Plan(tuple(words), (*forward, *found), ends)

    def perform(self, run: Situation, *, by: str, reason: str, escalation: int | None) -> State:  # noqa: ARG002
        """Take it, as from the application."""
        return api.confirm(run.id, self._name(run), json.loads(json.dumps(dict(self.data)))).state

    def said(self) -> Mapping[str, Any]:
        """The name alone: the data may be personal, and is in the confirmation."""
        return {"confirmation": self.confirmation}

    def _missing(self, run: Situation) -> list[str]:
        assert run.definition is not None  # asked before
        return [c.name for c in run.definition.confirmations if c.name not in run.confirmed and not c.is_shared]

    def _name(self, run: Situation) -> str:
        return self.confirmation or self._missing(run)[0]


def _undoes(found: list[Effect]) -> str:
    if not found:
        return gettext("No step has anything to undo.")
    return ngettext("Undoes %(count)d step: %(steps)s.", "Undoes %(count)d steps: %(steps)s.", len(found)) % {
        "count": len(found),
        "steps": _listed(found),
    }


def _listed(found: list[Effect]) -> str:
    return ", ".join(effect.words for effect in found)
