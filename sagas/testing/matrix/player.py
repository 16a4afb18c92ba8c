"""Plays one case of a saga, and compares it with the same run without trouble."""

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
from sagas.testing.carrier import WORKER, Carrier, living
from sagas.testing.clock import Clock
from sagas.testing.matrix.cases import Case, Trouble, Way, has_remote
from sagas.testing.matrix.chaos_carrier import Meddler
from sagas.testing.matrix.invariants import all_or_nothing
from sagas.testing.matrix.rollback import rehearsal
from sagas.testing.matrix.snapshot import (
    Columns,
    Picture,
    columns_of,
    differences,
    joined,
    picture,
    remnants,
    spoiled,
    volatile,
)
from sagas.testing.matrix.subject import Ended, Subject, databases_of
from sagas.testing.scenario.faults import Broken, Fault, Kind
from sagas.testing.scenario.scenario import Scenario, given_run
from sagas.testing.scenario.timeline import table
from sagas.testing.settings import alone

#: Delays after which the same run is repeated to see which columns vary. The last may be too late for the request.
_LATER = (timedelta(0), timedelta(seconds=1), timedelta(days=1, hours=1))


def play(subject: Subject, case: Case) -> str:
    """Play a case and return how it has ended.

    A saga with a remote participant is not compared with a run without trouble, because the calls of that run cannot be
    rolled back. Then only the log and the project's invariant are checked.

    Raises:
        AssertionError: with everything that is wrong, and the run's log.
    """
    databases = databases_of(subject.saga.definition)
    with alone(subject.saga.definition.name, case.carrier), Clock() as clock:
        strangers = living()
        with TestCase.captureOnCommitCallbacks(execute=True):
            run_id = subject.start()
            confirm_early(subject, case.way, run_id)
        compared = not has_remote(subject.saga.definition)
        before = picture(databases) if compared else {}
        wanted, ignored = _untroubled(subject, case, run_id, clock, strangers) if compared else ({}, {})
        carrier = Meddler(case, clock, strangers)
        scenario = _scenario(subject, case, run_id)
        scenario.play(clock, carrier)
        story = _finish(case, scenario, carrier, clock)
        ended = compared and _state(run_id) is case.ends
        changed: list[str] = []
        if ended:
            found = picture(databases)
            changed = differences(wanted, found, ignored) or spoiled(before, wanted, found, ignored)
            if case.shows_what_is_left:
                changed += _left(remnants(before, found, ignored, subject.leaves))
        never = [] if carrier.met else [f"{case.step}.{case.operation} was never performed"]
        _check(subject, case, run_id, story, [*never, *changed])
    return story


def _left(lines: list[str]) -> list[str]:
    if not lines:
        return []
    hint = 'a record that is to stay is none: leaves=["table"], or leaves=["table.column"]'
    return [f"a run that has failed has left something: {line}" for line in lines] + [hint]


def _untroubled(
    subject: Subject, case: Case, run_id: UUID, clock: Clock, strangers: Collection[UUID]
) -> tuple[Picture, Columns]:
    """Return the tables after the same run without trouble, and the columns whose values vary by chance."""
    databases = databases_of(subject.saga.definition)
    by_way = case.way is Way.GOES_ON and case.ends is State.FAILED
    ending = (case.way, case.ends, (case.step, case.trouble) if by_way else "")
    known = subject.by_chance
    pictures: list[Picture] = []
    # The run is repeated later, so that values which depend on the time vary; a day later for dates.
    for later in _LATER if ending not in known else _LATER[:1]:
        with rehearsal(databases, clock):
            clock.let_pass(later)
            try:
                _play_untroubled(subject, case, run_id, clock, strangers)
            except AssertionError:
                if later is not _LATER[-1]:
                    raise
                continue  # the request may be too late a day later
            pictures.append(picture(databases))
    if ending not in known:
        known[ending] = joined(*(volatile(pictures[0], other) for other in pictures[1:]))
    return pictures[0], joined(known[ending], columns_of(subject.ignore))


def led(subject: Subject, way: Way, run_id: UUID, carrier: str) -> Scenario:
    """Make a scenario that leads a run in this way, without other trouble."""
    scenario = given_run(run_id, carrier=carrier)
    scenario.run_id = run_id
    if subject.prepare is not None:
        subject.prepare(scenario)
        scenario._unplayed = False  # the matrix plays it without a then_…
    definition = subject.saga.definition
    if way is Way.CANCELLED:
        scenario.outside.confirmed.clear()  # their data is used in the other ways
        scenario.outside.cancels()
        return scenario
    if way in {Way.REFUSED, Way.REFUNDED}:
        return scenario.when_rejects(definition.steps[definition.before_pivot - 1].name)
    if way is Way.BRANCHED_OFF:
        first = definition.steps[definition.stages[definition.before_pivot - 1].start].name
        return scenario.when_rejects(first).when_fails(first, attempts=1)
    scenario.outside.confirms_the_rest()
    return scenario


