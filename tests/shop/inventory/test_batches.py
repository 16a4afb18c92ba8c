"""Stock in batches: what spoils first goes first, if it is good for long enough; and a hold names its batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from inventory import ledger, services
from inventory.models import Batch, Move, Sku, SkuHold
from inventory.participants import MARGIN, OutOfStock, stock
from inventory.services import StockRefused, add_sku
from sagas import Call, Done
from sagas.definition.participants import Operation, Outcome
from sagas.errors import PoolInconsistent
from sagas.pool import HoldState
from tests.support.statements import SentStatements

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Cups:
    sku: str
    quantity: int


@dataclass(frozen=True)
class Wish:
    items: Sequence[Cups]
    needed_until: datetime | None


def at(hours: float) -> datetime:
    return timezone.now() + timedelta(hours=hours)


def wish(sku: str, quantity: int, *, until: datetime | None = None) -> Call[Wish]:
    return Call(uuid4(), "reserve", Operation.TRY, 1, Wish((Cups(sku, quantity),), until or at(1)))


def take(*calls: Call[Wish]) -> list[Outcome]:
    with transaction.atomic():
        return list(stock.try_.many(calls))


def held(call: Call[Wish]) -> dict[str, int]:
    """What a run holds, by batch."""
    rows = SkuHold.objects.filter(run_id=call.run_id, state=HoldState.HELD)
    return dict(rows.values_list("pool_key", "quantity"))


def counts(key: str) -> tuple[int, int, int, int]:
    return Batch.objects.values_list("available", "held", "sold", "written_off").get(key=key)


@pytest.fixture
def juice() -> Sku:
    """A juice with five cups that never spoil."""
    return add_sku(code=f"JUICE-{uuid4().hex[:8]}", name="Juice", price_cents=1800, available=5)


def receive(sku: Sku, quantity: int, *, spoils_at: datetime | None) -> str:
    return services.add_batch(sku=sku.code, spoils_at=spoils_at, quantity=quantity, reason="pressed", by="li")


def spoil(*keys: str) -> None:
    """Let the time come at which these spoil."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE inventory_batch DISABLE TRIGGER inventory_batch_stays")
        cursor.execute(
            "UPDATE inventory_batch SET spoils_at = now() - interval '1 s' WHERE key = ANY(%s)", [list(keys)]
        )
        cursor.execute("ALTER TABLE inventory_batch ENABLE TRIGGER inventory_batch_stays")


def test_what_spoils_first_goes_first_and_a_demand_spans_batches(juice: Sku) -> None:
    # Given a batch that spoils in ten hours, received before one that spoils in five
    late = receive(juice, 4, spoils_at=at(10))
    soon = receive(juice, 3, spoils_at=at(5))

    # When a run wants more than the first has, and the next the rest
    first, second = wish(juice.code, 5), wish(juice.code, 6)
    assert all(isinstance(outcome, Done) for outcome in take(first, second))

    # Then
    assert held(first) == {soon: 3, late: 2}
    assert held(second) == {late: 2, juice.code: 4}
    assert (counts(soon), counts(late), counts(juice.code)) == ((0, 3, 0, 0), (0, 4, 0, 0), (1, 4, 0, 0))


def test_only_a_batch_that_outlives_the_promised_time_and_a_margin_is_taken(juice: Sku) -> None:
    end = at(2)
    batch = receive(juice, 9, spoils_at=end)
    in_time = wish(juice.code, 1, until=end - MARGIN)
    too_late = wish(juice.code, 1, until=end - MARGIN + timedelta(seconds=1))
    unknown = Call(uuid4(), "reserve", Operation.TRY, 1, Wish((Cups(juice.code, 1),), None))
    take(in_time, too_late, unknown)
    # The others get what never spoils
    assert [held(call) for call in (in_time, too_late, unknown)] == [{batch: 1}, {juice.code: 1}, {juice.code: 1}]


