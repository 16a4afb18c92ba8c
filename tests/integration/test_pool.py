"""The pool under random cohorts: it holds, sells and gives back what a few lines of plain Python say it must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sagas
from sagas import Rejected, store
from sagas.definition.participants import Call, Done, Operation, Outcome
from sagas.errors import DefinitionError, InvalidDemand, PoolInconsistent
from sagas.pool import PoolResource
from tests.lab.models import Jar, JarHold
from tests.lab.sagas import Experiment, Lab
from tests.support.runs import assert_jar_adds_up, counts, new_jar

# Rolled back after each test.
pytestmark = pytest.mark.django_db

RUNS = 6
JARS = 3
Demand = Mapping[str, int]

resource = PoolResource(pool=Jar, hold=JarHold, demand=lambda demand: demand)


@dataclass(frozen=True)
class Turn:
    """One operation of one cohort; numbers stand for runs."""

    operation: Operation
    cohort: list[int]


@dataclass(frozen=True)
class Tale:
    """What is in the jars, what each run asks for (by the jar's number), and what happens."""

    stock: list[int]
    demands: list[dict[int, int]]
    turns: list[Turn]


@dataclass
class Book:
    """What the pool must do, said plainly: counts by jar, and what each run holds or bought."""

    available: dict[str, int]
    held: dict[UUID, Demand] = field(default_factory=dict)
    sold: dict[UUID, Demand] = field(default_factory=dict)

    def is_wrong(self, operation: Operation, call: Call[Demand]) -> bool:
        """Whether the engine never asks so, of a run that asked for something: the two ends exclude each other."""
        if operation is Operation.CONFIRM:
            return bool(call.request) and call.run_id not in {**self.held, **self.sold}
        return operation is Operation.CANCEL and bool(call.request) and call.run_id in self.sold

    def turn(self, operation: Operation, calls: Sequence[Call[Demand]]) -> list[bool]:
        """Take a turn; say who is refused."""
        return [getattr(self, f"_{operation}")(call.run_id, call.request) for call in calls]

    def _try(self, run: UUID, demand: Demand) -> bool:
        if any(self.available.get(jar, 0) < quantity for jar, quantity in demand.items()):
            return True
        for jar, quantity in demand.items():
            self.available[jar] -= quantity
        self.held[run] = demand
        return False

    def _confirm(self, run: UUID, _: Demand) -> bool:
        if run in self.held:
            self.sold[run] = self.held.pop(run)
        return False

    def _cancel(self, run: UUID, _: Demand) -> bool:
        for jar, quantity in self.held.pop(run, {}).items():
            self.available[jar] += quantity
        return False

    def counts(self, jar: str) -> tuple[int, int, int]:
        """As the pool's row must read."""
        held, sold = (sum(demand.get(jar, 0) for demand in which.values()) for which in (self.held, self.sold))
        return self.available[jar], held, sold


#: The last number is that of a jar that does not exist.
demands = st.dictionaries(st.integers(0, JARS), st.integers(1, 6), max_size=JARS)
turns = st.builds(
    Turn,
    st.sampled_from([Operation.TRY, Operation.CONFIRM, Operation.CANCEL]),
    st.lists(st.integers(0, RUNS - 1), min_size=1, max_size=RUNS, unique=True),
)
tales = st.builds(
    Tale,
    st.lists(st.integers(0, 12), min_size=JARS, max_size=JARS),
    st.lists(demands, min_size=RUNS, max_size=RUNS),
    st.lists(turns, max_size=12),
)
everybody = list(range(RUNS))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tales)
@example(
    Tale(
        [6, 6, 6],
        [{0: 4, 1: 1}, {1: 3, 0: 3}, {2: 6}, {2: 1}, {3: 1}, {}],
        [
            Turn(Operation.CANCEL, everybody),
            Turn(Operation.TRY, everybody),
            Turn(Operation.CONFIRM, [0, 3]),
            Turn(Operation.CONFIRM, everybody),
            Turn(Operation.CANCEL, everybody),
        ],
    )
)
def test_a_pool_adds_up_after_any_cohorts_in_any_order(tale: Tale) -> None:
    # Given
    jars = [f"jar-{uuid4().hex[:8]}" for _ in range(JARS + 1)]
    Jar.objects.all().delete()
    Jar.objects.bulk_create(Jar(name=jar, available=number) for jar, number in zip(jars, tale.stock, strict=False))
    runs = [uuid4() for _ in range(RUNS)]
    asked = [{jars[number]: quantity for number, quantity in demand.items()} for demand in tale.demands]
    book = Book(dict(zip(jars, tale.stock, strict=False)))
    tried: set[int] = set()

    for turn in tale.turns:
        # The engine never tries for a run again that was told yes or no: a hold is kept once.
        cohort = [n for n in turn.cohort if not (turn.operation is Operation.TRY and n in tried)]
        if turn.operation is Operation.TRY:
            tried |= set(cohort)
        if not cohort:
            continue
        calls = [call(turn.operation, asked[n], run_id=runs[n]) for n in cohort]
        if any(book.is_wrong(turn.operation, one) for one in calls):
            # Nothing of the cohort is done: the books below are as they were.
            with pytest.raises(PoolInconsistent):
                take(turn.operation, calls)
            continue

        # When
        outcomes = take(turn.operation, calls)

        # Then whoever is refused is refused rightly, and the books agree
        assert [isinstance(outcome, Rejected) for outcome in outcomes] == book.turn(turn.operation, calls)
        now = {row[0]: row[1:] for row in Jar.objects.values_list("name", "available", "held", "sold")}
        assert now == {jar: book.counts(jar) for jar in jars[:JARS]}
        assert [sum(now[jar]) for jar in jars[:JARS]] == tale.stock
        assert holds(runs) == {
            **{(run, jar, "HELD"): q for run, demand in book.held.items() for jar, q in demand.items()},
            **{(run, jar, "CONFIRMED"): q for run, demand in book.sold.items() for jar, q in demand.items()},
        }


