"""Does a saga unwind, whatever happens? Every operation with everything that can go wrong, on the real database.

Each case is a run of its own. It must end wholly confirmed or wholly undone, every effect once, and leave the same rows
in the project's tables as a run that ended in the same way without any trouble; and the project's own invariant holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.test import TestCase

from sagas import api, perform, plan, store
from sagas.definition import CARRIERS, Definition, Saga
from sagas.errors import Rejected
from sagas.messages import Chain, RemoteCalls
from sagas.models import Log, Run
from sagas.participant import Phase
from sagas.plan import Stand
from sagas.retry import GiveUp
from sagas.states import State
from sagas.testing.carrier import WORKER, Carrier, reacting
from sagas.testing.clock import Clock
from sagas.testing.death import die
from sagas.testing.faults import Broken, Fault, Kind
from sagas.testing.picture import Columns, Picture, differences, picture, volatile
from sagas.testing.rehearsal import rehearsal
from sagas.testing.scenario import Scenario, alone, given_run
from sagas.testing.story import table
from sagas.testing.troubles import Case, Trouble, Way, cases


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, for an invariant to look at.

    Attributes:
        run_id: the run.
        state: SUCCEEDED or FAILED.
    """

    run_id: UUID
    state: State

    @property
    def succeeded(self) -> bool:
        """Whether every effect must be there; otherwise none."""
        return self.state is State.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Subject:
    """What the cases of a saga are played with.

    Attributes:
        saga: the saga.
        request: what is asked of it; or a function that makes the data which it needs and returns the request, or
            that starts a run itself and returns its id.
        invariant: asserts what must hold in the project's tables once a run has ended; ``False`` is a breach, too.
        prepare: tells a scenario what else comes from outside: ``lambda s: s.when_reported("step")``.
        ignore: columns that need not be the same with trouble and without, as ``"table.column"``.
    """

    saga: type[Saga[Any]]
    request: object
    invariant: Callable[[Ended], object] | None = None
    prepare: Callable[[Scenario], object] | None = None
    ignore: Collection[str] = ()

    def start(self) -> UUID:
        """Make what a run needs, and start it."""
        made = self.request() if callable(self.request) else self.request
        return made if isinstance(made, UUID) else api.start(self.saga, made)

    def keeps_its_invariant(self, ended: Ended) -> None:
        """Ask the project."""
        if self.invariant is not None and self.invariant(ended) is False:
            msg = f"the invariant does not hold for a run that is {ended.state}"
            raise AssertionError(msg)


class Meddler(Carrier):
    """Carries messages, and interferes once with those of one operation.

    Attributes:
        met: whether it came to that.
    """

    def __init__(self, case: Case, clock: Clock) -> None:
        super().__init__()
        self.case = case
        self.clock = clock
        self.met = False
        self.kept: Chain | None = None

    def carry(self, chain: Chain, now: datetime) -> None:
        """Deliver a cohort; if it is the one of the case, with its trouble."""
        if self.met or not self._is_the_one(chain):
            super().carry(chain, now)
            return
        self.met = True
        self.kept = chain
        match self.case.trouble:
            case Trouble.TWICE:
                # At once, and once more when what follows from the first is on its way.
                super().carry(chain, now)
                super().carry(chain, now)
                self.waiting.append(chain)
            case Trouble.OUT_OF_ORDER:
                self._all_others(chain, now)
                super().carry(chain, now)
            case Trouble.DIES_BEFORE | Trouble.DIES_AFTER:
                die(
                    lambda: self._in_the_child(chain, now),
                    self.clock,
                    database=self.case.database,
                    commit=self.case.commit,
                    before=self.case.trouble is Trouble.DIES_BEFORE,
                )
                super().carry(replace(chain, issue=chain.issue + 1), now)
            case _:
                super().carry(chain, now)

    def come_late(self, now: datetime) -> None:
        """Deliver a copy of the message again, now that the run has ended."""
        assert self.kept is not None
        super().carry(self.kept, now)

    def _is_the_one(self, chain: Chain) -> bool:
        definition = self.case.saga.definition
        if chain.links[0].saga != definition.name:
            return False
        if not any((link.step, link.phase) == (self.case.step, self.case.phase) for link in reacting(chain)):
            return False
        rows = store.look(chain.ids)
        return any(plan.stand(definition, row.place, self.case.index, self.case.phase) is Stand.HERE for row in rows)

    def _all_others(self, chain: Chain, now: datetime) -> None:
        definition = self.case.saga.definition
        for index, step in enumerate(definition.all_steps):
            for phase in step.actions:
                if (index, phase) != (self.case.index, self.case.phase):
                    done = perform.perform(plan.link(definition, index, phase), chain.ids, worker=WORKER)
                    self.post(done.messages, now)

    def _in_the_child(self, chain: Chain, now: datetime) -> None:
        calls = [message for message in self.perform(chain) if isinstance(message, RemoteCalls)]
        self.post(calls, now)