def test_a_call_is_refused_if_only_spoiled_or_short_lived_cups_are_left(juice: Sku) -> None:
    spoiled = receive(juice, 9, spoils_at=at(3))
    receive(juice, 2, spoils_at=at(1))
    spoil(spoiled)
    (refused,) = take(wish(juice.code, 6, until=at(2)))
    assert isinstance(refused, OutOfStock)
    assert refused.detail == f"{juice.code}: 6 wanted, 5 left"
    assert counts(spoiled) == (9, 0, 0, 0)


def test_a_sku_without_other_batches_costs_the_statements_of_a_pool(juice: Sku) -> None:
    calls = [wish(juice.code, 1), wish(juice.code, 2)]
    with SentStatements(
        connection,
    ) as tried:
        stock.try_.many(calls)
    with SentStatements(connection) as confirmed:
        stock.confirm.many(calls[:1])
    with SentStatements(connection) as cancelled:
        stock.cancel.many(calls[1:])
    assert [len(tried), len(confirmed), len(cancelled)] == [1, 1, 1]
    # With others it is two more for a try, whatever the number of calls
    receive(juice, 9, spoils_at=at(9))
    with SentStatements(connection) as tried:
        stock.try_.many([wish(juice.code, 1) for _ in range(7)])
    assert len(tried) == 3


def test_what_a_run_gives_back_of_a_spoiled_batch_is_thrown_away(juice: Sku) -> None:
    # Given two runs that hold cups of two batches
    soon, late = receive(juice, 2, spoils_at=at(3)), receive(juice, 4, spoils_at=at(9))
    calls = [wish(juice.code, 3), wish(juice.code, 2)]
    take(*calls)
    assert held(calls[0]) == {soon: 2, late: 1}

    # When one batch spoils, and both are undone
    spoil(soon)
    stock.cancel.many(calls)

    # Then only the other's cups are there again
    assert (counts(soon), counts(late)) == ((0, 0, 0, 2), (4, 0, 0, 0))


def test_holds_that_are_not_what_the_run_wants_are_a_fault(juice: Sku) -> None:
    batch = receive(juice, 4, spoils_at=at(9))
    call = wish(juice.code, 6)
    take(call)
    SkuHold.objects.filter(run_id=call.run_id, pool_key=batch).update(quantity=3)
    with pytest.raises(PoolInconsistent), transaction.atomic():
        stock.confirm.many([call])


def test_a_recalled_batch_is_not_held_any_more(juice: Sku) -> None:
    batch = receive(juice, 4, spoils_at=at(9))
    call = wish(juice.code, 1)
    take(call)
    services.recall(batch=batch, reason="a bad lemon", by="li")
    other = wish(juice.code, 1)
    take(other)
    assert held(other) == {juice.code: 1}
    stock.cancel.many([call])
    assert counts(batch) == (0, 0, 0, 4)
    with pytest.raises(StockRefused, match="recalled"):
        services.restock(batch=batch, quantity=1, reason="found", by="li")
    with pytest.raises(StockRefused, match="cannot be recalled"):
        services.recall(batch=juice.code, reason="a bad lemon", by="li")


def test_people_change_what_is_available_and_nothing_else(juice: Sku) -> None:
    take(wish(juice.code, 3))
    for change in (services.write_off, services.adjust):
        quantity = 3 if change is services.write_off else -3
        with pytest.raises(StockRefused, match="Only 2"):
            change(batch=juice.code, quantity=quantity, reason="dropped", by="li")
    services.write_off(batch=juice.code, quantity=2, reason="dropped", by="li")
    assert counts(juice.code) == (0, 3, 0, 2)
    with pytest.raises(StockRefused, match="Say why"):
        services.restock(batch=juice.code, quantity=1, reason=" ", by="li")


