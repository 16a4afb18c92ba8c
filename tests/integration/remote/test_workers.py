"""Steps in another system on a real worker: every fate, killed over there, cancelled, slow."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from pytest_django import DjangoDbBlocker

import sagas
from sagas import State
from sagas.models import Log
from tests.conftest import SharedWorkers
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab, Promised, Rewarded
from tests.support.awaiting import eventually
from tests.support.leftovers import forget_runs
from tests.support.points import Points, needs_node
from tests.support.runs import assert_effects_once, await_state, await_states, effects, state, states, story
from tests.support.workers import Worker

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.chaos, needs_node]
#: What is on the account.
ACCOUNT = 10_000


@pytest.fixture(scope="module")
def worker(
    node: Points, _forgotten: None, shared_workers: SharedWorkers, django_db_blocker: DjangoDbBlocker
) -> Iterator[Worker]:
    """One process, which makes at most four calls at a time, and waits long for their answers."""
    shared_workers.stop()
    with django_db_blocker.unblock():
        forget_runs()
    worker = Worker(environment={"LAB_POINTS_URL": node.url, "LAB_POINTS_TIMEOUT": "60"})
    yield worker.await_ready()
    worker.stop()


def reward(account: str) -> UUID:
    return sagas.start(Rewarded, Experiment(jar=account, quantity=1))


def test_runs_with_every_outcome_end_correctly(points: Points, account: str, worker: Worker) -> None:
    # Given more runs than there is room for calls at a time, some of which are refused, later or there
    good = [reward(account) for _ in range(30)]
    refused = [sagas.start(Rewarded, Experiment(jar=account, quantity=1, reject=("four",))) for _ in range(5)]
    poor = [sagas.start(Rewarded, Experiment(jar="nobody", quantity=1)) for _ in range(5)]
    held = [sagas.start(Promised, Experiment(jar=account, quantity=10)) for _ in range(6)]

    # Then
    await_states(good, State.SUCCEEDED)
    await_states(refused + poor, State.FAILED)
    await_states(held, State.AWAITING_CONFIRM)
    assert points.account(account) == (10_000 - 30 - 60, 60)
    for run_id in held[:3]:
        sagas.confirm(run_id, "approval", {})
    for run_id in held[3:]:
        sagas.cancel(run_id)
    assert await_states(held, State.SUCCEEDED, State.FAILED) == {State.SUCCEEDED: 3, State.FAILED: 3}
    assert points.account(account) == (10_000 - 30 - 30, 0)
    for run_id in good:
        done = effects(run_id)
        assert done == ["one.forward", "debit.forward", "four.forward"]


def test_the_participant_is_killed_and_restarted(points: Points, account: str, worker: Worker) -> None:
    # Given a participant that dies by SIGKILL with calls in flight, after it has executed one of them
    points.fail(on="POST /debits", do="die", stage="after")
    ids = [reward(account) for _ in range(6)]
    points.await_death()

    # When it comes back, on its journal
    points.start()

    # Then all ends, and what was executed was executed once
    ended = await_states(ids, State.SUCCEEDED, State.FAILED)
    balance, held = points.account(account)
    assert (10_000 - balance, held) == (ended[State.SUCCEEDED], 0)
    for run_id in ids:
        if state(run_id) is State.SUCCEEDED:
            assert effects(run_id) == ["one.forward", "debit.forward", "four.forward"]


def test_a_cancel_during_a_call_undoes_it(points: Points, account: str, worker: Worker) -> None:
    points.fail(on="POST /debits", do="hold")
    run_id = reward(account)
    eventually(lambda: points.holding() == 1, what="the call is held")
    assert sagas.cancel(run_id) is State.COMPENSATING
    points.recover()
    await_state(run_id, State.FAILED)
    assert effects(run_id) == ["one.forward", "debit.forward", "debit.compensate", "one.compensate"]
    assert points.account(account) == (10_000, 0)


def test_a_slow_participant_delays_no_other_step(points: Points, account: str, worker: Worker) -> None:
    # Given 50 runs whose remote step hangs, on the very worker, and the very queue, that others need
    points.fail(on="POST /debits", do="hold", times=1000)
    jar = f"jar-{uuid4().hex[:8]}"
    Jar.objects.create(name=jar, available=1000)
    slow = [reward(account) for _ in range(50)]
    eventually(lambda: points.holding() == 4, what="as many calls hang as one process makes at a time")

    # When others come
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(100)]

    # Then they go through all their steps, confirms too, while those hang
    await_states(ids, State.AWAITING_CONFIRM)
    for run_id in ids:
        sagas.confirm(run_id, "approval", {})
    await_states(ids, State.SUCCEEDED)
    for run_id in ids:
        assert_effects_once(run_id)
    assert states(slow) == {State.EXECUTING: 50}
    assert points.holding() == 4
    assert Log.objects.filter(run_id__in=slow, step="debit").count() == 4

    # And when it lives again, those end too
    points.recover()
    await_states(slow, State.SUCCEEDED)
    assert points.account(account) == (9_950, 0)


# The last one: it ends the worker.
def test_a_worker_that_shuts_down_waits_for_its_calls(points: Points, account: str, worker: Worker) -> None:
    # Given a call in flight
    points.fail(on="POST /debits", do="hold")
    run_id = reward(account)
    eventually(lambda: points.holding() == 1, what="the call is held")

    # When the worker is asked to end, and the answer comes only then
    worker.process.terminate()
    eventually(lambda: "Warm shutdown" in worker.text(), what="it shuts down")
    points.recover()
    worker.process.wait(timeout=20)

    # Then the outcome is on record, and not left to the lease
    assert story(run_id)[2:] == ["debit.forward INTENT", "debit.forward DONE"]