def take(operation: Operation, calls: Sequence[Call[Demand]]) -> Sequence[Outcome]:
    """One cohort in one transaction. A count below 0 would be an error here."""
    how = {Operation.TRY: resource.try_, Operation.CONFIRM: resource.confirm, Operation.CANCEL: resource.cancel}
    with transaction.atomic():
        return how[operation].many(calls)


def holds(runs: Sequence[UUID]) -> dict[tuple[UUID, str, str], int]:
    """What these runs hold or bought."""
    found = JarHold.objects.filter(run_id__in=runs).exclude(state="CANCELLED")
    return {(hold.run_id, hold.pool_key, hold.state): hold.quantity for hold in found}


def call(operation: Operation, demand: Demand, *, run_id: UUID | None = None, step: str = "step") -> Call[Demand]:
    return Call(run_id or uuid4(), step, operation, 1, demand)


@pytest.fixture
def jar() -> str:
    return new_jar(10)


def test_a_rejection_names_the_missing_item_and_holds_nothing(jar: str) -> None:
    (outcome,) = take(Operation.TRY, [call(Operation.TRY, {jar: 3, "jar-of-nobody": 1})])
    assert isinstance(outcome, Rejected)
    assert str(outcome) == "jar-of-nobody: 1 wanted, 0 left"
    assert counts(jar) == (10, 0, 0)


def test_the_first_calls_of_a_cohort_are_served_first(jar: str) -> None:
    outcomes = take(Operation.TRY, [call(Operation.TRY, {jar: quantity}) for quantity in (6, 5, 4, 1)])
    assert [isinstance(outcome, Done) for outcome in outcomes] == [True, False, True, False]
    assert counts(jar) == (0, 10, 0)


def test_a_reserve_id_finds_the_holds_of_its_step(jar: str) -> None:
    # Given two runs that hold of two jars
    other = new_jar(10)
    calls = [call(Operation.TRY, {jar: 3, other: 1}), call(Operation.TRY, {jar: 1})]

    # When
    (first, _) = take(Operation.TRY, calls)

    # Then
    assert isinstance(first, Done)
    assert first.result == {"reserve_id": f"{calls[0].run_id}:step"}
    found = resource.holds_of(first.result["reserve_id"])
    assert {hold.pool_key: hold.quantity for hold in found} == {jar: 3, other: 1}
    assert not resource.holds_of("nonsense").exists()


