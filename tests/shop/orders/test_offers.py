"""What every order reads is remembered for a second: prices, and which SKUs and slots take orders."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

import delivery.selectors
import inventory.selectors
from delivery.models import Slot
from inventory.models import Sku
from orders import demo, offers
from orders.models import Order
from tests.shop.conftest import Api, Reply, Shop
from tests.support.statements import SentStatements


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(offers, "clock", clock)
    offers.forget()
    return clock


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


def total_of(reply: Reply) -> int | None:
    assert reply.status == 202
    return Order.objects.get(order_no=reply.body["order_no"]).total_cents


def test_orders_of_the_same_second_read_sku_and_slot_once(api: Api, shop: Shop) -> None:
    api.order(shop)
    with SentStatements(connection) as asked:
        assert api.order(shop).status == 202
    assert not [query for query in asked.captured_queries if "inventory_sku" in query["sql"]]
    assert not [query for query in asked.captured_queries if "delivery_slot" in query["sql"]]


def test_an_order_has_the_price_of_at_most_a_second_ago(api: Api, shop: Shop, clock: Clock) -> None:
    assert total_of(api.order(shop)) == 2 * 1250
    Sku.objects.filter(pk=shop.tea.pk).update(price_cents=1300)
    clock.now += offers.REMEMBERED
    assert total_of(api.order(shop)) == 2 * 1300


@pytest.mark.parametrize(
    ("close", "problem"),
    [
        (lambda shop: Sku.objects.filter(pk=shop.tea.pk).update(active=False), "inactive-sku"),
        (lambda shop: Slot.objects.filter(pk=shop.slot.pk).update(active=False), "inactive-slot"),
        (lambda shop: Slot.objects.filter(pk=shop.slot.pk).update(starts_at=timezone.now()), "past-slot"),
        (lambda shop: Sku.objects.filter(pk=shop.tea.pk).delete(), "unknown-sku"),
        (lambda shop: Slot.objects.filter(pk=shop.slot.pk).delete(), "unknown-slot"),
    ],
    ids=["SKU off the menu", "slot switched off", "slot begun", "SKU deleted", "slot deleted"],
)
def test_what_is_no_longer_offered_is_refused_a_second_later(
    close: Callable[[Shop], Any], problem: str, api: Api, shop: Shop, clock: Clock
) -> None:
    assert api.order(shop).status == 202
    close(shop)
    clock.now += offers.REMEMBERED
    reply = api.order(shop)
    assert (reply.status, reply.problem) == (422, problem)


def test_a_new_drink_can_be_ordered_at_once_although_it_was_just_asked_for(api: Api, shop: Shop) -> None:
    wanted = {"items": [{"sku": f"NEW-{shop.tea.code}", "quantity": 1}]}
    assert api.order(shop, **wanted).problem == "unknown-sku"
    Sku.objects.create(code=f"NEW-{shop.tea.code}", name="New", price_cents=100)
    assert total_of(api.order(shop, **wanted)) == 100


def test_a_row_that_changes_while_it_is_read_is_remembered_no_longer_than_from_before_the_query(
    clock: Clock,
) -> None:
    def slow(keys: Any) -> dict[str, float]:
        clock.now += offers.REMEMBERED
        return dict.fromkeys(keys, clock.now)

    rows: offers.Recent[str, float] = offers.Recent(slow, lambda _most: {})
    first = rows.get(["tea"])
    assert rows.get(["tea"]) != first


def test_what_is_remembered_is_bounded() -> None:
    rows: offers.Recent[int, int] = offers.Recent(lambda keys: {key: key for key in keys}, lambda _most: {})
    for key in range(3 * offers._MOST):
        assert rows.get([key]) == {key: key}
    assert len(rows._kept) <= offers._MOST


class Table:
    """A table of numbers, whose reads are counted."""

    def __init__(self, size: int) -> None:
        self.rows = {key: key for key in range(size)}
        self.single, self.whole = 0, 0

    def read(self, keys: Collection[int]) -> dict[int, int]:
        self.single += 1
        return {key: self.rows[key] for key in keys if key in self.rows}

    def read_all(self, most: int) -> dict[int, int]:
        self.whole += 1
        return dict(list(self.rows.items())[:most])

    def remembered(self) -> offers.Recent[int, int]:
        return offers.Recent(self.read, self.read_all)


def test_where_many_are_asked_for_all_are_read_once_a_second(clock: Clock) -> None:
    # Given
    table = Table(500)
    rows = table.remembered()
    # When more than a few ask for different rows
    for key in range(100):
        assert rows.get([key]) == {key: key}
    # Then the first ones were read alone, and the others together
    assert (table.single, table.whole) == (offers._FEW, 1)
    # And a second later all are read again, with what has changed
    clock.now += offers.REMEMBERED
    table.rows[7] = 8
    for key in range(100, 200):
        assert rows.get([key]) == {key: key}
    assert rows.get([7]) == {7: 8}
    assert (table.single, table.whole) == (offers._FEW, 2)


def test_where_few_are_asked_for_each_is_read_alone(clock: Clock) -> None:
    table = Table(500)
    rows = table.remembered()
    for key in range(100):
        assert rows.get([key]) == {key: key}
        clock.now += offers.REMEMBERED / (offers._FEW - 1)
    assert (table.single, table.whole) == (100, 0)


def test_a_new_row_is_there_at_once_although_all_were_just_read() -> None:
    table = Table(50)
    rows = table.remembered()
    for key in range(50):
        rows.get([key])
    assert rows.get([1000]) == {}
    table.rows[1000] = 1
    assert rows.get([1000]) == {1000: 1}


def test_a_table_that_is_too_large_is_not_read_whole_again_and_again(clock: Clock) -> None:
    table = Table(offers._MOST + 100)
    rows = table.remembered()
    for second in range(30):
        for key in range(20):
            number = offers._MOST + 20 + (20 * second + key) % 80
            assert rows.get([number]) == {number: number}
        clock.now += offers.REMEMBERED
    assert table.whole == 1


def test_after_a_whole_read_that_broke_the_next_one_is_tried(clock: Clock) -> None:
    # Given
    table = Table(50)

    def broken(_most: int) -> dict[int, int]:
        raise KeyError

    rows: offers.Recent[int, int] = offers.Recent(table.read, broken)
    with pytest.raises(KeyError):
        for key in range(50):
            rows.get([key])
    # When
    rows._read_all = table.read_all
    # Then
    assert rows.get([49]) == {49: 49}
    assert table.whole == 1


def test_all_that_take_orders_are_read_as_one_alone_is(shop: Shop) -> None:
    # Given a SKU off the menu, and slots that have begun or take no orders
    start, end = shop.slot.starts_at, shop.slot.ends_at + timedelta(hours=1)
    off = Slot.objects.create(starts_at=start, ends_at=end, available=1, active=False)
    # When
    menu = inventory.selectors.on_menu(most=1000)
    slots = delivery.selectors.open_slots(most=1000)
    # Then
    assert menu == {code: row for code, row in inventory.selectors.offers(codes=menu).items() if row.active}
    assert shop.tea.code in menu
    assert shop.gone.code not in menu
    assert shop.slot.pk in slots
    assert not {shop.past.pk, off.pk} & set(slots)
    assert slots == {slot: delivery.selectors.terms(slot=slot) for slot in slots}
