"""Celery's pools without an event loop of child processes: kicks go by RabbitMQ, and all else is the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sagas
from sagas import State
from sagas.worker import coroutines_of
from tests.integration.conftest import Start
from tests.lab.sagas import Awaited, Experiment, Lab
from tests.support.awaiting import SLOWER, eventually
from tests.support.points import Points, needs_node
from tests.support.runs import assert_effects_once, await_state, await_states
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("alone")

#: Seconds between two ticks: no test waits for one.
TICK = 60
#: All queues but that of the steps that coroutines perform.
BESIDE_COROUTINES = "sagas.dispatch,sagas.cancel,sagas.escalation,orders,inventory,coupons,delivery"


@pytest.mark.parametrize("pool", ["solo", "threads", "gevent"])
def test_orders_are_confirmed_and_undone_whatever_the_pool(start_worker: Start, jar: str, pool: str) -> None:
    # Given
    if pool == "gevent":
        pytest.importorskip("gevent")
    worker = start_worker(concurrency=2, pool=pool, queues=BESIDE_COROUTINES, TICK=TICK)

    # When
    well = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(3)]
    refused = sagas.start(Lab, Experiment(jar=jar, reject=("three",)))

    # Then
    for run_id in well:
        await_state(run_id, State.AWAITING_CONFIRM)
        sagas.confirm(run_id, "approval")
    for run_id in well:
        await_state(run_id, State.SUCCEEDED)
        assert_effects_once(run_id)
    await_state(refused, State.FAILED)
    assert_effects_once(refused)
    # A kick would wait behind what the pool is at, and another worker may be free.
    assert "a kick goes to a child" not in worker.text()


@pytest.fixture
def points(node: Points, monkeypatch: pytest.MonkeyPatch) -> Iterator[Points]:
    monkeypatch.setenv("LAB_POINTS_URL", node.url)
    yield node
    node.recover()


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_coroutines_wait_side_by_side_whatever_the_pool(
    points: Points, account: str, start_worker: Start, pool: str
) -> None:
    # Given a system that holds its callers
    points.fail(on="POST /debits", do="hold", times=20)
    start_worker(concurrency=2, pool=pool, TICK=TICK, environment={"LAB_POINTS_TIMEOUT": "60"})
    ids = [sagas.start(Awaited, Experiment(jar=account, quantity=1)) for _ in range(20)]
    # Then more calls are under way than the pool has places
    eventually(lambda: points.holding() == 20, what="all of them are asked")
    # And other runs go on meanwhile
    other = sagas.start(Lab, Experiment())
    await_state(other, State.AWAITING_CONFIRM)
    # When they are answered
    points.recover()
    await_states(ids, State.SUCCEEDED)
    assert points.account(account) == (80, 0)


def test_steps_of_coroutines_are_found_by_their_queue() -> None:
    assert "lab.Awaited.debit (payments)" in coroutines_of({"payments", "coupons"})
    assert coroutines_of({"orders", "inventory", "coupons", "delivery"}) == []


@pytest.mark.slow
def test_a_worker_of_greenlets_is_refused_where_coroutines_are_to_be_awaited(topology: None) -> None:
    # All greenlets share one thread: an event loop in it would let Django refuse every call of the database.
    pytest.importorskip("gevent")
    worker = Worker(pool="gevent")
    assert worker.process.wait(timeout=100 * SLOWER) == 1
    assert "cannot await the coroutines of lab.Awaited.debit (payments)" in worker.text()
    assert "-P threads" in worker.text()
