"""All that is known of one run, read once: for its page, for an export, for a shell. Nothing is written or locked.

The number of queries does not depend on how much the run has done, nor on the size of its family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sagas import selectors, store
from sagas.decisions import plan
from sagas.decisions.ahead import Ahead, operations_ahead
from sagas.decisions.plan import Place
from sagas.decisions.progress import StepState
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.definition.personal_data import HIDDEN, mask
from sagas.diagrams import step_graph
from sagas.diagrams.timeline import Escalated, Facts, Timeline, build
from sagas.errors import UnknownSaga, UnknownStep
from sagas.models import Confirmation, Escalation, Log, Run
from sagas.operations.summary import Situation
from sagas.selectors import RunView, StepView
from sagas.states import FINAL, UNDECIDED, State
from sagas.store.families import Relative

#: Of a run with more log entries, the last ones are read.
MOST_ENTRIES = 2_000
_DONE = frozenset({StepState.DONE, StepState.HELD, StepState.CONFIRMED, StepState.COMPENSATED})


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of a run.

    Attributes:
        run: its row.
        definition: what it follows; ``None`` if neither the code nor the database has it.
        view: its steps.
        entries: its log, oldest first; of a very long one the end.
        is_cut: whether entries were left out.
        confirmations: those that came, oldest first.
        escalations: oldest first.
        family: the runs of which it is a step and that are its steps, itself included.
        facts: what a drawing needs besides the log.
        timeline: attempts, waits and events.
        request: its request.
        results: the results of its steps.
        shows_personal: whether what is personal was left in.
    """

    run: Run
    definition: Definition | None
    view: RunView
    entries: Sequence[Log]
    is_cut: bool
    confirmations: Sequence[Confirmation]
    escalations: Sequence[Escalation]
    family: Sequence[Relative]
    facts: Facts
    timeline: Timeline
    request: Any
    results: Mapping[str, Any]
    shows_personal: bool

    @property
    def graph(self) -> step_graph.StepGraph | None:
        """The graph of its steps; ``None`` if its definition is not known."""
        return step_graph.of_definition(self.definition) if self.definition is not None else None

    @property
    def open_escalation(self) -> Escalation | None:
        """The escalation that nobody has resolved."""
        return next((each for each in self.escalations if each.resolved_at is None), None)


def inspect(run: Run, *, now: datetime | None = None, shows_personal: bool = False) -> Inspection:
    """Read everything about a run whose row was read already: four queries, and one more to find its definition.

    Args:
        run: its row.
        now: the present; the clock's time by default.
        shows_personal: leave what is personal as it is. The caller has asked whether the reader may see it.
    """
    now = now or datetime.now(UTC)
    newest = list(Log.objects.filter(run_id=run.pk).select_related("performer").order_by("-id")[: MOST_ENTRIES + 1])
    entries = newest[MOST_ENTRIES - 1 :: -1]
    confirmations = list(Confirmation.objects.filter(run_id=run.pk).order_by("received_at", "name"))
    escalations = list(Escalation.objects.filter(run_id=run.pk).order_by("created_at", "id"))
    try:
        definition = store.definitions.find(run.saga, run.version, run.shape)
    except UnknownSaga:
        definition = None
    marks = selectors.personal_marks(run)
    if not shows_personal:
        selectors.hide_personal(run, entries)
        for confirmation in confirmations:
            confirmation.data = mask(confirmation.data, marks.of(confirmation.name), HIDDEN)
    view = selectors.view_of(run, entries, confirmations)
    facts = _facts(run, definition, view, escalations, now)
    return Inspection(
        run=run,
        definition=definition,
        view=view,
        entries=entries,
        is_cut=len(newest) > MOST_ENTRIES,
        confirmations=confirmations,
        escalations=escalations,
        family=store.families.of_run(run.pk),
        facts=facts,
        timeline=build(facts, entries),
        request=run.request if shows_personal else selectors.visible_request(run),
        results=run.results if shows_personal else selectors.visible_results(run),
        shows_personal=shows_personal,
    )


def _place(run: Run, escalations: Sequence[Escalation]) -> Place | None:
    """Where a run stands that has not ended: of an escalated one, where it goes on if it is resumed."""
    state = State(run.state)
    if state is State.ESCALATED:
        found = next((State(each.state) for each in escalations if each.resolved_at is None), None)
        return None if found is None else Place(found, run.cursor, run.fork)
    return None if state in FINAL else Place(state, run.cursor, run.fork)


def _facts(
    run: Run, definition: Definition | None, view: RunView, escalations: Sequence[Escalation], now: datetime
) -> Facts:
    place = _place(run, escalations)
    ahead = operations_ahead(definition, place) if definition is not None and place is not None else ()
    refunds = [step.name for step in definition.all_steps[len(definition.steps) :]] if definition is not None else []
    before = definition.steps[: definition.before_pivot] if definition is not None else ()
    return Facts(
        state=State(run.state),
        created_at=run.created_at,
        finished_at=run.finished_at,
        now=now,
        # Also of a run that has ended: the drawing shows it if it was over before the end.
        deadline=run.deadline if run.state in UNDECIDED or run.finished_at else None,
        steps=tuple(dict.fromkeys([*(step.name for step in view.steps), *refunds])),
        before_pivot=frozenset(step.name for step in before),
        ahead=ahead,
        skipped=frozenset(step.name for step in view.steps if step.state == StepState.SKIPPED),
        next_attempts=_next_attempts(run, ahead),
        escalated=tuple(Escalated(each.created_at, each.resolved_at) for each in escalations),
    )