# -- One case -------------------------------------------------------------------------------------------------


def play(subject: Subject, case: Case) -> str:
    """Play a case, and say how it has ended.

    Raises:
        AssertionError: something is wrong; with what, and the run's log.
    """
    databases = databases_of(subject.saga.definition)
    with alone(subject.saga.definition.name, case.carrier), Clock() as clock:
        with TestCase.captureOnCommitCallbacks(execute=True):
            run_id = subject.start()
            _confirm_early(case, run_id)
        wanted, ignored = _untroubled(subject, case, run_id, clock)
        carrier = Meddler(case, clock)
        scenario = _scenario(subject, case, run_id)
        scenario.play(clock, carrier)
        story = _finish(case, scenario, carrier, clock)
        _check(subject, case, run_id, carrier.met, differences(wanted, picture(databases), ignored))
    return story


#: By saga and ending, the columns that differ from one untroubled run to the next; found by the first case.
_volatile: dict[tuple[object, ...], dict[str, set[str]]] = {}


def _untroubled(subject: Subject, case: Case, run_id: UUID, clock: Clock) -> tuple[Picture, Columns]:
    """What the tables say if the same run ends in the same way without any trouble; and what of it is by chance."""
    databases = databases_of(subject.saga.definition)
    by_way = case.way is Way.GOES_ON and case.ends is State.FAILED
    ending = (subject.saga, case.way, case.ends, (case.step, case.trouble) if by_way else "")
    pictures: list[Picture] = []
    # A second later: so that what depends on the time differs, and is known.
    for later in (0, 1) if ending not in _volatile else (0,):
        with rehearsal(databases, clock):
            clock.let_pass(timedelta(seconds=later))
            _play_untroubled(subject, case, run_id, clock)
            pictures.append(picture(databases))
    if ending not in _volatile:
        _volatile[ending] = volatile(*pictures)
    ignored = {table: set(columns) for table, columns in _volatile[ending].items()}
    for name in subject.ignore:
        at, _, column = name.rpartition(".")
        ignored.setdefault(at, set()).add(column)
    return pictures[0], ignored


def databases_of(definition: Definition) -> list[str]:
    """The databases in which a saga has its data, the engine's first."""
    return [DEFAULT_DB_ALIAS, *sorted({step.database for step in definition.all_steps} - {""})]


def _scenario(subject: Subject, case: Case, run_id: UUID, *, troubled: bool = True) -> Scenario:
    scenario = given_run(run_id, carrier=case.carrier)
    scenario.run_id = run_id
    if subject.prepare is not None:
        subject.prepare(scenario)
    definition = subject.saga.definition
    if case.way is Way.CANCELLED:
        scenario.when_cancelled()
    elif case.way in {Way.REFUSED, Way.REFUNDED}:
        scenario.when_rejects(definition.steps[definition.before_pivot - 1].name)
    else:
        scenario.when_confirmed()
    if troubled:
        scenario.faults += [fault] if (fault := _fault(case)) else []
    elif case.ends is State.FAILED and case.way is Way.GOES_ON:
        # Whoever breaks for good leaves the same as who says no at the last attempt. Not at the first: in a fork the
        # other branches go on meanwhile.
        scenario.when_rejects(case.step)
        if case.trouble is not Trouble.REJECTS and (before := _attempts(definition, case) - 1):
            scenario.when_fails(case.step, attempts=before)
    return scenario


