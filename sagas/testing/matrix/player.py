"""Plays one case of a saga, and compares it with the same run without a fault."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from itertools import count
from uuid import UUID

from django.test import TestCase

from sagas import api
from sagas.definition.definition import Definition
from sagas.definition.retry import GiveUp
from sagas.errors import Rejected
from sagas.models import Run
from sagas.states import ORCHESTRATION, State
from sagas.testing.carrier import WORKER, Carrier, live_run_ids
from sagas.testing.clock import Clock
from sagas.testing.matrix.cases import WITHOUT_BROKER, Case, InjectedFault, RunPath, has_remote
from sagas.testing.matrix.chaos_carrier import ChaosCarrier
from sagas.testing.matrix.invariants import all_or_nothing
from sagas.testing.matrix.rollback import rolled_back
from sagas.testing.matrix.snapshot import (
    Columns,
    Snapshot,
    altered_rows,
    columns_of,
    differences,
    merged_columns,
    remnants,
    take_snapshot,
    volatile_columns,
)
from sagas.testing.matrix.subject import Ended, Subject, databases_of
from sagas.testing.scenario.faults import Broken, Fault, FaultKind
from sagas.testing.scenario.outside import confirm
from sagas.testing.scenario.scenario import Scenario, given_run
from sagas.testing.scenario.timeline import table
from sagas.testing.settings import in_process_settings

#: Delays after which the same run is repeated to see which columns vary. The last may be too late for the request.
_DELAYS = (timedelta(0), timedelta(seconds=1), timedelta(days=1, hours=1))


def play(subject: Subject, case: Case) -> str:
    """Play a case and return how it has ended.

    A saga with a remote participant is not compared with a run without a fault, because the calls of that run cannot be
    rolled back. Then only the log and the project's invariant are checked.

    Raises:
        AssertionError: with everything that is wrong, and the run's log.
    """
    databases = databases_of(subject.definition)
    settings = in_process_settings(subject.definition.name, case.carrier, longest_lease=_longest_lease(case))
    with settings, Clock() as clock:
        excluded = live_run_ids()
        with TestCase.captureOnCommitCallbacks(execute=True):
            run_id = subject.start()
            subject.check_skips(run_id)
            confirm_early(subject, case.path, run_id)
        compared = not has_remote(subject.definition)
        before = take_snapshot(databases) if compared else {}
        wanted, ignored = _run_without_fault(subject, case, run_id, clock, excluded) if compared else ({}, {})
        carrier = ChaosCarrier(case, clock, excluded)
        scenario = _scenario_of(subject, case, run_id)
        scenario.play(clock, carrier)
        ended_as = _finish(case, scenario, carrier, clock)
        ended = compared and _state(run_id) is case.final_state
        changed: list[str] = []
        if ended:
            found = take_snapshot(databases)
            changed = differences(wanted, found, ignored) or altered_rows(before, wanted, found, ignored)
            if case.reports_remnants:
                changed += _describe_remnants(remnants(before, found, ignored, subject.leaves))
        never = [] if carrier.injected else [f"{case.step}.{case.operation} was never performed"]
        _check(subject, case, run_id, ended_as, [*never, *changed])
    return ended_as


def _longest_lease(case: Case) -> float | None:
    """Return for how long, in seconds, nobody may notice that a process was killed; ``None`` if it does not matter.

    Without a broker that is a lease. In a saga with shorter time-outs the run would be undone, rightly, and the case
    would say nothing of the operation.
    """
    definition = case.definition
    times = [definition.timeout, *(step.timeout for step in definition.steps)]
    times += [confirmation.within for confirmation in definition.confirmations]
    if case.fault not in WITHOUT_BROKER:
        return None
    return min((time.total_seconds() / 2 for time in times if time is not None), default=None)


def _describe_remnants(lines: list[str]) -> list[str]:
    if not lines:
        return []
    hint = 'to allow a record that stays, pass leaves=["table"] or leaves=["table.column"]'
    return [f"the failed run has left something: {line}" for line in lines] + [hint]


def _run_without_fault(
    subject: Subject, case: Case, run_id: UUID, clock: Clock, excluded: Collection[UUID]
) -> tuple[Snapshot, Columns]:
    """Return the tables after the same run without a fault, and the columns whose values vary from run to run."""
    databases = databases_of(subject.definition)
    by_fault = case.path is RunPath.CONFIRMED and case.final_state is State.FAILED
    ending = (case.path, case.final_state, (case.step, case.fault) if by_fault else "")
    known = subject.varying_columns
    snapshots: list[Snapshot] = []
    # The run is repeated later, so that values which depend on the time vary; a day later for dates.
    for later in _DELAYS if ending not in known else _DELAYS[:1]:
        with rolled_back(databases, clock):
            clock.advance(later)
            try:
                _play_without_fault(subject, case, run_id, clock, excluded)
            except AssertionError:
                if later is not _DELAYS[-1]:
                    raise
                continue  # the request may be too late a day later
            snapshots.append(take_snapshot(databases))
    if ending not in known:
        known[ending] = merged_columns(*(volatile_columns(snapshots[0], other) for other in snapshots[1:]))
    return snapshots[0], merged_columns(known[ending], columns_of(subject.ignore))


def scenario_on_path(subject: Subject, path: RunPath, run_id: UUID, carrier: str) -> Scenario:
    """Make a scenario that leads a run along a path, without any other fault."""
    scenario = given_run(run_id, carrier=carrier)
    scenario.run_id = run_id
    if subject.prepare is not None:
        subject.prepare(scenario)
        scenario._unplayed = False  # the matrix plays it without a then_…
    definition = subject.definition
    if path is RunPath.CANCELLED:
        scenario.outside.confirmed.clear()  # their data is used in the other ways
        scenario.outside.cancels()
        return scenario
    if path in {RunPath.REJECTED, RunPath.REFUNDED}:
        return scenario.when_rejects(definition.steps[definition.before_pivot - 1].name)
    if path is RunPath.BRANCH_REJECTED:
        first = definition.steps[definition.stages[definition.before_pivot - 1].start].name
        return scenario.when_rejects(first).when_fails(first, attempts=1)
    scenario.outside.confirms_the_rest()
    return scenario


def confirm_early(subject: Subject, path: RunPath, run_id: UUID) -> None:
    """Confirm a run that is undone after its confirmations have come."""
    if path is RunPath.REFUNDED:
        data = scenario_on_path(subject, RunPath.CONFIRMED, run_id, ORCHESTRATION).outside.confirmed
        for confirmation in subject.definition.confirmations:
            confirm(run_id, subject.definition, confirmation.name, data.get(confirmation.name, {}))


def _scenario_of(subject: Subject, case: Case, run_id: UUID, *, with_fault: bool = True) -> Scenario:
    scenario = scenario_on_path(subject, case.path, run_id, case.carrier)
    definition = subject.definition
    if with_fault:
        scenario.faults += [fault] if (fault := _fault(case)) else []
    elif case.final_state is State.FAILED and case.path is RunPath.CONFIRMED:
        # A step that fails at all attempts leaves the same rows as one that is rejected at its last attempt. Not at its
        # first: parallel branches go on meanwhile.
        scenario.when_rejects(case.step)
        if case.fault is not InjectedFault.REJECTS and (before := _attempts(definition, case) - 1):
            scenario.when_fails(case.step, attempts=before)
    return scenario


def _attempts(definition: Definition, case: Case) -> int:
    """Count the attempts of an operation that always fails."""
    retry = definition.all_steps[case.index].actions[case.phase].retry
    return next(n for n in count(1) if isinstance(retry.decide(n, Broken(), spread=0), GiveUp))


def _fault(case: Case) -> Fault | None:
    match case.fault:
        case InjectedFault.REJECTS:
            return Fault(case.step, case.phase, FaultKind.REJECTS, Rejected(f"{case.step} says no"))
        case InjectedFault.RAISES | InjectedFault.RAISES_ONCE:
            return Fault(case.step, case.phase, FaultKind.FAILS, Broken(f"{case.step} is broken"), case.attempts)
        case InjectedFault.ANSWER_LOST | InjectedFault.ANSWER_LOST_ONCE:
            return Fault(
                case.step, case.phase, FaultKind.TIMES_OUT, Broken(f"{case.step} did not answer"), case.attempts
            )
    return None


def _play_without_fault(subject: Subject, case: Case, run_id: UUID, clock: Clock, excluded: Collection[UUID]) -> None:
    scenario = _scenario_of(subject, case, run_id, with_fault=False)
    scenario.play(clock, Carrier(excluded))
    found = State(Run.objects.values_list("state", flat=True).get(pk=run_id))
    if found is not case.final_state:
        msg = f"{case}: without any fault the run must be {case.final_state}, and not {found}\n\n{table(run_id)}"
        raise AssertionError(msg)
    try:
        subject.check_invariant(Ended(run_id, found))
    except AssertionError as error:
        msg = f"{case}: the invariant does not hold even without any fault: {error}\n\n{table(run_id)}"
        raise AssertionError(msg) from error


def _finish(case: Case, scenario: Scenario, carrier: ChaosCarrier, clock: Clock) -> str:
    """Act once the run has stopped: repair and resume an escalated run, and deliver the late copy of a message."""
    state = _state(scenario.run_id)
    ended_as = ""
    if state is State.ESCALATED and case.fault in {InjectedFault.RAISES, InjectedFault.ANSWER_LOST}:
        ended_as = "ESCALATED; resumed: "
        scenario.faults.clear()
        with TestCase.captureOnCommitCallbacks(execute=True):
            api.resume(scenario.run_id, by=WORKER, note="repaired")
        scenario.play(clock, carrier)
    if case.fault is InjectedFault.LATE and carrier.saved is not None:
        with TestCase.captureOnCommitCallbacks(execute=True):
            carrier.deliver_late_copy(clock.now)
        scenario.play(clock, carrier)
    return f"{ended_as}{_state(scenario.run_id)}"


def _check(subject: Subject, case: Case, run_id: UUID, ended_as: str, found: list[str]) -> None:
    wrong = list(found)
    state = _state(run_id)
    if ended_as != case.expected:
        wrong.append(f"it must be {case.expected}, and is {ended_as}")
    if state is case.final_state:
        wrong += all_or_nothing(subject.definition, run_id, state)
        try:
            subject.check_invariant(Ended(run_id, state))
        except AssertionError as error:
            wrong.append(f"the invariant does not hold: {error}")
    if wrong:
        msg = "\n".join([f"{case}:", *(f"  {line}" for line in wrong), "", table(run_id)])
        raise AssertionError(msg)


def _state(run_id: UUID) -> State:
    return State(Run.objects.values_list("state", flat=True).get(pk=run_id))