def _next_attempts(run: Run, ahead: Sequence[Ahead]) -> dict[str, datetime]:
    """By step, when an operation that has failed is tried again."""
    found: dict[str, datetime] = {}
    for step, wait in (run.pending or {}).items():
        if not wait.get("operation") and wait.get("failed") and wait.get("until"):
            found[step] = datetime.fromtimestamp(wait["until"], tz=UTC)
    if not found and run.attempt and ahead and run.due_at is not None:
        found[ahead[0].step] = run.due_at
    return found


# For the sentence ---------------------------------------------------------------------------------------------------


def situation(found: Inspection, *, held_up: str = "") -> Situation:
    """What a sentence about the run says. ``held_up``: what holds it up besides its own steps, as a clause."""
    run, state = found.run, State(found.run.state)
    ahead, place = found.facts.ahead, _place(run, found.escalations)
    definition = found.definition
    together = len(plan.operations_at(definition, place)) if definition is not None and place is not None else 0
    first = next((s for s in found.view.steps if ahead and s.name == ahead[0].step), None)
    calling, accepted = _begun(run, found.entries)
    came = {confirmation.name for confirmation in found.confirmations}
    names = tuple(each.name for each in definition.confirmations) if definition is not None else ()
    done, count = _counts(found, state)
    raised, by_hand = found.open_escalation, _ended_by_hand(found)
    return Situation(
        state=state,
        age=found.facts.end - run.created_at,
        reason=run.reason,
        done=done,
        count=count,
        ahead=ahead,
        together=max(together, 1),
        failed=first.failed if first is not None else 0,
        attempts=_attempts(definition, ahead),
        error=_error(first),
        next_attempt_at=found.facts.next_attempts.get(ahead[0].step) if ahead else None,
        calling_since=calling,
        accepted_since=accepted,
        deadline=run.deadline if state in UNDECIDED else None,
        missing=tuple(name for name in names if name not in came),
        confirmations=names,
        is_child=run.parent_id is not None,
        held_up=held_up,
        stopped_at=(raised.step, raised.operation) if raised is not None else ("", ""),
        escalation=raised.error if raised is not None and isinstance(raised.error, dict) else None,
        assignee=raised.assignee if raised is not None else "",
        resolved_by=by_hand.resolved_by if by_hand is not None else "",
        note=by_hand.note if by_hand is not None else "",
        is_known=definition is not None,
        has_undone=any(step.state == StepState.COMPENSATED for step in found.view.steps),
    )


def _ended_by_hand(found: Inspection) -> Escalation | None:
    """The escalation by whose resolution a person has ended the run."""
    return next((each for each in found.escalations if each.resolution in FINAL), None)


def _counts(found: Inspection, state: State) -> tuple[int, int]:
    """How many operations of the present phase are done, and how many it has."""
    left = sum(each.state is state for each in found.facts.ahead)
    steps = [step for step in found.view.steps if step.state != StepState.SKIPPED]
    if state is State.COMPENSATING:
        done = sum(step.state == StepState.COMPENSATED for step in steps)
        return done, done + left
    if state is State.CONFIRMING and found.definition is not None:
        count = len(found.definition.confirmed_steps) + len(found.definition.steps) - found.definition.before_pivot
        return count - left, count
    mine = [step for step in steps if found.definition is None or step.name in found.facts.before_pivot]
    return sum(step.state in _DONE for step in mine), len(mine)


def _attempts(definition: Definition | None, ahead: Sequence[Ahead]) -> int:
    if definition is None or not ahead:
        return 0
    for step in definition.all_steps:
        for phase, action in step.actions.items():
            if step.name == ahead[0].step and action.operation == ahead[0].operation:
                try:
                    return definition.action(definition.all_steps.index(step), Phase(phase)).retry.attempts
                except UnknownStep:
                    return 0
    return 0


def _error(step: StepView | None) -> str:
    error = step.error if step is not None and step.error else {}
    return ": ".join(filter(None, (str(error.get("code") or ""), str(error.get("detail") or ""))))


def _begun(run: Run, entries: Sequence[Log]) -> tuple[datetime | None, datetime | None]:
    """Since when a call of what the run waits for is under way, and since when its report is owed."""
    waiting = {step for step, wait in (run.pending or {}).items() if wait.get("operation")}
    for entry in reversed(entries):
        if entry.step in waiting and entry.outcome == "INTENT":
            return entry.at, None
        if entry.step in waiting and entry.outcome == "ACCEPTED":
            return None, entry.at
    return None, None
