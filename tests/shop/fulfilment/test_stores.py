"""The stores as customers see them, and the days for which staff makes slots."""

from __future__ import annotations

from datetime import date, time, timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from delivery import services
from delivery.errors import DayUnusable
from delivery.models import Closure, OpeningHours, Slot, Store
from orders import demo
from tests.shop.conftest import Api, Shop

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
STORES = "/api/v1/stores/"


@pytest.fixture
def store(shop: Shop) -> Store:
    """A store that is open from ten to one on each day, by the clock of Shanghai."""
    made = Store.objects.create(code=f"s-{uuid4().hex[:8]}", name="外滩 The Bund", timezone="Asia/Shanghai")
    for weekday in OpeningHours.Weekday.values:
        OpeningHours.objects.create(store=made, weekday=weekday, opens=time(10), closes=time(13))
    return made


@pytest.fixture
def staff(shop: Shop) -> Api:
    shop.other.is_superuser = True
    shop.other.save()
    return Api(demo.token(customer=shop.other))


def days_ahead(store: Store, days: int) -> date:
    return timezone.now().astimezone(store.zone).date() + timedelta(days=days)


def test_customers_see_when_a_store_is_open_and_its_next_slots(api: Api, store: Store) -> None:
    # Given slots that take orders, and one that does not; and closures, of which one is over
    made = services.open_day(store=store.pk, day=days_ahead(store, 2), length=HOUR, capacity=5)
    now = timezone.now()
    Slot.objects.filter(pk=made[0].pk).update(active=False)
    Slot.objects.filter(pk=made[1].pk).update(available=0, sold=5)
    for begin in (now - 2 * HOUR, now + 100 * HOUR):
        Closure.objects.create(store=store, starts_at=begin, ends_at=begin + HOUR, reason="private", closed_by="mei")

    # When
    answer = api.get(STORES)

    # Then
    assert answer.status == 200
    (seen,) = [one for one in answer.body if one["code"] == store.code]
    assert (seen["name"], seen["timezone"]) == ("外滩 The Bund", "Asia/Shanghai")
    assert seen["hours"] == [{"weekday": day, "opens": "10:00", "closes": "13:00"} for day in range(1, 8)]
    assert len(seen["closures"]) == 1
    assert [(slot["id"], slot["available"]) for slot in seen["slots"]] == [(made[1].pk, 0), (made[2].pk, 5)]
    assert "private" not in str(seen)
    # Who has seen it gets no body
    assert api.get(STORES, If_None_Match=answer.headers["ETag"]).status == 304
    # A store that is given up is not listed
    Store.objects.filter(pk=store.pk).update(active=False)
    assert store.code not in [one["code"] for one in api.get(STORES).body]


def test_a_store_lists_so_many_slots_of_its_own(api: Api, store: Store) -> None:
    for day in range(1, 9):
        services.open_day(store=store.pk, day=days_ahead(store, day), length=HOUR, capacity=5)
    (seen,) = [one for one in api.get(STORES).body if one["code"] == store.code]
    assert len(seen["slots"]) == 20
    assert seen["slots"] == sorted(seen["slots"], key=lambda slot: slot["starts_at"])
    assert {slot["store"] for slot in seen["slots"]} == {store.code}


def test_staff_makes_the_slots_of_a_day_once(staff: Api, store: Store) -> None:
    wanted = {"day": str(days_ahead(store, 3)), "minutes": 60, "capacity": 7}
    first = staff.post(f"{STORES}{store.code}/slots/", wanted)
    assert first.status == 200
    assert [slot["available"] for slot in first.body] == [7, 7, 7]
    assert first.body[0]["closes_at"] == first.body[0]["starts_at"]
    # A repeat makes none, nor does one that would overlap those that there are
    assert staff.post(f"{STORES}{store.code}/slots/", wanted).body == []
    assert staff.post(f"{STORES}{store.code}/slots/", {**wanted, "minutes": 30}).body == []
    assert Slot.objects.filter(store=store).count() == 3


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"day": "2020-01-01"}, "#/day"),
        ({"day": "2099-01-01"}, "#/day"),
        ({"day": "tomorrow"}, "#/day"),
        ({"minutes": 240}, "#/day"),
        ({"minutes": 1}, "#/minutes"),
        ({"capacity": 0}, "#/capacity"),
        ({"capacity": "7"}, "#/capacity"),
    ],
)
def test_a_day_that_makes_no_sense_makes_no_slots(
    staff: Api, store: Store, changes: dict[str, object], pointer: str
) -> None:
    wanted = {"day": str(days_ahead(store, 3)), "minutes": 60, "capacity": 7, **changes}
    answer = staff.post(f"{STORES}{store.code}/slots/", wanted)
    assert answer.status == 422
    assert answer.pointers == [pointer]
    assert not Slot.objects.filter(store=store).exists()


def test_slots_are_made_by_staff_for_a_store_that_there_is(api: Api, anyone: Api, staff: Api, store: Store) -> None:
    wanted = {"day": str(days_ahead(store, 3)), "minutes": 60, "capacity": 7}
    assert api.post(f"{STORES}{store.code}/slots/", wanted).status == 403
    assert anyone.post(f"{STORES}{store.code}/slots/", wanted).status == 401
    assert anyone.get(STORES).status == 401
    assert staff.post(f"{STORES}nowhere/slots/", wanted).problem == "store-not-found"
    assert not Slot.objects.filter(store=store).exists()


def test_what_has_begun_today_is_not_made(store: Store) -> None:
    # Given a store that never closes, where the day is not about to end
    store.timezone = "UTC" if timezone.now().hour < 23 else "Asia/Shanghai"
    store.save(update_fields=["timezone"])
    OpeningHours.objects.filter(store=store).update(opens=time(0), closes=time(0))
    made = services.open_day(store=store.pk, day=days_ahead(store, 1), length=24 * HOUR, capacity=5)
    assert len(made) == 1
    # The only slot of today has begun
    with pytest.raises(DayUnusable):
        services.open_day(store=store.pk, day=days_ahead(store, 0), length=24 * HOUR, capacity=5)
    assert all(
        slot.starts_at > timezone.now()
        for slot in services.open_day(store=store.pk, day=days_ahead(store, 0), length=timedelta(minutes=5), capacity=5)
    )


def test_the_command_makes_slots_for_cron(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    day = str(days_ahead(store, 3))
    call_command("slots", store.code, day, capacity=7)
    call_command("slots", store.code, day, capacity=7)
    assert capsys.readouterr().out == "3 slot(s) made\n0 slot(s) made\n"
    for wrong in ({"minutes": 0}, {"capacity": -1}, {"minutes": 10**9}):
        with pytest.raises(CommandError):
            call_command("slots", store.code, day, **{"capacity": 7, **wrong})
    with pytest.raises(CommandError, match="no store"):
        call_command("slots", "nowhere", day, capacity=7)
    with pytest.raises(CommandError, match="not open"):
        call_command("slots", store.code, day, capacity=7, minutes=600)
