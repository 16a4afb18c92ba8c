"""In a rush, orders for what is sold out are turned away at once, and a free unit is never refused for long."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings as project
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import delivery.selectors
import inventory.selectors
import sagas
from inventory.models import Batch
from inventory.participants import OutOfStock, stock
from orders import demo, offers, services, sold_out
from orders.errors import SoldOut
from orders.models import Order
from orders.sold_out import NEAR, PREFIX, RUSH, TOKEN, Rush, TooLittle
from sagas import Call, Operation, runtime
from sagas.models import Run
from tests.shop.conftest import Api, Shop
from tests.support import servers
from tests.support.awaiting import eventually

#: Seconds within which a free unit is sold.
LAG = 5.0
needs_redis = pytest.mark.skipif(servers.EMBEDDED, reason="looks at Redis")


class Clock:
    """The clock of this process."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Store:
    """What is left of things, and how often it is read."""

    def __init__(self, **left: int) -> None:
        self.left, self.reads = left, 0

    def read(self, keys: Collection[str]) -> Mapping[str, int]:
        self.reads += 1
        return {key: self.left[key] for key in keys if key in self.left}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(offers, "clock", clock)
    offers.forget()
    sold_out.forget()
    yield clock
    sold_out.forget()


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    """Redis, with nothing of ours in it."""
    with redis.Redis.from_url(project.SAGAS["REDIS_URL"]) as client:
        for key in client.keys(f"{PREFIX}*"):
            client.delete(key)
        runtime.memory.redis_paused_until = 0.0
        yield client
        for key in client.keys(f"{PREFIX}*"):
            client.delete(key)


def process(store: Store, name: str = "") -> Rush[str]:
    """One web process."""
    return Rush(name or uuid4().hex, store.read)


def passes(rush: Rush[str], key: str = "tea", quantity: int = 1) -> bool:
    try:
        with rush.passing({key: quantity}):
            return True
    except TooLittle:
        return False


def begin_rush(rush: Rush[str], key: str = "tea") -> None:
    """Ask so often that the next one is one of many."""
    for _ in range(RUSH):
        assert passes(rush, key)


def token_of(server: redis.Redis) -> Any:
    (key,) = server.keys(f"{PREFIX}*")
    return key


# -- one process, without Redis ------------------------------------------------------------------------------


@pytest.fixture
def no_redis(settings: Any) -> None:
    settings.SAGAS = {name: value for name, value in project.SAGAS.items() if name != "REDIS_URL"}


@pytest.mark.usefixtures("no_redis")
class TestOneProcess:
    def test_without_a_rush_everybody_passes_and_nothing_is_read(self, clock: Clock) -> None:
        store = Store(tea=0)
        rush = process(store)
        for _ in range(20):
            assert passes(rush)
            clock.now += 2 / RUSH
        assert store.reads == 0

    def test_in_a_rush_what_is_sold_out_is_refused_and_read_once_a_second(self, clock: Clock) -> None:
        store = Store(tea=0)
        rush = process(store)
        begin_rush(rush)
        assert not any(passes(rush) for _ in range(100))
        assert store.reads == 1
        clock.now += offers.REMEMBERED
        assert not passes(rush)
        assert store.reads == 2

    def test_the_refusal_says_what_is_left(self) -> None:
        rush = process(Store(tea=3))
        begin_rush(rush)
        with pytest.raises(TooLittle) as refused, rush.passing({"tea": 4}):
            pass
        assert (refused.value.key, refused.value.left) == ("tea", 3)
        assert passes(rush, quantity=3)

    def test_in_a_rush_no_more_pass_than_there_is(self) -> None:
        rush = process(Store(tea=100))
        begin_rush(rush)
        assert sum(passes(rush) for _ in range(500)) == 100

    def test_a_unit_that_is_free_again_is_sold_a_second_later(self, clock: Clock) -> None:
        store = Store(tea=0)
        rush = process(store)
        begin_rush(rush)
        assert not passes(rush)
        store.left["tea"] = 1
        clock.now += offers.REMEMBERED
        assert [passes(rush), passes(rush)] == [True, False]

    def test_what_passed_and_was_not_accepted_may_be_had_by_others(self) -> None:
        rush = process(Store(tea=1))
        begin_rush(rush)
        for _ in range(3):
            with pytest.raises(ValueError, match="wrong"), rush.passing({"tea": 1}):
                raise ValueError("wrong")
        assert [passes(rush), passes(rush)] == [True, False]

    def test_of_several_things_all_pass_or_none(self) -> None:
        store = Store(tea=1, cake=0)
        rush = process(store)
        begin_rush(rush)
        begin_rush(rush, "cake")
        with pytest.raises(TooLittle) as refused, rush.passing({"tea": 1, "cake": 1}):
            pass
        assert refused.value.key == "cake"
        assert passes(rush)

    def test_what_does_not_exist_passes_and_is_read_once_a_second(self) -> None:
        store = Store()
        rush = process(store)
        assert all(passes(rush, "unknown") for _ in range(100))
        assert store.reads == 1

    def test_what_is_kept_in_mind_is_bounded(self) -> None:
        rush = process(Store())
        for number in range(3 * sold_out._MOST):
            assert passes(rush, f"tea-{number}")
        assert len(rush._asked) <= sold_out._MOST


