"""How an action is looked at before, and carried out: under the run's lock, on what the person saw, on record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext, ngettext

from sagas import store
from sagas.errors import InvalidArgument, NotApplicable, RunNotFound, Stale
from sagas.operations.actions.action import Action, Plan
from sagas.operations.actions.situation import Situation, look, look_at
from sagas.serialization import dump_json
from sagas.states import State
from sagas.validation import check_note, check_person, parse_run_id, printable

#: The audit entry's name in the log.
AUDIT = "action"


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do to a run.

    Attributes:
        run_id: the run.
        known_as: its business key, or else its id.
        state: where it stands.
        seen: what the person sees now; ``carry_out`` refuses if it has changed.
        plan: what would be done; ``None`` if the action does not apply.
        why_not: why it does not apply.
    """

    run_id: UUID
    known_as: str
    state: State
    seen: str
    plan: Plan | None
    why_not: str = ""

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` has it."""
        return {
            "run": str(self.run_id),
            "known_as": self.known_as,
            "state": self.state.value,
            "seen": self.seen,
            "plan": None if self.plan is None else self.plan.as_json(),
            "why_not": self.why_not,
        }


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What was done to a run: where it stands now, and what was planned."""

    run_id: UUID
    known_as: str
    state: State
    plan: Plan

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` has it."""
        return {
            "run": str(self.run_id),
            "known_as": self.known_as,
            "state": self.state.value,
            "plan": self.plan.as_json(),
        }


def preview(action: Action, ids: Iterable[UUID]) -> list[Preview]:
    """Say what an action would do to each of these runs, in the order of their ids. Nothing is locked or written."""
    return [_preview(action, run) for run in look_at(ids)]


def _preview(action: Action, run: Situation) -> Preview:
    why_not = action.refusal(run)
    planned = None if why_not else action.plan(run)
    return Preview(run.id, run.known_as, run.row.state, run.seen, planned, why_not)


def applying(candidates: Iterable[Action], run_id: UUID) -> list[Action]:
    """Those of these actions that apply to a run as it stands; none if there is no such run."""
    runs = look_at([run_id])
    return [action for action in candidates if runs and not action.refusal(runs[0])]


def carry_out(
    action: Action,
    run_id: UUID,
    *,
    by: str,
    reason: str = "",
    seen: str | None = None,
    escalation: int | None = None,
) -> CarriedOut:
    """Carry an action out: in one transaction under the run's lock, with its audit entry.

    Args:
        action: the action.
        run_id: the run.
        by: who; at most 150 characters, of which the log keeps 100.
        reason: why; at most 10,000 characters. What is personal in the run's data is taken out of the record.
        seen: what the person saw; see ``Preview.seen``. ``None`` if nobody has looked: the run is taken as it is.
        escalation: the escalation that the person has read.

    Raises:
        RunNotFound: there is no such run.
        Stale: the run has changed since. Nothing was done.
        NotApplicable: the action does not apply to it as it stands.
        InvalidArgument: there is no name or no reason, or a text is too long.
        SagaError: the engine refuses: the run is decided, say.
    """
    check_person("by", by)
    check_note("reason", reason)
    if not by.strip() or (action.needs_reason and not reason.strip()):
        msg = f"{action.name}: say who does it, and why"
        raise InvalidArgument(msg)
    with transaction.atomic():
        row = store.runs.lock_one(parse_run_id(run_id))
        if escalation is not None:
            # It says more than that the page is stale.
            store.escalations.find_open(row.id, escalation)
        found = look([row])
        if not found:
            msg = f"there is no run {run_id}"
            raise RunNotFound(msg)
        run = found[0]
        if seen is not None and action.depends_on_sight and seen != run.seen:
            raise Stale(gettext("this page was stale: the run has moved on. Nothing was done; look at it again"))
        if why_not := action.refusal(run):
            raise NotApplicable(why_not)
        planned = action.plan(run)
        with translation.override(None):
            # The record is one for all readers.
            recorded = action.plan(run)
        state = action.perform(run, by=by, reason=reason, escalation=escalation)
        _record(action, run, recorded, by=by, reason=reason, state=state)
    return CarriedOut(run.id, run.known_as, state, planned)


def _record(action: Action, run: Situation, planned: Plan, *, by: str, reason: str, state: State) -> None:
    """Append the audit entry to the run's log, which lets nobody change it."""
    entry = {
        "action": action.name,
        "said": {what: _public(run, value) for what, value in action.said().items() if value},
        "reason": _public(run, reason),
        "planned": planned.as_json(),
        "done": {"before": run.row.state.value, "after": state.value},
        "seen": run.seen,
    }
    store.moves.log(store.moves.event_entry(AUDIT, by=by), [run.row], {run.id: dump_json(entry)})


def _public(run: Situation, value: Any) -> Any:
    """A value without what is personal in the run's data."""
    if not isinstance(value, str):
        return value
    return run.run.hide(printable(value)) if run.run is not None else printable(value)


def summarize(previews: Sequence[Preview]) -> list[str]:
    """Say in a few sentences what an action would do to many runs."""
    plans = [found.plan for found in previews if found.plan is not None]
    words: list[str] = []
    if plans:
        told = ngettext("It applies to %(count)d run.", "It applies to %(count)d runs.", len(plans))
        words.append(told % {"count": len(plans)})
    if effects := Counter(effect.words for plan in plans for effect in plan.effects):
        listed = ", ".join(f"{what} × {count}" for what, count in effects.most_common())
        words.append(gettext("Operations: %(effects)s.") % {"effects": listed})
    ends = Counter(plan.ends for plan in plans if plan.ends)
    words += [
        ngettext("%(count)d run ends %(state)s.", "%(count)d runs end %(state)s.", count)
        % {"count": count, "state": gettext(state)}
        for state, count in sorted(ends.items())
    ]
    refused = Counter(found.why_not for found in previews if found.plan is None)
    words += [
        ngettext("%(count)d run is left as it is: %(why)s.", "%(count)d runs are left as they are: %(why)s.", count)
        % {"count": count, "why": why}
        for why, count in refused.most_common()
    ]
    return words
