"""A repeated request gets the first answer, and does nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from orders import demo, offers, open_orders
from orders.api.protocol import idempotency
from orders.errors import Fault, OrderRefused
from orders.models import IdempotencyKey, Order
from tests.shop.conftest import ORDERS, Api, Reply, Shop


def test_a_repeat_gets_the_first_answer(api: Api, shop: Shop) -> None:
    first = api.order(shop, key="once")
    # Given that by now the same order would be refused
    shop.tea.active = False
    shop.tea.save()
    # When it is repeated
    second = api.order(shop, key="once")
    # Then the answer is the same, and nothing was done
    assert (second.status, second.body, second.headers["Location"]) == (202, first.body, first.headers["Location"])
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert Order.objects.filter(customer=shop.customer).count() == 1


def test_a_repeat_that_would_be_refused_now_waits_for_the_first(
    lasting_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(demo.token(customer=lasting_shop.customer))
    with _held_up(lasting_shop, monkeypatch) as first:
        # Given that the first may still be accepted, and that the same order would be refused by now
        lasting_shop.slot.active = False
        lasting_shop.slot.save()
        offers.forget()
        # When it is repeated, then it is not refused: a client would take the order for lost
        repeat = api.order(lasting_shop, key="held")
        assert (repeat.status, repeat.problem) == (409, "request-in-progress")
        first.go_on.set()
        accepted = first.reply.result(10)
    assert (accepted.status, api.order(lasting_shop, key="held").body) == (202, accepted.body)


def test_the_same_key_with_another_body_is_refused(api: Api, shop: Shop) -> None:
    api.order(shop, key="once")
    reply = api.order(shop, key="once", items=[{"sku": shop.tea.code, "quantity": 3}])
    assert (reply.status, reply.problem) == (422, "idempotency-key-reused")
    assert Order.objects.filter(customer=shop.customer).count() == 1


def test_a_key_belongs_to_its_customer(api: Api, stranger: Api, shop: Shop) -> None:
    mine, theirs = api.order(shop, key="once"), stranger.order(shop, key="once")
    assert (mine.status, theirs.status) == (202, 202)
    assert mine.body != theirs.body


def test_without_a_key_each_request_is_an_order(api: Api, shop: Shop) -> None:
    assert api.order(shop).body != api.order(shop).body


def test_a_refused_request_leaves_its_key_free(api: Api, shop: Shop) -> None:
    assert api.order(shop, key="again", slot=shop.past.pk).status == 422
    assert not IdempotencyKey.objects.exists()
    assert api.order(shop, key="again").status == 202


@pytest.mark.parametrize(
    "key",
    [
        "k" * 256,
        f'"{"k" * 256}"',
        "schlüssel",
        "",
        '""',
        '"open',
        'in "the" middle',
        '"a" b',
        '"a\\n"',
        ",",
        "a,",
        "\x7f",
    ],
)
def test_an_invalid_key_is_refused(api: Api, shop: Shop, key: str) -> None:
    reply = api.post(ORDERS, shop.body(), **{"Idempotency-Key": key})
    assert (reply.status, reply.problem) == (400, "invalid-idempotency-key")
    assert not Order.objects.filter(customer=shop.customer).exists()


# Two headers of one name come as one, with a comma between.
@pytest.mark.parametrize("again", ["k-1", '"k-1"', "k-1,k-1", 'k-1, "k-1"', '"k-1","k-1"'])
def test_quoted_and_unquoted_forms_of_a_key_are_equal(api: Api, shop: Shop, again: str) -> None:
    first, second = api.order(shop, key='"k-1"'), api.order(shop, key=again)
    assert (second.status, second.body) == (202, first.body)


@pytest.mark.parametrize(
    ("quoted", "key"),
    [(r'"a,b"', "a,b"), (r'"say \"so\""', 'say "so"'), (r'"a\\b"', "a\\b"), ("two words", "two words")],
)
def test_a_quoted_key_is_unescaped(api: Api, shop: Shop, quoted: str, key: str) -> None:
    assert api.order(shop, key=quoted).status == 202
    assert IdempotencyKey.objects.get(customer=shop.customer).key == key


@pytest.mark.parametrize("keys", ["a,b", '"a", b', '"a,b",a'])
def test_two_keys_that_differ_are_refused(api: Api, shop: Shop, keys: str) -> None:
    reply = api.order(shop, key=keys)
    assert (reply.status, reply.problem) == (400, "invalid-idempotency-key")
    assert "several" in reply.body["detail"]
    assert not Order.objects.filter(customer=shop.customer).exists()


def test_the_same_request_in_another_notation_is_a_repeat(api: Api, shop: Shop) -> None:
    sku, slot = shop.tea.code, shop.slot.pk
    bodies = [
        f'{{"items":[{{"sku":"{sku}","quantity":2}}],"slot":{slot}}}',
        f'{{"slot": {slot},\n  "items": [ {{"quantity": 2, "sku": "{sku}"}} ]}}',
        f'{{"coupon":null,"items":[{{"sku":"\\u{ord(sku[0]):04x}{sku[1:]}","quantity":2}}],"slot":{slot}}}',
    ]
    replies = [api.call("POST", ORDERS, body=body.encode(), headers={"Idempotency-Key": "once"}) for body in bodies]
    assert [reply.status for reply in replies] == [202, 202, 202]
    assert len({reply.body["order_no"] for reply in replies}) == 1


def _age(key: str, *, hours: float) -> None:
    found = IdempotencyKey.objects.filter(key=key)
    assert found.update(created_at=Now() - timedelta(hours=hours)) == 1


def test_a_key_is_forgotten_after_a_day(api: Api, shop: Shop) -> None:
    first = api.order(shop, key="once")
    _age("once", hours=23.9)
    assert api.order(shop, key="once").body == first.body
    _age("once", hours=24)
    # When it comes again, with another body even
    second = api.order(shop, key="once", items=[{"sku": shop.tea.code, "quantity": 3}])
    # Then it is a new one, for a day
    assert second.status == 202
    assert second.body != first.body
    assert "Idempotency-Replayed" not in second.headers
    assert IdempotencyKey.objects.get(key="once").created_at > timezone.now() - timedelta(minutes=1)


def test_new_keys_sweep_old_ones_once_a_second(
    api: Api,
    stranger: Api,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    for key in ("a", "b", "c", "d", "e", "young"):
        stranger.order(shop, key=key)
    for key, hours in (("a", 30), ("b", 29), ("c", 28), ("d", 27), ("e", 26), ("young", 23)):
        _age(key, hours=hours)

    def kept_after(key: str, *, at: float) -> set[str]:
        monkeypatch.setattr(idempotency, "clock", lambda: at)
        with django_capture_on_commit_callbacks(execute=True):
            assert api.order(shop, key=key).status == 202
        return set(IdempotencyKey.objects.filter(customer=shop.other).values_list("key", flat=True))

    monkeypatch.setattr(idempotency, "_sweeping", idempotency._Sweeping())
    # The first of a process deletes two; the next come within a second
    assert kept_after("first", at=100.0) == {"c", "d", "e", "young"}
    assert kept_after("second", at=100.5) == {"c", "d", "e", "young"}
    # A repeat is no new key
    assert kept_after("second", at=102.0) == {"c", "d", "e", "young"}
    # Two for each of the two that came since
    assert kept_after("third", at=103.0) == {"young"}


def test_a_sweep_deletes_all_old_keys(api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abcde":
        api.order(shop, key=key)
        if key != "e":
            _age(key, hours=25)
    monkeypatch.setattr(idempotency, "_SWEPT_AT_ONCE", 2)
    call_command("sweep")
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["e"]


def _in_two_threads(token: str, shop: Shop, barrier: threading.Barrier) -> list[Reply]:
    def post(_: int) -> Reply:
        try:
            barrier.wait(timeout=10)
            return Api(token).order(shop, key="race")
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(post, range(2)))


def test_two_concurrent_repeats_are_one_order(lasting_shop: Shop) -> None:
    token = demo.token(customer=lasting_shop.customer)
    for _ in range(10):
        replies = _in_two_threads(token, lasting_shop, threading.Barrier(2))
        for reply in replies:
            assert reply.status == 202 or (reply.status, reply.problem) == (409, "request-in-progress")
        assert len({reply.body["order_no"] for reply in replies if reply.status == 202}) == 1
    assert Order.objects.filter(customer=lasting_shop.customer).count() == 1


@dataclass
class Held:
    """A first request that has its key, and is held up before it commits."""

    reply: Future[Reply]
    go_on: threading.Event
    #: The session of PostgreSQL in which it is at work.
    session: int


@contextmanager
def _held_up(shop: Shop, monkeypatch: pytest.MonkeyPatch, *, refuse: bool = False) -> Iterator[Held]:
    token = demo.token(customer=shop.customer)
    at_work, go_on, sessions = threading.Event(), threading.Event(), []

    def hold_up(**_: object) -> None:
        if not at_work.is_set():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                sessions.extend(cursor.fetchone())
            at_work.set()
            assert go_on.wait(10)
            if refuse:
                raise OrderRefused([Fault("no", "No.", "/slot")])

    few = open_orders.few

    def few_but_of_the_first(**given: Any) -> Any:
        return few(**given) if at_work.is_set() else None

    # An order that must be compared with others is inserted in a transaction, which this holds open.
    monkeypatch.setattr(open_orders, "few", few_but_of_the_first)
    # Another order of its customer would wait for it by another lock than the key's.
    monkeypatch.setattr(open_orders, "lock", lambda **_: None)
    limits = {whose: {"orders": 1000, "cups": 0} for whose in ("customer", "address")}
    monkeypatch.setattr(settings, "OPEN_ORDERS", limits)
    monkeypatch.setattr(open_orders, "check", hold_up)

    def post() -> Reply:
        try:
            return Api(token).order(shop, key="held")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(post)
        assert at_work.wait(10)
        try:
            yield Held(first, go_on, sessions[0])
        finally:
            go_on.set()


def test_a_repeat_during_the_first_request_is_refused_at_once(
    lasting_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(demo.token(customer=lasting_shop.customer))
    with _held_up(lasting_shop, monkeypatch) as first:
        # When it is repeated meanwhile, in whichever form
        for key in ("held", '"held"'):
            repeat = api.order(lasting_shop, key=key)
            # Then that is said while the first is still held up
            assert (repeat.status, repeat.problem, repeat.headers["Retry-After"]) == (409, "request-in-progress", "1")
        # And others' keys, and other keys, are not held up
        assert api.order(lasting_shop, key="another").status == 202
        assert Api(demo.token(customer=lasting_shop.other)).order(lasting_shop, key="held").status == 202
        first.go_on.set()
        accepted = first.reply.result(10)
    # And when the first is done, the repeat gets its answer
    repeat = api.order(lasting_shop, key="held")
    assert (accepted.status, repeat.body) == (202, accepted.body)


def test_a_repeat_after_a_refused_first_request_is_performed(
    lasting_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _held_up(lasting_shop, monkeypatch, refuse=True) as first:
        first.go_on.set()
        assert first.reply.result(10).status == 422
    assert Api(demo.token(customer=lasting_shop.customer)).order(lasting_shop, key="held").status == 202


def test_a_repeat_after_a_first_request_whose_session_died_is_performed(
    lasting_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(demo.token(customer=lasting_shop.customer))
    with _held_up(lasting_shop, monkeypatch) as first:
        # Given that the first loses its session while it is at work
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [first.session])
        # When it is repeated, then nothing holds the repeat up
        repeat = api.order(lasting_shop, key="held")
        assert repeat.status == 202
        first.go_on.set()
        assert first.reply.result(10).status == 503
    assert Order.objects.filter(customer=lasting_shop.customer).count() == 1
