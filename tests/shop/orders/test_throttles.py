"""One client that runs wild is slowed down, by one count over all web processes, and nobody else is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import redis
from django.conf import settings as project
from pytest_django import Settings
from rest_framework.exceptions import Throttled

from orders.api.protocol import throttles
from sagas.redis import client as redis_client
from tests.shop.conftest import ORDERS, Api, Reply, Shop, confirm
from tests.support.awaiting import eventually


@pytest.fixture
def counts() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(project.SAGAS["REDIS_URL"]) as client:
        yield client


@pytest.fixture(autouse=True)
def minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute that does not end in the middle of a test."""
    now = time.time() // 60 * 60 + 18
    monkeypatch.setattr(throttles, "clock", lambda: now)


def is_too_many(reply: Reply) -> bool:
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (429, "too-many-requests", "42")
    return True


def test_a_customer_with_too_many_requests_is_throttled(
    api: Api, stranger: Api, shop: Shop, settings: Settings
) -> None:
    settings.ORDERS_PER_MINUTE = 2
    assert [api.order(shop).status for _ in range(3)] == [202, 202, 429]
    assert is_too_many(api.order(shop))
    # Neither reading nor anybody else is
    assert api.get(ORDERS).status == 200
    assert stranger.order(shop).status == 202


def test_every_answer_has_the_remaining_number_of_requests(api: Api, shop: Shop, settings: Settings) -> None:
    settings.ORDERS_PER_MINUTE = 2
    told = [api.order(shop, slot=slot).headers for slot in (shop.slot.pk, shop.past.pk, shop.slot.pk)]
    assert [headers["RateLimit"] for headers in told] == [f'"orders";r={left};t=42' for left in (1, 0, 0)]
    assert {headers["RateLimit-Policy"] for headers in told} == {'"orders";q=2;w=60'}


@pytest.mark.parametrize("path", ["/api/v1/menu/", "/api/v1/slots/", ORDERS, f"{ORDERS}ORD-1/"])
def test_reads_are_counted_together(api: Api, settings: Settings, path: str) -> None:
    settings.READS_PER_MINUTE = 2
    assert api.get("/api/v1/menu/").status == 200
    assert api.call("HEAD", "/api/v1/menu/").status == 200
    assert is_too_many(api.get(path))


def test_cancels_are_counted(api: Api, settings: Settings) -> None:
    settings.CANCELS_PER_MINUTE = 2
    assert [api.post(f"{ORDERS}ORD-1/cancel/").status for _ in range(3)] == [404, 404, 429]


def test_payments_of_one_order_throttle_no_other(api: Api, shop: Shop, settings: Settings) -> None:
    settings.CONFIRMS_PER_MINUTE = 2
    one, other = (api.order(shop).body["order_no"] for _ in range(2))
    assert [confirm(one).status for _ in range(3)] == [200, 200, 429]
    assert confirm(other, "pay_2").status == 200


def test_forged_payments_throttle_no_payment(api: Api, shop: Shop, settings: Settings) -> None:
    settings.FORGERIES_PER_MINUTE = 2
    order_no = api.order(shop).body["order_no"]
    forged = [confirm(order_no, secret="whsec_YW5vdGhlciBzZWNyZXQ=").status for _ in range(3)]
    assert forged == [401, 401, 429]
    assert confirm(order_no).status == 200


def test_guesses_of_coupon_codes_are_throttled(api: Api, stranger: Api, shop: Shop, settings: Settings) -> None:
    settings.COUPON_GUESSES_PER_MINUTE = 2
    assert [api.order(shop, coupon=f"GUESS{n}").status for n in range(3)] == [422, 422, 429]
    # Then not even one that exists tells so
    good = shop.coupon()
    assert is_too_many(api.order(shop, coupon=good))
    # Orders without one go on, and so do others
    assert api.order(shop).status == 202
    assert stranger.order(shop, coupon=good).status == 202


def test_usable_coupons_do_not_count_as_guesses(api: Api, shop: Shop, settings: Settings) -> None:
    settings.COUPON_GUESSES_PER_MINUTE = 1
    assert [api.order(shop, coupon=shop.coupon()).status for _ in range(3)] == [202, 202, 202]


def test_many_other_clients_do_not_reset_a_count(api: Api, shop: Shop, settings: Settings) -> None:
    settings.ORDERS_PER_MINUTE = 1
    assert api.order(shop).status == 202
    for n in range(400):
        throttles.count("orders", f"customer of another shop {n}")
    assert is_too_many(api.order(shop))


