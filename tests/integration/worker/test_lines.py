"""Runs in line at one key, on a real worker: one after the other, also when who ends dies before it tells."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings
from django.db import transaction

import sagas
from sagas import State
from sagas.models import Lock, Log, Run
from tests.integration.engine.test_locks import assert_alone
from tests.lab.points import KEY
from tests.lab.sagas import Experiment, Keyed
from tests.support.awaiting import eventually
from tests.support.runs import await_states
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("database", "own_worker")

WORKER = {"concurrency": 2}


def start(key: str, **experiment: object) -> UUID:
    return sagas.start(Keyed, Experiment(keys=(key,), **experiment))  # type: ignore[arg-type]  # see Experiment


def in_order(ids: list[UUID]) -> list[UUID]:
    """The runs in the order in which they did their first step."""
    rows = Log.objects.filter(run_id__in=ids, step="one", operation="forward", outcome="DONE").order_by("id")
    return list(rows.values_list("run_id", flat=True))


def test_fifty_runs_on_one_key_end_one_after_the_other(own_worker: Worker) -> None:
    # Given
    key = f"order:{uuid4().hex}"
    with transaction.atomic():
        ids = [start(key, reject=("two",) if n % 7 == 3 else ()) for n in range(30)]
    ids += [start(key) for _ in range(20)]

    # When
    ended = await_states(ids, State.SUCCEEDED, State.FAILED)

    # Then in the order in which they came, by the clock
    assert ended == {State.SUCCEEDED: 46, State.FAILED: 4}
    assert_alone(ids)
    assert in_order(ids) == ids
    # and by the log: what they did is not mixed
    done = Log.objects.filter(run_id__in=ids).exclude(operation="start").order_by("id").values_list("run_id", flat=True)
    turns = [run_id for number, run_id in enumerate(done) if number == 0 or done[number - 1] != run_id]
    assert turns == ids
    assert not Lock.objects.filter(key=key).exists()


def test_the_holder_of_a_key_is_killed_before_it_wakes_the_next_run(own_worker: Worker) -> None:
    # Given runs in line
    key = f"order:{uuid4().hex}"
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.set(KEY, "two.forward.committed")
        ids = [start(key) for _ in range(4)]

        # When the first has ended, and nobody is told of it. How soon the others look is not judged: the next may
        # have been about to, when a slow machine came to the end of the first.
        await_states(ids[:1], State.SUCCEEDED)
        eventually(lambda: not client.exists(KEY), what="the worker's death")  # just behind its commit

    # Then the others find out
    assert await_states(ids, State.SUCCEEDED) == {State.SUCCEEDED: 4}
    assert_alone(ids)
    assert in_order(ids) == ids


def test_runs_with_different_keys_do_not_delay_each_other(own_worker: Worker) -> None:
    keys = [f"order:{uuid4().hex}" for _ in range(40)]
    ids = [start(key) for key in keys * 3]
    await_states(ids, State.SUCCEEDED)
    assert_alone(ids)
    assert not Run.objects.filter(pk__in=ids).exclude(state=State.SUCCEEDED).exists()