def test_allocated_cups_come_back_to_their_batches_or_are_thrown_away(juice: Sku) -> None:
    # Given a campaign with cups of two batches
    soon, late = receive(juice, 3, spoils_at=at(30)), receive(juice, 3, spoils_at=at(40))
    taken = services.allocate(sku=juice.code, quantity=5, to="campaign 7", needed_until=at(20), reason="opens", by="li")
    assert taken == {soon: 3, late: 2}

    # When four come back, and one batch has spoiled
    spoil(soon)
    back = services.take_back(sku=juice.code, quantity=4, allocated_to="campaign 7", reason="settled", by="li")

    # Then
    assert back == {late: 2, soon: 2}
    assert (counts(soon), counts(late)) == ((0, 0, 0, 2), (3, 0, 0, 0))
    with pytest.raises(StockRefused, match="1 cups"):
        services.take_back(sku=juice.code, quantity=2, allocated_to="campaign 7", reason="settled", by="li")
    with pytest.raises(StockRefused, match="wanted"):
        services.allocate(sku=juice.code, quantity=99, to="campaign 8", reason="opens", by="li")


def test_the_schema_refuses_what_no_code_does(juice: Sku) -> None:
    batch = receive(juice, 3, spoils_at=at(30))
    move = Move.objects.filter(batch=batch).get()
    for change in (
        lambda: Move.objects.filter(pk=move.pk).update(reason="another"),
        lambda: Move.objects.filter(pk=move.pk).delete(),
        lambda: Move.objects.create(batch=batch, kind="RESTOCKED", available=-1, reason="x", by="x"),
        lambda: Move.objects.create(batch=batch, kind="WRITTEN_OFF", available=-1, reason="x", by="x"),
        lambda: Move.objects.create(batch=batch, kind="ADJUSTED", available=1, reason="", by="x"),
        lambda: Move.objects.create(batch=batch, kind="ALLOCATED", available=-1, reason="x", by="x"),
        lambda: Batch.objects.filter(pk=batch).update(spoils_at=at(50)),
        lambda: Batch.objects.filter(pk=juice.code).update(spoils_at=at(50)),
        lambda: Batch.objects.filter(pk=batch).update(written_off=-1),
        lambda: Sku.objects.filter(pk=juice.pk).update(code="OTHER"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()


@pytest.mark.parametrize("seed", range(8))
def test_the_ledger_explains_every_cup_after_anything_that_may_happen(juice: Sku, seed: int) -> None:
    # Given batches, and runs and people who do anything with them, in any order
    random = Random(seed)
    keys = [juice.code, *(receive(juice, random.randint(1, 9), spoils_at=at(random.choice([2, 5, 50]))) for _ in "ab")]
    open_calls: list[Call[Wish]] = []
    ended: list[UUID] = []
    for _ in range(25):
        some = random.sample(open_calls, min(len(open_calls), random.randint(1, 3)))
        key, quantity = random.choice(keys), random.randint(1, 3)
        match random.choice(["try", "try", "confirm", "cancel", "person", "prune", "spoil"]):
            case "try":
                calls = [wish(juice.code, random.randint(1, 6), until=at(random.choice([1, 4]))) for _ in "ab"]
                open_calls += [c for c, done in zip(calls, take(*calls), strict=True) if isinstance(done, Done)]
            case "confirm" | "cancel" as how if some:
                getattr(stock, how).many(some)
                open_calls = [call for call in open_calls if call not in some]
                ended += [call.run_id for call in some]
            case "person":
                change: Any = random.choice([services.restock, services.adjust, services.write_off, services.recall])
                given = {} if change is services.recall else {"quantity": quantity}
                try:
                    with transaction.atomic():
                        change(batch=key, reason="because", by="li", **given)
                except StockRefused:
                    pass
            case "prune":
                stock.forget(ended)
            case "spoil" if key != juice.code:
                # Only a batch of which nothing was given back: whether that was lost is decided by when it spoiled.
                if not SkuHold.objects.filter(pool_key=key, state=HoldState.CANCELLED).exists():
                    spoil(key)

        # Then the ledger comes to what each batch counts
        assert [row for row in ledger.unexplained() if row[0] in keys] == []
    for key in keys:
        found = ledger.explain(batch=key, since=at(-48), until=at(48))
        assert found.is_right
        assert found.counted is not None
