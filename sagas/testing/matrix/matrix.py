"""Does a saga unwind, whatever happens? Every operation with everything that can go wrong, on the real database.

Each case is a run of its own. It must end wholly confirmed or wholly undone, every effect once, and leave the same rows
in the project's tables as a run that ended in the same way without any trouble; and the project's own invariant holds.
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
from sagas.testing.matrix.rollback import rehearsal
from sagas.testing.matrix.subject import Ended, Subject, databases_of
from sagas.testing.mistakes.mistakes import likely_cause
from sagas.testing.scenario.scenario import Scenario, check_carriers

#: Cases that are told in full, where many went wrong: most have one cause.
IN_FULL = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case has ended. ``problem`` is empty where all is as it must be."""

    case: Case
    ended: str
    problem: str = ""


def outcomes(subject: Subject, *, carriers: Sequence[str] = CARRIERS) -> list[Outcome]:
    """Play every case that need not commit, and take each back.

    Those that must, too, if the caller has no transaction open: then what they leave stays.
    """
    check_carriers(carriers)
    databases = databases_of(subject.saga.definition)
    may_commit = not any(connections[database].in_atomic_block for database in databases)
    found: list[Outcome] = []
    for case in cases(subject.saga, carriers=carriers):
        if case.commits and not may_commit:
            continue
        try:
            if case.commits:
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
    leaves: Collection[str] = (),
    carriers: Sequence[str] = CARRIERS,
) -> None:
    """Assert that a saga ends wholly confirmed or wholly undone, whatever goes wrong at whichever operation.

    In a test that is rolled back (pytest-django's ``db``) nobody is killed, and no other system called; in one that
    commits (``transactional_db``) they are. See ``Subject`` for the arguments, ``saga_matrix`` for a test of each case.

    Raises:
        AssertionError: with every case that ended otherwise, and each run's log.
    """
    subject = Subject(saga, request, invariant, prepare, ignore, leaves)
    played = outcomes(subject, carriers=carriers)
    problems = [outcome.problem for outcome in played if outcome.problem]
    if problems:
        msg = f"{len(problems)} of {len(played)} cases of {saga.__name__} went wrong\n\n"
        msg += "\n\n".join(problems[:IN_FULL])
        if rest := [str(outcome.case) for outcome in played if outcome.problem][IN_FULL:]:
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
    carriers: Sequence[str] = CARRIERS,
    fixtures: Sequence[str] = (),
    committing: Sequence[str] = (),
    mark: Callable[[Case], Sequence[Any]] = lambda _: (),
) -> Callable[..., None]:
    """Make a test for pytest that has a case for everything that can go wrong.

    >>> test_place_order = saga_matrix(PlaceOrder, place_an_order, invariant=order_has_all_or_nothing)

    Args:
        saga: see ``Subject``, as of the next five.
        request: what is asked of it.
        invariant: what must hold once a run has ended.
        prepare: what else comes from outside.
        ignore: columns that are not compared.
        leaves: what a run that has failed may leave.
        carriers: "orchestration", "choreography", or both.
        fixtures: names of fixtures that every case needs.
        committing: names of fixtures that the cases need which commit, instead of pytest-django's
            ``transactional_db``: a process is killed, or another system has a part in the saga.
        mark: marks of your own for a case.
    """
    import pytest  # noqa: PLC0415 - whoever has another test runner needs no pytest for the rest

    subject = Subject(saga, request, invariant, prepare, ignore, leaves)

    check_carriers(carriers)

    def marks(case: Case) -> list[Any]:
        own = list(mark(case))
        if case.commits and committing:
            return own
        return [*own, pytest.mark.django_db(transaction=case.commits, databases=databases_of(saga.definition))]

    found = [pytest.param(case, id=str(case), marks=marks(case)) for case in cases(saga, carriers=carriers)]

    @pytest.mark.parametrize("case", found)
    def test_unwinds(case: Case, request: pytest.FixtureRequest) -> None:
        for name in (*fixtures, *(committing if case.commits else ())):
            request.getfixturevalue(name)
        try:
            play(subject, case)
        except AssertionError as error:
            msg = f"{error}{likely_cause(subject)}"
            raise AssertionError(msg) from None  # the same, without the cause

    test_unwinds.__doc__ = f"{saga.__name__} ends wholly confirmed or wholly undone."
    return test_unwinds
