"""Redis in front of a refund: gone, flushed, put back to an old copy, frozen, its lock over. Refunded once, always."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
from django.conf import settings
from django.db import transaction

import sagas
from coupons.models import Grant
from orders.sagas import PlaceOrder
from sagas.messaging.publisher import STEP_TASK
from sagas.models import Log, Run
from tests.support import broker, row_locks, servers
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.runs import await_states
from tests.support.shop import TEA, Shop, run_of
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller

pytestmark = pytest.mark.chaos

#: Two workers, so that of two deliveries each has its own; a lock that a test can outwait.
TWO: Any = {"workers": 2, "children": 2, "GUARD_TTL": 1.0}
ORDERS = 6


@pytest.fixture
def memory() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        yield client


def place(customer: Caller, shop: Shop) -> list[UUID]:
    """Orders with a coupon each, which wait to be paid."""
    placed = [customer.place([(TEA, 1)], slot=shop.slot, coupon=f"C{n}") for n in range(ORDERS)]
    runs = [run_of(str(reply.body["order_no"])) for reply in placed]
    await_states(runs, "AWAITING_CONFIRM")  # type: ignore[arg-type]  # its stored name
    return runs


def cancel(runs: list[UUID]) -> None:
    """All in one commit, so that one delivery undoes them all and another child is free for its double."""
    with transaction.atomic():
        for run_id in runs:
            sagas.cancel(run_id)


def send_double(runs: list[UUID]) -> None:
    """RabbitMQ delivers the refund of these runs once more."""
    which = {"saga": PlaceOrder.name, "version": PlaceOrder.version, "step": "apply_coupon", "phase": "undo"}
    broker.publish_task("coupons", STEP_TASK, [[str(run_id) for run_id in runs]], which)


def locks(memory: redis.Redis) -> set[UUID]:
    """The runs whose refund is locked, or remembered as done."""
    found: Any = memory.keys("sagas:undo:*:apply_coupon")
    return {UUID(key.decode().split(":")[2]) for key in found}


def assert_refunded_once(runs: list[UUID], shop: Shop) -> None:
    await_all_ended()
    assert set(Run.objects.values_list("state", flat=True)) == {"FAILED"}
    for run_id in runs:
        assert Log.objects.filter(run_id=run_id, step="apply_coupon", operation="compensate").count() == 1
    assert not Grant.objects.filter(state__in=["USED", "REFUNDING"]).exists()
    assert_shop_invariants(shop.before)


def runs_out(memory: redis.Redis) -> None:
    eventually(lambda: not locks(memory), what="the locks ran out")


def is_flushed(memory: redis.Redis) -> None:
    memory.flushall()


@contextmanager
def frozen(memory: redis.Redis) -> Iterator[None]:
    """Redis stands still inside this block."""
    info: Any = memory.info("server")
    pid = int(info["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def folder() -> Path:
    return servers.directory() / "redis" / "appendonlydir"


def put_back(copy: Path) -> None:
    """Redis dies, and comes back with what it knew when the copy was taken."""
    servers.kill("redis")
    shutil.rmtree(folder())
    shutil.copytree(copy, folder())
    servers.start("redis")


@pytest.mark.parametrize("what", [runs_out, pytest.param(is_flushed, marks=pytest.mark.slow)])
def test_the_redis_lock_is_lost_during_a_refund(
    what: Callable[[redis.Redis], None], worker_group: WorkerGroup, customer: Caller, shop: Shop, memory: redis.Redis
) -> None:
    # Given refunds that take longer than their locks last
    worker_group.start(**TWO)
    runs = place(customer, shop)
    with row_locks.blocked_at("apply_coupon"):
        cancel(runs)
        row_locks.await_lock_waits()
        what(memory)
        # When a double comes, nobody holds it back: it waits for the runs themselves
        send_double(runs)
        # (so it got past Redis. The locks that it has there may have run out before anybody looks.)
        row_locks.await_lock_waits(2)
    # Then
    assert_refunded_once(runs, shop)


def test_redis_is_frozen_for_longer_than_its_locks_live(
    worker_group: WorkerGroup, customer: Caller, shop: Shop, memory: redis.Redis
) -> None:
    worker_group.start(**TWO)
    runs = place(customer, shop)
    with row_locks.blocked_at("apply_coupon"):
        cancel(runs)
        row_locks.await_lock_waits()
        with frozen(memory):
            send_double(runs)
            row_locks.await_lock_waits(2)
    assert_refunded_once(runs, shop)


def test_redis_is_stopped_during_a_refund(
    worker_group: WorkerGroup, customer: Caller, shop: Shop, memory: redis.Redis
) -> None:
    worker_group.start(**TWO)
    runs = place(customer, shop)
    try:
        with row_locks.blocked_at("apply_coupon"):
            cancel(runs)
            row_locks.await_lock_waits()
            servers.kill("redis")
            send_double(runs)
            row_locks.await_lock_waits(2)
        assert_refunded_once(runs, shop)
    finally:
        servers.start("redis")


@pytest.mark.slow
def test_redis_restarts_with_locks_of_killed_workers(
    worker_group: WorkerGroup, customer: Caller, shop: Shop, memory: redis.Redis, tmp_path: Path
) -> None:
    # Given a copy of Redis that was taken when refunds were under way
    worker_group.start(**{**TWO, "GUARD_TTL": 120.0, "LEASE": 1})
    runs = place(customer, shop)
    with row_locks.blocked_at("apply_coupon"):
        cancel(runs)
        eventually(lambda: locks(memory) == set(runs), what="the refunds under way")
        row_locks.await_lock_waits()
        copy = tmp_path / "copy"
        shutil.copytree(folder(), copy)
        # When all who performed them die, and Redis comes back with their locks, which last
        for worker in worker_group.workers:
            worker.kill()
        put_back(copy)
        assert locks(memory) == set(runs)
    worker_group.start(**{**TWO, "GUARD_TTL": 120.0, "LEASE": 1})

    # Then nothing stops
    assert_refunded_once(runs, shop)


def test_the_guard_holds_back_a_duplicate_of_every_message(
    worker_group: WorkerGroup, customer: Caller, shop: Shop, memory: redis.Redis
) -> None:
    worker_group.start(**TWO, double=0.0, LEASE=40)
    runs = place(customer, shop)
    cancel(runs)
    assert_refunded_once(runs, shop)
    # And nobody waited for a lease because the double was there first.
    for run in Run.objects.filter(pk__in=runs):
        cancelled = Log.objects.get(run_id=run.pk, operation="cancel", outcome="EVENT")
        assert run.finished_at is not None
        assert (run.finished_at - cancelled.at).total_seconds() < 40
