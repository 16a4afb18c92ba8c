"""A repeated request gets the first answer, and does nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

import sagas
from orders import demo
from orders.errors import Fault, OrderRefused
from orders.models import IdempotencyKey, Order
from tests.api.conftest import ORDERS, Api, Reply, Shop


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


def test_the_same_key_with_another_body(api: Api, shop: Shop) -> None:
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


@pytest.mark.parametrize("key", ["k" * 256, "schlüssel", " "[:0]])
def test_a_key_that_cannot_be_one(api: Api, shop: Shop, key: str) -> None:
    reply = api.post(ORDERS, shop.body(), **{"Idempotency-Key": key})
    assert (reply.status, reply.problem) == (400, "invalid-idempotency-key")
    assert not Order.objects.filter(customer=shop.customer).exists()


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
        assert [reply.status for reply in replies] == [202, 202]
        assert replies[0].body == replies[1].body
    assert Order.objects.filter(customer=lasting_shop.customer).count() == 1


def test_a_repeat_waits_for_a_first_that_is_still_at_work(lasting_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a first request that has its key, and is held up before it commits
    token = demo.token(customer=lasting_shop.customer)
    at_work, go_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        if not at_work.is_set():
            at_work.set()
            assert go_on.wait(10)
            raise OrderRefused([Fault("no", "No.", "/slot")])

    monkeypatch.setattr(sagas, "admit", hold_up)

    def post() -> Reply:
        try:
            return Api(token).order(lasting_shop, key="held")
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(post)
        assert at_work.wait(10)
        # When it is repeated meanwhile, and the first is then refused
        second = threads.submit(post)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.3)
        go_on.set()
        # Then the repeat is the first
        assert (first.result(10).status, second.result(10).status) == (422, 202)
    assert Order.objects.filter(customer=lasting_shop.customer).count() == 1