def _attempts(definition: Definition, case: Case) -> int:
    """How many attempts an operation that breaks has."""
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


def _confirm_early(case: Case, run_id: UUID) -> None:
    if case.way is Way.REFUNDED:
        for confirmation in case.saga.definition.confirmations:
            api.confirm(run_id, confirmation.name)


def _play_untroubled(subject: Subject, case: Case, run_id: UUID, clock: Clock) -> None:
    scenario = _scenario(subject, case, run_id, troubled=False)
    scenario.play(clock, Carrier())
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
    """Do what comes after the run has come to a stand: mend it for the person who was called; deliver what is late."""
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


def _check(subject: Subject, case: Case, run_id: UUID, met: bool, changed: list[str]) -> None:
    wrong: list[str] = []
    state = _state(run_id)
    if not met:
        wrong.append(f"{case.step}.{case.operation} was never performed")
    if state is not case.ends:
        wrong.append(f"it must be {case.ends}, and is {state}")
    else:
        wrong += all_or_nothing(subject.saga.definition, run_id, state)
        wrong += changed
        try:
            subject.keeps_its_invariant(Ended(run_id, state))
        except AssertionError as error:
            wrong.append(f"the invariant does not hold: {error}")
    if wrong:
        msg = "\n".join([f"{case}:", *(f"  {line}" for line in wrong), "", table(run_id)])
        raise AssertionError(msg)


def all_or_nothing(definition: Definition, run_id: UUID, state: State) -> list[str]:
    """What the log of an ended run says that cannot be: effects missing, doubled, left standing or out of order."""
    log = Log.objects.filter(run_id=run_id, outcome="DONE").order_by("id").values_list("step", "operation")
    phases = {
        (step.name, action.operation.value): (index, phase)
        for index, step in enumerate(definition.all_steps)
        for phase, action in step.actions.items()
    }
    done = [phases[effect] for effect in log]
    wrong = [f"{_name(definition, *effect)} took effect twice" for effect in {e for e in done if done.count(e) > 1}]
    forward = {index for index, phase in done if phase is Phase.FORWARD}
    undone = [index for index, phase in done if phase is Phase.UNDO]
    confirmed = {index for index, phase in done if phase is Phase.CONFIRM}
    everything = range(len(definition.steps))
    if state is State.SUCCEEDED:
        wrong += [f"{_name(definition, i, Phase.FORWARD)} is missing" for i in everything if i not in forward]
        needed = {i for i in everything if definition.has(i, Phase.CONFIRM)}
        wrong += [f"{_name(definition, i, Phase.CONFIRM)} is missing" for i in sorted(needed - confirmed)]
        wrong += [f"{_name(definition, i, Phase.UNDO)} in a run that has succeeded" for i in undone]
        return wrong
    undoable = {i for i in forward if definition.has(i, Phase.UNDO)}
    wrong += [f"{_name(definition, i, Phase.FORWARD)} was not undone" for i in sorted(undoable - set(undone))]
    wrong += [f"{_name(definition, i, Phase.CONFIRM)} in a run that has failed" for i in sorted(confirmed)]
    if undone != sorted(undone, reverse=True):
        wrong.append(f"undone in another order than backwards: {[definition.all_steps[i].name for i in undone]}")
    return wrong


def _name(definition: Definition, index: int, phase: Phase) -> str:
    step = definition.all_steps[index]
    return f"{step.name}.{step.actions[phase].operation}"


