"""Stores by their own clocks: hours, closures, cut-offs; and places that are moved to another slot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from delivery import selectors, services
from delivery.errors import NotRebookable, SlotUnusable
from delivery.models import Closure, Fulfilment, FulfilmentState, OpeningHours, Slot, SlotHold, Store
from delivery.participants import SlotPast, slots
from delivery.selectors import Standing
from tests.shop.conftest import Shop
from tests.shop.domains.test_participants import ask, outcomes

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def new_store(zone: str = "Asia/Shanghai", **changes: int) -> Store:
    word = uuid4().hex[:8]
    return Store.objects.create(code=f"store-{word}", name=f"Store {word}", timezone=zone, **changes)


def open_on(store: Store, day: date, *hours: tuple[time, time]) -> None:
    for opens, closes in hours:
        OpeningHours.objects.create(store=store, weekday=day.isoweekday(), opens=opens, closes=closes)


def made(store: Store, day: date, length: timedelta = HOUR) -> list[tuple[datetime, datetime]]:
    found = services.open_slots(store=store.pk, day=day, length=length, capacity=5)
    return [(slot.starts_at.astimezone(UTC), slot.ends_at.astimezone(UTC)) for slot in found]


# -- Hours ------------------------------------------------------------------------------------------------------


def test_slots_lie_within_the_hours_of_a_store_by_its_own_clock() -> None:
    store, day = new_store("Asia/Shanghai"), date(2031, 5, 5)
    open_on(store, day, (time(10), time(12, 30)), (time(23), time(0)))
    # 10:00 in Shanghai is 02:00 UTC; half an hour at noon is no slot; the day ends at midnight
    begins = [datetime(2031, 5, 5, hour, tzinfo=UTC) for hour in (2, 3, 15)]
    assert made(store, day) == [(begin, begin + HOUR) for begin in begins]
    # And a repeat makes none
    assert made(store, day) == []


@pytest.mark.parametrize(
    ("day", "count"),
    [(date(2031, 3, 30), 3), (date(2031, 10, 26), 5), (date(2031, 10, 27), 4)],
    ids=["an hour is missing", "an hour comes twice", "an ordinary day"],
)
def test_a_day_on_which_the_clock_is_set_is_shorter_or_longer(day: date, count: int) -> None:
    store = new_store("Europe/Berlin")
    open_on(store, day, (time(1), time(5)))
    found = made(store, day)
    assert len(found) == count
    # None overlaps another, and all are an hour long
    assert all(end - begin == HOUR for begin, end in found)
    assert all(before[1] == after[0] for before, after in pairwise(found))


def test_a_closure_makes_no_slots_and_closes_those_that_there_are() -> None:
    store, day = new_store("UTC"), date(2031, 5, 5)
    open_on(store, day, (time(10), time(14)))
    made(store, day)
    closure = services.close(
        store=store.pk,
        starts_at=datetime(2031, 5, 5, 11, 30, tzinfo=UTC),
        ends_at=datetime(2031, 5, 12, 13, tzinfo=UTC),
        reason="the water is off",
        by="mei",
    )
    assert (closure.closed_by, closure.reason) == ("mei", "the water is off")
    standing = {slot.starts_at.hour: selectors.standing(slot=slot.pk) for slot in Slot.objects.filter(store=store)}
    assert standing == {10: Standing.OPEN, 11: Standing.INACTIVE, 12: Standing.INACTIVE, 13: Standing.INACTIVE}
    # A week later the store opens in the middle of the day
    assert [begin.hour for begin, _ in made(store, day + timedelta(days=7))] == [13]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("INSERT INTO delivery_store (code, name, timezone) VALUES ('x', 'x', 'Asia/Nowhere')", "time zone"),
        (
            "INSERT INTO delivery_store (code, name, timezone, cut_off_minutes) VALUES ('x', 'x', 'UTC', 1441)",
            "cut_off",
        ),
        ("UPDATE delivery_slot SET closes_at = starts_at + interval '1 second'", "delivery_slot_closes"),
    ],
)
def test_the_tables_refuse_what_makes_no_sense(shop: Shop, sql: str, why: str) -> None:
    with pytest.raises(Exception, match=why), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_closure_ends_after_it_begins(shop: Shop) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Closure.objects.create(store_id=1, starts_at=timezone.now(), ends_at=timezone.now() - HOUR, reason="x")


# -- The cut-off ------------------------------------------------------------------------------------------------


def test_a_slot_takes_orders_until_the_cut_off_of_its_store() -> None:
    store = new_store(cut_off_minutes=90)
    start = timezone.now() + timedelta(hours=2)
    early = Slot.objects.create(store=store, starts_at=start, ends_at=start + HOUR, available=5)
    late = Slot.objects.create(store=store, starts_at=start - HOUR, ends_at=start, available=5)
    early.refresh_from_db()
    assert early.closes_at == start - timedelta(minutes=90)
    assert (selectors.standing(slot=early.pk), selectors.standing(slot=late.pk)) == (Standing.OPEN, Standing.BEGUN)
    assert early in selectors.upcoming()
    assert late not in selectors.upcoming()
    # Where its begin is moved, so is its end of orders
    early.starts_at += HOUR
    early.ends_at += HOUR
    early.save(update_fields=["starts_at", "ends_at"])
    early.refresh_from_db()
    assert early.closes_at == early.starts_at - timedelta(minutes=90)


def test_a_slot_that_names_no_store_is_the_first_stores_and_closes_when_it_begins(shop: Shop) -> None:
    shop.slot.refresh_from_db()
    assert (shop.slot.store_id, Store.objects.get(pk=1).code) == (1, "main")
    assert shop.slot.closes_at == shop.slot.starts_at


def test_an_order_that_comes_behind_the_cut_off_is_rejected(shop: Shop) -> None:
    call = ask(shop)
    Slot.objects.filter(pk=shop.slot.pk).update(closes_at=timezone.now() - HOUR)
    assert outcomes(slots.try_, [call]) == [SlotPast]


# -- Another slot -----------------------------------------------------------------------------------------------

Booked = Callable[[], UUID]


@pytest.fixture
def booked(shop: Shop) -> Booked:
    def book() -> UUID:
        call = ask(shop)
        slots.try_.many([call])
        slots.confirm.many([call])
        return call.run_id

    return book


def another(shop: Shop, **changes: object) -> Slot:
    start = shop.slot.starts_at + timedelta(days=1)
    return Slot.objects.create(**{"starts_at": start, "ends_at": start + HOUR, "available": 1, **changes})


def counts(slot: Slot) -> tuple[int, int, int]:
    return Slot.objects.values_list("available", "held", "sold").get(pk=slot.pk)


def test_a_place_is_moved_to_another_slot(shop: Shop, booked: Booked) -> None:
    run_id, slot = booked(), another(shop)
    assert services.rebook(run_id=run_id, slot=slot.pk) == (shop.slot.pk, slot.starts_at)
    assert (counts(shop.slot), counts(slot)) == ((50, 0, 0), (0, 0, 1))
    assert SlotHold.objects.get(run_id=run_id).pool_key == str(slot.pk)
    work = Fulfilment.objects.get(run_id=run_id)
    assert (work.slot, work.due_at) == (slot.pk, slot.starts_at)
    # A repeat changes nothing
    assert services.rebook(run_id=run_id, slot=slot.pk) == (slot.pk, slot.starts_at)
    assert counts(slot) == (0, 0, 1)


@pytest.mark.parametrize(
    "changes",
    [{"available": 0}, {"active": False}, {"closes_at": datetime(2020, 1, 1, tzinfo=UTC)}, {"store": True}],
    ids=["full", "inactive", "closed", "another store's"],
)
def test_a_slot_that_cannot_be_had_changes_nothing(shop: Shop, booked: Booked, changes: dict[str, object]) -> None:
    run_id = booked()
    slot = another(shop, **{**changes, **({"store": new_store()} if "store" in changes else {})})
    before = counts(slot)
    with pytest.raises(SlotUnusable):
        services.rebook(run_id=run_id, slot=slot.pk)
    with pytest.raises(SlotUnusable):
        services.rebook(run_id=run_id, slot=2**40)
    assert (counts(shop.slot), counts(slot)) == ((49, 0, 1), before)


def test_a_place_stays_once_its_slot_is_closed_or_its_store_has_begun(shop: Shop, booked: Booked) -> None:
    first, second, slot = booked(), booked(), another(shop)
    order = Fulfilment.objects.get(run_id=first)
    services.move(order_no=order.order_no, to=FulfilmentState.MAKING, version=1, by="mei")
    with pytest.raises(NotRebookable):
        services.rebook(run_id=first, slot=slot.pk)
    Slot.objects.filter(pk=shop.slot.pk).update(closes_at=timezone.now() - HOUR)
    for run_id in (second, uuid4()):
        with pytest.raises(NotRebookable):
            services.rebook(run_id=run_id, slot=slot.pk)
    assert counts(slot) == (1, 0, 0)


def test_a_refund_frees_the_place_and_takes_the_order_out_of_the_queue(shop: Shop, booked: Booked) -> None:
    run_id, other = booked(), booked()
    for _ in range(2):
        services.give_back(run_id=run_id, cups={}, whole=True)
    assert counts(shop.slot) == (49, 0, 1)
    work = Fulfilment.objects.get(run_id=run_id)
    assert (work.state, work.changed_by, work.version) == ("REFUSED", "refund", 2)
    assert Fulfilment.objects.get(run_id=other).state == "ACCEPTED"
    # Without a place there is none to move
    with pytest.raises(NotRebookable):
        services.rebook(run_id=run_id, slot=another(shop).pk)