def test_two_steps_of_a_run_have_separate_holds(jar: str) -> None:
    # Given a run that takes from one jar in two steps
    run_id = uuid4()
    for step in ("early", "late"):
        take(Operation.TRY, [call(Operation.TRY, {jar: 2}, run_id=run_id, step=step)])

    # When one is undone and one confirmed
    take(Operation.CANCEL, [call(Operation.CANCEL, {jar: 2}, run_id=run_id, step="late")])
    take(Operation.CONFIRM, [call(Operation.CONFIRM, {jar: 2}, run_id=run_id, step="early")])

    # Then
    assert counts(jar) == (8, 0, 2)
    assert_jar_adds_up(jar, 10)


def test_a_repeated_try_makes_one_hold(jar: str) -> None:
    run_id = uuid4()
    take(Operation.TRY, [call(Operation.TRY, {jar: 2}, run_id=run_id)])
    with pytest.raises(IntegrityError, match="lab_jarhold_once"):
        take(Operation.TRY, [call(Operation.TRY, {jar: 2}, run_id=run_id)])
    assert counts(jar) == (8, 2, 0)


@pytest.mark.parametrize("count", ["available", "held", "sold"])
def test_no_statement_makes_a_count_negative(jar: str, count: str) -> None:
    with pytest.raises(IntegrityError, match=f"lab_jar_{count}_ge_0"), transaction.atomic():
        Jar.objects.filter(name=jar).update(**{count: -1})


def test_stock_that_an_operator_removed_is_rejected_to_the_next_run(jar: str) -> None:
    take(Operation.TRY, [call(Operation.TRY, {jar: 4})])
    Jar.objects.filter(name=jar).update(available=3)
    outcomes = take(Operation.TRY, [call(Operation.TRY, {jar: 4}), call(Operation.TRY, {jar: 3})])
    assert [isinstance(outcome, Done) for outcome in outcomes] == [False, True]
    assert Counter(JarHold.objects.filter(pool_key=jar).values_list("quantity", flat=True)) == {4: 1, 3: 1}
    assert counts(jar) == (0, 7, 0)


# -- What somebody has changed by other means -------------------------------------------------------------------

#: What is done to the holds and the pool's row, and what is said about it.
TAMPERED: dict[str, tuple[Callable[[UUID, str], object], str]] = {
    "its hold was deleted": (lambda run, _: JarHold.objects.filter(run_id=run).delete(), "and holds {}"),
    "one of its two holds was deleted": (
        lambda run, jar: JarHold.objects.filter(run_id=run, pool_key=jar).delete(),
        "must hold",
    ),
    "its hold says less": (lambda run, jar: JarHold.objects.filter(run_id=run, pool_key=jar).update(quantity=1), "1 "),
    "its hold says more": (lambda run, jar: JarHold.objects.filter(run_id=run, pool_key=jar).update(quantity=5), "5 "),
    "its hold is of another row": (
        lambda run, jar: JarHold.objects.filter(run_id=run, pool_key=jar).update(pool_key="jar-of-nobody"),
        "jar-of-nobody",
    ),
    "the pool's row is gone": (lambda _, jar: Jar.objects.filter(name=jar).delete(), "there is no such row"),
    "the pool's row holds less": (lambda _, jar: Jar.objects.filter(name=jar).update(held=1), "1 are held of it"),
}