def test_a_count_expires_after_its_minute(
    api: Api, shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ORDERS_PER_MINUTE = 1
    assert [api.order(shop).status for _ in range(2)] == [202, 429]
    later = throttles.clock() + 60
    monkeypatch.setattr(throttles, "clock", lambda: later)
    assert api.order(shop).status == 202


@pytest.mark.parametrize("nonsense", ["words", "-5", b"\xff", [1, 2]])
def test_an_invalid_count_in_redis_throttles_no_client(
    api: Api, shop: Shop, settings: Settings, counts: redis.Redis, nonsense: object
) -> None:
    settings.ORDERS_PER_MINUTE = 5
    api.order(shop)
    (key,) = counts.keys(f"{throttles.PREFIX}:orders:*")
    counts.delete(key)
    if isinstance(nonsense, list):
        counts.rpush(key, *nonsense)
    else:
        counts.set(key, nonsense)  # type: ignore[arg-type]  # bytes and texts
    assert api.order(shop).status == 202
    assert not redis_client.is_paused()


def test_a_count_without_expiry_throttles_for_its_minute_only(
    api: Api, shop: Shop, settings: Settings, counts: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ORDERS_PER_MINUTE = 5
    api.order(shop)
    (key,) = counts.keys(f"{throttles.PREFIX}:orders:*")
    counts.set(key, 10**12)
    assert is_too_many(api.order(shop))
    later = throttles.clock() + 60
    monkeypatch.setattr(throttles, "clock", lambda: later)
    assert api.order(shop).status == 202


def test_without_redis_no_client_is_throttled(
    api: Api, shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ORDERS_PER_MINUTE = 1
    monkeypatch.setattr(redis_client, "ask", lambda *_: None)
    replies = [api.order(shop) for _ in range(3)]
    assert [reply.status for reply in replies] == [202, 202, 202]
    assert "RateLimit" not in replies[0].headers


def test_counts_in_redis_expire(api: Api, shop: Shop, counts: redis.Redis) -> None:
    api.order(shop)
    keys = counts.keys(f"{throttles.PREFIX}:*")
    assert keys
    assert all(0 < counts.ttl(key) <= 120 for key in keys)


# -- Far from a limit ------------------------------------------------------------------------------------------


def _total(counts: redis.Redis) -> int:
    return sum(int(counts.get(key) or 0) for key in counts.keys(f"{throttles.PREFIX}:orders:*"))


def test_far_from_its_limit_a_client_is_counted_without_asking_redis(
    settings: Settings, counts: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ORDERS_PER_MINUTE = 3 * throttles.ONE_OF
    asked: list[int] = []
    ask = redis_client.ask

    def counting(work: Callable[[redis.Redis], object]) -> object:
        asked.append(1)
        return ask(work)

    monkeypatch.setattr(redis_client, "ask", counting)
    who = f"customer {uuid4().hex}"
    # When this process has counted less than its part
    left = [standing.left for _ in range(2) if (standing := throttles.count("orders", who))]
    # Then it was not asked, and Redis has the count all the same
    assert (asked, left) == ([], [191, 190])
    eventually(lambda: _total(counts) == 2, what="both counted in Redis")
    # And what other processes have counted is known from the next one on
    (key,) = counts.keys(f"{throttles.PREFIX}:orders:*")
    assert 0 < counts.ttl(key) <= 120
    counts.incrby(key, 500)
    standing = throttles.count("orders", who)
    assert standing is not None
    assert (asked, standing.left) == ([1], 192 - 503)


def test_whether_a_rate_is_spent_is_asked_at_once(settings: Settings, counts: redis.Redis) -> None:
    # Given a client that other processes have counted, and this one never
    settings.COUPON_GUESSES_PER_MINUTE = 1000
    who = f"customer {uuid4().hex}"
    throttles.count("coupon_guesses", who)
    eventually(lambda: bool(counts.keys(f"{throttles.PREFIX}:coupon_guesses:*")), what="counted in Redis")
    (key,) = counts.keys(f"{throttles.PREFIX}:coupon_guesses:*")
    counts.incrby(key, 1000)
    # Then
    with pytest.raises(Throttled):
        throttles.hold_back_if_spent("coupon_guesses", who)