def confirm_early(subject: Subject, way: Way, run_id: UUID) -> None:
    """Confirm a run that is undone after its confirmations have come."""
    if way is Way.REFUNDED:
        data = led(subject, Way.GOES_ON, run_id, ORCHESTRATION).outside.confirmed
        for confirmation in subject.saga.definition.confirmations:
            api.confirm(run_id, confirmation.name, dict(data.get(confirmation.name, {})))


def _scenario(subject: Subject, case: Case, run_id: UUID, *, troubled: bool = True) -> Scenario:
    scenario = led(subject, case.way, run_id, case.carrier)
    definition = subject.saga.definition
    if troubled:
        scenario.faults += [fault] if (fault := _fault(case)) else []
    elif case.ends is State.FAILED and case.way is Way.GOES_ON:
        # A step that fails at all attempts leaves the same rows as one that is rejected at its last attempt. Not at its
        # first: parallel branches go on meanwhile.
        scenario.when_rejects(case.step)
        if case.trouble is not Trouble.REJECTS and (before := _attempts(definition, case) - 1):
            scenario.when_fails(case.step, attempts=before)
    return scenario


def _attempts(definition: Definition, case: Case) -> int:
    """Count the attempts of an operation that always fails."""
    retry = definition.all_steps[case.index].actions[case.phase].retry
    return next(n for n in count(1) if isinstance(retry.decide(n, Broken(), spread=0), GiveUp))


def _fault(case: Case) -> Fault | None:
    match case.trouble:
        case Trouble.REJECTS:
            return Fault(case.step, case.phase, Kind.REJECTS, Rejected(f"{case.step} says no"))
        case Trouble.RAISES | Trouble.RAISES_ONCE:
            return Fault(case.step, case.phase, Kind.FAILS, Broken(f"{case.step} is broken"), case.attempts)
        case Trouble.ANSWER_LOST | Trouble.ANSWER_LOST_ONCE:
            return Fault(case.step, case.phase, Kind.TIMES_OUT, Broken(f"{case.step} did not answer"), case.attempts)
    return None


def _play_untroubled(subject: Subject, case: Case, run_id: UUID, clock: Clock, strangers: Collection[UUID]) -> None:
    scenario = _scenario(subject, case, run_id, troubled=False)
    scenario.play(clock, Carrier(strangers))
    found = State(Run.objects.values_list("state", flat=True).get(pk=run_id))
    if found is not case.ends:
        msg = f"{case}: without any trouble the run must be {case.ends}, and not {found}\n\n{table(run_id)}"
        raise AssertionError(msg)
    try:
        subject.keeps_its_invariant(Ended(run_id, found))
    except AssertionError as error:
        msg = f"{case}: the invariant does not hold even without any trouble: {error}\n\n{table(run_id)}"
        raise AssertionError(msg) from error


def _finish(case: Case, scenario: Scenario, carrier: Meddler, clock: Clock) -> str:
    """Act once the run has stopped: repair and resume an escalated run, and deliver the late copy of a message."""
    state = _state(scenario.run_id)
    story = ""
    if state is State.ESCALATED and case.trouble in {Trouble.RAISES, Trouble.ANSWER_LOST}:
        story = "ESCALATED; resumed: "
        scenario.faults.clear()
        with TestCase.captureOnCommitCallbacks(execute=True):
            api.resume(scenario.run_id, by=WORKER, note="mended")
        scenario.play(clock, carrier)
    if case.trouble is Trouble.LATE and carrier.kept is not None:
        with TestCase.captureOnCommitCallbacks(execute=True):
            carrier.come_late(clock.now)
        scenario.play(clock, carrier)
    return f"{story}{_state(scenario.run_id)}"


def _check(subject: Subject, case: Case, run_id: UUID, story: str, found: list[str]) -> None:
    wrong = list(found)
    state = _state(run_id)
    if story != case.story:
        wrong.append(f"it must be {case.story}, and is {story}")
    if state is case.ends:
        wrong += all_or_nothing(subject.saga.definition, run_id, state)
        try:
            subject.keeps_its_invariant(Ended(run_id, state))
        except AssertionError as error:
            wrong.append(f"the invariant does not hold: {error}")
    if wrong:
        msg = "\n".join([f"{case}:", *(f"  {line}" for line in wrong), "", table(run_id)])
        raise AssertionError(msg)


def _state(run_id: UUID) -> State:
    return State(Run.objects.values_list("state", flat=True).get(pk=run_id))
