"""Steps in another system on real workers that are killed while they call it."""

from __future__ import annotations

from uuid import UUID

import pytest
import redis
from django.conf import settings

import sagas
from sagas import State
from tests.integration.conftest import Start
from tests.lab.points import KEY
from tests.lab.sagas import Experiment, Rewarded
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.points import Points, needs_node
from tests.support.runs import await_state, effects, let_time_pass, story

pytestmark = [pytest.mark.usefixtures("alone"), pytest.mark.chaos, needs_node]
#: What is on the account.
ACCOUNT = 10_000


def with_points(points: Points, **more: str) -> dict[str, str]:
    return {"LAB_POINTS_URL": points.url, **more}


def reward(account: str) -> UUID:
    return sagas.start(Rewarded, Experiment(jar=account, quantity=1))


def test_a_worker_is_killed_between_intent_and_call(points: Points, account: str, start_worker: Start) -> None:
    # Given a worker that will be killed when the INTENT is committed
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.set(KEY, "debit.forward.committed")
    worker = start_worker(environment=with_points(points))
    run_id = reward(account)
    eventually(lambda: "SIGKILL" in worker.text(), what="it is killed")
    assert story(run_id)[-1] == "debit.forward INTENT"

    # When the lease is over
    let_time_pass(run_id)

    # Then it is done once
    await_state(run_id, State.SUCCEEDED)
    assert story(run_id)[2:6] == [
        "debit.forward INTENT",
        "debit.forward FAULT",
        "debit.forward INTENT",
        "debit.forward DONE",
    ]
    assert points.account(account) == (9_999, 0)


def test_a_worker_is_killed_during_a_remote_call(points: Points, account: str, start_worker: Start) -> None:
    # Given a call that is executed and not answered, when its whole worker is killed
    points.fail(on="POST /debits", do="hold")
    worker = start_worker(environment=with_points(points, LAB_POINTS_TIMEOUT="60"))
    run_id = reward(account)
    eventually(lambda: points.holding() == 1, what="the call is held")
    worker.kill()
    points.recover()
    assert story(run_id)[-1] == "debit.forward INTENT"

    # When another comes, and the lease is over
    start_worker(environment=with_points(points))
    let_time_pass(run_id)

    # Then it learns that it was done
    await_state(run_id, State.SUCCEEDED)
    assert effects(run_id) == ["one.forward", "debit.forward", "four.forward"]
    assert points.account(account) == (9_999, 0)


@pytest.mark.slow
def test_the_database_is_unreachable_when_the_answer_comes(points: Points, account: str, start_worker: Start) -> None:
    # Given a call in flight
    points.fail(on="POST /debits", do="hold")
    worker = start_worker(environment=with_points(points, LAB_POINTS_TIMEOUT="60"))
    run_id = reward(account)
    eventually(lambda: points.holding() == 1, what="the call is held")

    # When PostgreSQL is killed, and the answer comes before it is back
    servers.kill("postgres")
    try:
        points.recover()
        eventually(lambda: points.account(account) == (9_999, 0), what="it was executed")
    finally:
        servers.start("postgres")

    # Then the answer is recorded, and not left to the lease
    await_state(run_id, State.SUCCEEDED)
    assert effects(run_id) == ["one.forward", "debit.forward", "four.forward"]
    assert "debit.forward FAULT" not in story(run_id)
    assert worker.process.poll() is None