# -- several processes, and Redis --------------------------------------------------------------------------------


@needs_redis
class TestRedis:
    def test_no_more_pass_over_all_processes_than_there_is(self, server: redis.Redis) -> None:
        store = Store(tea=100)
        name = uuid4().hex
        processes = [process(store, name) for _ in range(4)]
        for rush in processes:
            begin_rush(rush)
        assert sum(passes(processes[number % 4]) for number in range(500)) == 100
        assert 0 < server.pttl(token_of(server)) <= TOKEN * 1000

    def test_redis_is_not_asked_where_much_is_left(self, server: redis.Redis) -> None:
        rush = process(Store(tea=NEAR * 100))
        begin_rush(rush)
        assert all(passes(rush) for _ in range(50))
        assert server.keys(f"{PREFIX}*") == []

    def test_what_was_not_accepted_comes_back_to_the_token(self, server: redis.Redis) -> None:
        rush = process(Store(tea=5))
        begin_rush(rush)
        with suppress(ValueError), rush.passing({"tea": 2}):
            assert int(server.get(token_of(server)) or -1) == 3
            raise ValueError
        eventually(lambda: int(server.get(token_of(server)) or -1) == 5, within=5, what="the units are back")
        assert 0 < server.pttl(token_of(server)) <= TOKEN * 1000

    def test_a_token_that_is_lost_begins_anew(self, server: redis.Redis) -> None:
        store = Store(tea=2)
        rush = process(store)
        begin_rush(rush)
        assert passes(rush)
        server.delete(token_of(server))
        assert [passes(rush), passes(rush)] == [True, False]

    @pytest.mark.parametrize(
        "lie",
        [
            {"value": 0},
            {"value": 0, "px": 3_600_000},
            {"value": "-5", "px": 2000},
            {"value": "9" * 40, "px": 2000},
            {"value": "many", "px": 2000},
        ],
        ids=["for ever", "for an hour", "below nothing", "too large a number", "no number"],
    )
    def test_what_is_no_token_refuses_nothing(self, lie: dict[str, Any], server: redis.Redis) -> None:
        rush = process(Store(tea=10))
        begin_rush(rush)
        assert passes(rush)
        server.set(token_of(server), **lie)
        assert passes(rush)
        assert int(server.get(token_of(server)) or -1) == 8

    def test_a_key_of_another_type_refuses_nothing(self, server: redis.Redis) -> None:
        rush = process(Store(tea=10))
        begin_rush(rush)
        assert passes(rush)
        key = token_of(server)
        server.delete(key)
        server.rpush(key, 0)
        assert passes(rush)

    def test_a_token_that_says_sold_out_again_and_again_refuses_a_free_unit_for_less_than_the_lag(
        self, server: redis.Redis, clock: Clock
    ) -> None:
        # Given a Redis in which somebody writes all the time that nothing is left, and ten units that are free
        rush = process(Store(tea=10))
        begin_rush(rush)
        assert passes(rush)
        key = token_of(server)

        def lied_to() -> bool:
            server.set(key, 0, px=3000)
            return passes(rush)

        # When many ask all the time
        began, refused_for, longest, sold = clock.now, 0.0, 0.0, 0
        while clock.now < began + 20:
            refused_for += 0.5
            if [True for _ in range(RUSH) if lied_to()]:
                sold, refused_for = sold + 1, 0.0
            longest = max(longest, refused_for)
            clock.now += 0.5
        # Then it was sold now and then, and never refused for as long as that
        assert sold > 1
        assert longest < LAG

    def test_without_an_answer_of_redis_the_process_decides_alone(self, server: redis.Redis, settings: Any) -> None:
        rush = process(Store(tea=3))
        begin_rush(rush)
        assert passes(rush)
        settings.SAGAS = {**project.SAGAS, "REDIS_URL": "redis://127.0.0.1:1/0"}
        try:
            assert [passes(rush) for _ in range(3)] == [True, True, False]
        finally:
            runtime.memory.redis_paused_until = 0.0

    def test_a_token_of_before_is_over_after_its_time(
        self, server: redis.Redis, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        # Given a token by which nothing is left, and a unit that was given back since
        monkeypatch.setattr(sold_out, "TOKEN", 0.3)
        store = Store(tea=1)
        name = uuid4().hex
        rush, other = process(store, name), process(store, name)
        begin_rush(rush)
        begin_rush(other)
        assert [passes(rush), passes(other)] == [True, False]
        clock.now += offers.REMEMBERED
        # Then it is sold as soon as the token is over, by Redis' clock
        eventually(lambda: passes(other), within=LAG, what="the unit is sold")


# -- the shop ------------------------------------------------------------------------------------------------------


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


def crowd(api: Api, shop: Shop) -> None:
    """Many have ordered the tea: it is a rush. Their orders were accepted, as without one."""
    assert {api.order(shop).status for _ in range(RUSH)} == {202}


def sell_out(shop: Shop) -> None:
    cups = shop.cups
    cups.available = 0
    cups.save()


def test_in_a_rush_an_order_for_what_is_sold_out_is_turned_away_with_the_reason_of_the_step(
    api: Api, shop: Shop, no_trace: Any
) -> None:
    # Given
    sell_out(shop)
    crowd(api, shop)
    orders = Order.objects.count()

    # When
    reply = api.order(shop)

    # Then nothing is left behind, and the reason is that of the step that would have refused it
    assert (reply.status, reply.problem, reply.pointers) == (409, "out-of-stock", ["#/items/0/sku"])
    assert Order.objects.count() == Run.objects.count() == orders
    request = Run.objects.latest("id").request
    call: Call[Any] = Call(
        uuid4(),
        "reserve_inventory",
        Operation.FORWARD,
        1,
        SimpleNamespace(items=[SimpleNamespace(**item) for item in request["items"]], needed_until=None),
    )
    (refusal,) = stock.try_.many([call])
    assert isinstance(refusal, OutOfStock)
    (error,) = reply.body["errors"]
    assert (error["code"], error["detail"]) == (refusal.code, refusal.detail)


def test_without_a_rush_an_order_for_what_is_sold_out_is_accepted(api: Api, shop: Shop) -> None:
    sell_out(shop)
    assert api.order(shop).status == 202


def test_in_a_rush_an_order_for_a_full_slot_is_turned_away(api: Api, shop: Shop) -> None:
    shop.slot.available = 0
    shop.slot.save()
    crowd(api, shop)
    reply = api.order(shop)
    assert (reply.status, reply.problem, reply.pointers) == (409, "slot-full", ["#/slot"])
    (error,) = reply.body["errors"]
    assert (error["code"], error["detail"]) == ("SlotFull", f"{shop.slot.pk}: 1 wanted, 0 left")


def test_an_order_that_is_turned_away_costs_no_statement(lasting_shop: Shop) -> None:
    # Given no transaction of the test, as where it is served
    shop = lasting_shop
    api = Api(demo.token(customer=shop.customer))
    sell_out(shop)
    crowd(api, shop)
    assert api.order(shop).status == 409
    with CaptureQueriesContext(connection) as asked:
        for _ in range(20):
            assert api.order(shop, coupon="ANY").status == 409
    assert [query["sql"] for query in asked.captured_queries] == []


def test_a_repeat_of_an_accepted_order_gets_its_answer_though_everything_is_sold_out(
    api: Api, shop: Shop, clock: Clock
) -> None:
    crowd(api, shop)
    first = api.order(shop, key="mine")
    sell_out(shop)
    clock.now += offers.REMEMBERED
    assert api.order(shop).problem == "out-of-stock"
    again = api.order(shop, key="mine")
    assert (again.status, again.body) == (first.status, first.body)


def test_an_order_that_is_refused_for_another_reason_takes_nothing_from_the_others(api: Api, shop: Shop) -> None:
    cups = shop.cups
    cups.available = 2
    cups.save()
    crowd(api, shop)
    for _ in range(5):
        assert api.order(shop, coupon="NONE").problem == "coupon-not-usable"
    assert api.order(shop).status == 202
    assert api.order(shop).problem == "out-of-stock"


def test_cups_that_come_back_by_an_undo_are_sold_again_within_the_lag(api: Api, shop: Shop, clock: Clock) -> None:
    # Given the last cups in the hands of one who does not pay
    cups = shop.cups
    cups.available = 2
    cups.save()
    call: Call[Any] = Call(
        uuid4(),
        "reserve_inventory",
        Operation.FORWARD,
        1,
        SimpleNamespace(items=[SimpleNamespace(sku=shop.tea.code, quantity=2)], needed_until=None),
    )
    stock.try_.many([call])
    crowd(api, shop)
    assert api.order(shop).problem == "out-of-stock"

    # When the order is undone
    stock.cancel.many([call])
    clock.now += LAG

    # Then somebody else gets them
    crowd(api, shop)
    assert api.order(shop).status == 202


def test_what_is_left_of_a_drink_is_what_is_neither_spoiled_nor_recalled(shop: Shop) -> None:
    # Given
    now = timezone.now()
    code = shop.tea.code
    for number, (spoils_at, recalled_at) in enumerate(
        [(now + timedelta(hours=1), None), (now - timedelta(seconds=1), None), (None, now), (None, None)], 1
    ):
        Batch.objects.create(
            key=f"{code}#{number}", sku=shop.tea, available=10**number, spoils_at=spoils_at, recalled_at=recalled_at
        )

    # Then
    left = inventory.selectors.left(codes=[code, shop.gone.code, "NONE"])
    assert left == {code: 100 + 10 + 10_000, shop.gone.code: 5}
    assert delivery.selectors.places_left(slots=[shop.slot.pk, 0]) == {shop.slot.pk: 50}


def test_the_menu_shows_cups_as_they_are_now(api: Api, shop: Shop) -> None:
    def shown(**headers: str) -> tuple[int, int | None]:
        reply = api.get("/api/v1/menu/", **headers)
        told = [sku["available"] for sku in reply.body or [] if sku["sku"] == shop.tea.code]
        return reply.status, told[0] if told else None

    first = api.get("/api/v1/menu/")
    known = {"If_None_Match": first.headers["ETag"]}
    assert shown(**known) == (304, None)
    sell_out(shop)
    assert shown(**known) == (200, 0)
    assert "no-cache" in first.headers["Cache-Control"]


def test_in_a_rush_of_five_hundred_for_a_hundred_cups_nothing_is_oversold(lasting_shop: Shop) -> None:
    # Given a hundred cups, and a participant that holds them as orders come
    shop = lasting_shop

    def order(number: int) -> bool:
        try:
            run_id = services.place_order(
                order_no=f"R{number}-{shop.tea.code[-8:]}",
                customer_id=shop.customer.pk,
                items=[services.Wanted(shop.tea.code, 1)],
                slot=other_slot,
            )
        except (SoldOut, sagas.Overloaded):
            return False
        finally:
            connections.close_all()
        return bool(run_id)

    other_slot = shop.slot.pk
    shop.slot.available = 1000
    shop.slot.save()

    # When five hundred ask at once
    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(order, range(500)))

    # Then at least as many are accepted as there are cups, and hardly more: those of before it was a rush
    assert 100 <= accepted <= 100 + RUSH + 8
    # And the steps sell each cup once
    cohort: list[Call[Any]] = [
        Call(
            run.pk,
            "reserve_inventory",
            Operation.FORWARD,
            1,
            SimpleNamespace(items=[SimpleNamespace(sku=shop.tea.code, quantity=1)], needed_until=None),
        )
        for run in Run.objects.filter(business_key__endswith=f"-{shop.tea.code[-8:]}").order_by("id")
    ]
    outcomes = stock.try_.many(cohort)
    assert sum(isinstance(outcome, sagas.Done) for outcome in outcomes) == 100
    assert shop.cups.available == 0