def _state(run_id: UUID) -> State:
    return State(Run.objects.values_list("state", flat=True).get(pk=run_id))


# -- All of them ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case has ended. ``problem`` is empty where all is as it must be."""

    case: Case
    ended: str
    problem: str = ""


def outcomes(subject: Subject, *, carriers: Sequence[str] = CARRIERS) -> list[Outcome]:
    """Play every case that needs no death, and take each back.

    With deaths, if the caller has no transaction open: then what those leave stays.
    """
    databases = databases_of(subject.saga.definition)
    may_die = not any(connections[database].in_atomic_block for database in databases)
    found: list[Outcome] = []
    for case in cases(subject.saga, carriers=carriers):
        if case.deadly and not may_die:
            continue
        try:
            if case.deadly:
                ended = play(subject, case)
            else:
                with rehearsal(databases):
                    ended = play(subject, case)
        except AssertionError as error:
            found.append(Outcome(case, "", str(error)))
        else:
            found.append(Outcome(case, ended))
    return found


def assert_saga_unwinds(
    saga: type[Saga[Any]],
    request: object,
    *,
    invariant: Callable[[Ended], object] | None = None,
    prepare: Callable[[Scenario], object] | None = None,
    ignore: Collection[str] = (),
    carriers: Sequence[str] = CARRIERS,
) -> None:
    """Assert that a saga ends wholly confirmed or wholly undone, whatever goes wrong at whichever operation.

    In a test that is rolled back (pytest-django's ``db``) nobody is killed; in one that commits (``transactional_db``),
    processes are. See ``Subject`` for the arguments, ``saga_matrix`` for a test for each case.

    Raises:
        AssertionError: with every case that ended otherwise, and each run's log.
    """
    subject = Subject(saga, request, invariant, prepare, ignore)
    played = outcomes(subject, carriers=carriers)
    problems = [outcome.problem for outcome in played if outcome.problem]
    if problems:
        msg = f"{len(problems)} of {len(played)} cases of {saga.__name__} went wrong\n\n" + "\n\n".join(problems)
        raise AssertionError(msg)


def saga_matrix(
    saga: type[Saga[Any]],
    request: object,
    *,
    invariant: Callable[[Ended], object] | None = None,
    prepare: Callable[[Scenario], object] | None = None,
    ignore: Collection[str] = (),
    carriers: Sequence[str] = CARRIERS,
    fixtures: Sequence[str] = (),
    committing: Sequence[str] = (),
    mark: Callable[[Case], Sequence[Any]] = lambda _: (),
) -> Callable[..., None]:
    """Make a test for pytest, with a case for everything that can go wrong: ``test_order = saga_matrix(Order, place)``.

    Args:
        saga: as for ``Subject``, like the next four.
        request: …
        invariant: …
        prepare: …
        ignore: …
        carriers: "orchestration", "choreography", or both.
        fixtures: names of fixtures that every case needs.
        committing: names of fixtures that the cases need in which a process is killed, instead of pytest-django's
            ``transactional_db``.
        mark: marks of your own for a case.
    """
    import pytest  # noqa: PLC0415 - whoever has another test runner needs no pytest for the rest

    subject = Subject(saga, request, invariant, prepare, ignore)

    def marks(case: Case) -> list[Any]:
        own = list(mark(case))
        if case.deadly and committing:
            return own
        return [*own, pytest.mark.django_db(transaction=case.deadly, databases=databases_of(saga.definition))]

    found = [pytest.param(case, id=str(case), marks=marks(case)) for case in cases(saga, carriers=carriers)]

    @pytest.mark.parametrize("case", found)
    def test_unwinds(case: Case, request: pytest.FixtureRequest) -> None:
        for name in (*fixtures, *(committing if case.deadly else ())):
            request.getfixturevalue(name)
        play(subject, case)

    test_unwinds.__doc__ = f"{saga.__name__} ends wholly confirmed or wholly undone."
    return test_unwinds
