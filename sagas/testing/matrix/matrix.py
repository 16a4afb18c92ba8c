"""Tests that a saga unwinds whatever happens: every operation with every fault, on the real database.

Each case is a run of its own. The run must end wholly confirmed or wholly undone, with every effect once. It must leave
the same rows in the project's tables as a run that ended in the same way without a fault, and keep the project's
invariant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections

from sagas.definition.saga import Saga
from sagas.states import CARRIERS
from sagas.testing.matrix.cases import Case, cases
from sagas.testing.matrix.player import play
from sagas.testing.matrix.rollback import rolled_back
from sagas.testing.matrix.subject import Ended, Subject, databases_of
from sagas.testing.mistakes.mistakes import likely_cause
from sagas.testing.scenario.scenario import Scenario, check_carriers

#: The most failed cases that are described in full. Most of them have the same cause.
MAX_DETAILED = 3


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """How a case has ended. ``problem`` is empty if the case has passed."""

    case: Case
    ended: str
    problem: str = ""


def outcomes(subject: Subject, *, carriers: Sequence[str] = CARRIERS) -> list[CaseOutcome]:
    """Play every case that need not commit, and roll each back.

    If the caller has no open transaction, also play the cases that must commit. Their rows stay.
    """
    check_carriers(carriers)
    databases = databases_of(subject.definition)
    may_commit = not any(connections[database].in_atomic_block for database in databases)
    found: list[CaseOutcome] = []
    for case in cases(subject.saga, carriers=carriers, skips=subject.skips):
        if case.commits and not may_commit:
            continue
        try:
            if case.commits:
                ended = play(subject, case)
            else:
                with rolled_back(databases):
                    ended = play(subject, case)
        except AssertionError as error:
            found.append(CaseOutcome(case, "", str(error)))
        else:
            found.append(CaseOutcome(case, ended))
    return found


def assert_saga_unwinds(
    saga: type[Saga[Any]],
    request: object,
    *,
    invariant: Callable[[Ended], object] | None = None,
    prepare: Callable[[Scenario], object] | None = None,
    ignore: Collection[str] = (),
    leaves: Collection[str] = (),
    skips: Collection[str] = (),
    carriers: Sequence[str] = CARRIERS,
) -> None:
    """Assert that a saga ends wholly confirmed or wholly undone, whatever goes wrong at any operation.

    A test that is rolled back (pytest-django's ``db``) plays no case with a killed process or another system. A test
    that commits (``transactional_db``) plays them, too. ``Subject`` describes the arguments. ``saga_matrix`` makes one
    test a case.

    Raises:
        AssertionError: with every failed case and its run's log.
    """
    subject = Subject(saga, request, invariant, prepare, ignore, leaves, skips)
    played = outcomes(subject, carriers=carriers)
    problems = [outcome.problem for outcome in played if outcome.problem]
    if problems:
        msg = f"{len(problems)} of {len(played)} cases of {saga.__name__} went wrong\n\n"
        msg += "\n\n".join(problems[:MAX_DETAILED])
        if rest := [str(outcome.case) for outcome in played if outcome.problem][MAX_DETAILED:]:
            msg += "\n\nand:\n" + "\n".join(f"  {case}" for case in rest)
        raise AssertionError(msg + likely_cause(subject))


def saga_matrix(
    saga: type[Saga[Any]],
    request: object,
    *,
    invariant: Callable[[Ended], object] | None = None,
    prepare: Callable[[Scenario], object] | None = None,
    ignore: Collection[str] = (),
    leaves: Collection[str] = (),
    skips: Collection[str] = (),
    carriers: Sequence[str] = CARRIERS,
    fixtures: Sequence[str] = (),
    committing: Sequence[str] = (),
    mark: Callable[[Case], Sequence[Any]] = lambda _: (),
) -> Callable[..., None]:
    """Make a parametrized test for pytest, with one case for everything that can go wrong.

    >>> test_place_order = saga_matrix(PlaceOrder, place_an_order, invariant=order_has_all_or_nothing)

    Args:
        saga: the saga; see ``Subject``, also for the next six.
        request: the request.
        invariant: what must hold once a run has ended.
        prepare: what else comes from outside.
        ignore: columns that are not compared.
        leaves: rows that a failed run may leave.
        skips: the steps that a run with this request skips.
        carriers: "orchestration", "choreography", or both.
        fixtures: names of fixtures for every case.
        committing: names of fixtures for the cases that must commit, instead of pytest-django's ``transactional_db``:
            in those a process is killed or another system is called.
        mark: gives additional marks for a case.
    """
    import pytest  # noqa: PLC0415 - the other functions work without pytest

    subject = Subject(saga, request, invariant, prepare, ignore, leaves, skips)

    check_carriers(carriers)

    def marks(case: Case) -> list[Any]:
        own = list(mark(case))
        if case.commits and committing:
            return own
        return [*own, pytest.mark.django_db(transaction=case.commits, databases=databases_of(subject.definition))]

    found = [
        pytest.param(case, id=str(case), marks=marks(case)) for case in cases(saga, carriers=carriers, skips=skips)
    ]

    @pytest.mark.parametrize("case", found)
    def test_unwinds(case: Case, request: pytest.FixtureRequest) -> None:
        for name in (*fixtures, *(committing if case.commits else ())):
            request.getfixturevalue(name)
        try:
            play(subject, case)
        except AssertionError as error:
            msg = f"{error}{likely_cause(subject)}"
            raise AssertionError(msg) from None  # the message contains the original one

    test_unwinds.__doc__ = f"{saga.__name__} ends wholly confirmed or wholly undone."
    return test_unwinds