@pytest.mark.parametrize("operation", [Operation.CONFIRM, Operation.CANCEL])
@pytest.mark.parametrize("what", TAMPERED)
def test_a_hold_that_was_tampered_with_is_a_fault_and_changes_nothing(
    jar: str, operation: Operation, what: str
) -> None:
    # Given a run that holds two of one jar and three of another, as its log says, and somebody who changes that
    tamper, told = TAMPERED[what]
    other = new_jar(10)
    run_id = sagas.start(Lab, Experiment())
    demand = {jar: 2, other: 3}
    take(Operation.TRY, [call(Operation.TRY, demand, run_id=run_id)])
    store.moves.log(store.moves.Entry("try", "DONE", "step"), store.runs.lock([run_id]))
    tamper(run_id, jar)
    before = (counts(other), set(JarHold.objects.values_list("run_id", "pool_key", "quantity", "state")))

    # When it is settled, then that is refused
    with pytest.raises(PoolInconsistent) as refused:
        take(operation, [call(operation, demand, run_id=run_id)])
    assert told in str(refused.value)
    # And nothing has moved
    assert (counts(other), set(JarHold.objects.values_list("run_id", "pool_key", "quantity", "state"))) == before


@pytest.mark.parametrize(
    ("first", "second"), [(Operation.CONFIRM, Operation.CANCEL), (Operation.CANCEL, Operation.CONFIRM)]
)
def test_a_confirmed_hold_is_not_cancelled_and_a_cancelled_one_not_confirmed(
    jar: str, first: Operation, second: Operation
) -> None:
    run_id = uuid4()
    for operation in (Operation.TRY, first, first):
        take(operation, [call(operation, {jar: 2}, run_id=run_id)])
    with pytest.raises(PoolInconsistent, match="must hold"):
        take(second, [call(second, {jar: 2}, run_id=run_id)])
    assert_jar_adds_up(jar, 10)


def test_an_undo_without_a_hold_succeeds(jar: str) -> None:
    (outcome,) = take(Operation.CANCEL, [call(Operation.CANCEL, {jar: 2})])
    assert isinstance(outcome, Done)
    assert counts(jar) == (10, 0, 0)


def ask(demand: object) -> Outcome:
    """Try to hold what is demanded, as one run."""
    call: Call[Any] = Call(uuid4(), "three", Operation.TRY, 1, demand)
    (outcome,) = resource.try_.many([call])
    return outcome


@pytest.mark.parametrize(
    "quantity", [2**31, 2**62, -1, 1.5, "1", None, True, float("nan")], ids=lambda quantity: repr(quantity)[:9]
)
def test_a_quantity_that_a_hold_cannot_store_is_a_clear_error(quantity: Any) -> None:
    jar = new_jar(2**62)
    with pytest.raises(InvalidDemand, match=rf"lab_jar '{jar}'.*demanded"), transaction.atomic():
        ask({jar: quantity})
    assert counts(jar) == (2**62, 0, 0)
    assert not JarHold.objects.filter(pool_key=jar).exists()


def test_the_largest_quantity_is_held() -> None:
    jar = new_jar(2**62)
    assert isinstance(ask({jar: 2**31 - 1}), Done)
    assert counts(jar) == (2**62 - 2**31 + 1, 2**31 - 1, 0)


@pytest.mark.parametrize("quantity", [11, 2**31, 2**62, 2**70])
def test_any_quantity_above_the_stock_is_rejected(quantity: int) -> None:
    jar = new_jar(10)
    refused = ask({jar: quantity})
    assert isinstance(refused, Rejected)
    assert refused.detail == f"{jar}: {quantity} wanted, 10 left"


@pytest.mark.parametrize("key", ["x" * 65, "a\x00b", "\ud800"], ids=["long", "nul", "surrogate"])
def test_a_key_that_a_hold_cannot_store_is_a_clear_error(key: str) -> None:
    with pytest.raises(InvalidDemand, match="at most 64 characters"), transaction.atomic():
        ask({key: 1})
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_a_pool_with_keys_that_a_hold_cannot_store_is_refused_at_its_declaration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Jar._meta.pk, "max_length", 65)
    with pytest.raises(DefinitionError, match=r"lab\.Jar: its primary key has up to 65 .* at most 64"):
        PoolResource(pool=Jar, hold=JarHold, demand=lambda demand: demand)


def test_the_time_at_which_rows_close_must_be_a_time() -> None:
    for column in ("available", "no such column"):
        with pytest.raises(DefinitionError, match="has no time"):
            PoolResource(pool=Jar, hold=JarHold, demand=lambda demand: demand, closes=column)
