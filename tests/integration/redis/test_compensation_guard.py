"""Redis in front of the undo: it spares the database the doubles, and whatever becomes of it, nothing is done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from redis.backoff import NoBackoff
from redis.retry import Retry

import sagas
from sagas import State, runtime
from sagas.decisions.messages import Chain
from sagas.engine.performing import perform
from sagas.redis import client as redis_client
from sagas.redis import compensation_guard
from tests.lab.sagas import Experiment, Lab, Parent
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_all
from tests.support.row_locks import await_lock_waits, blocked_at
from tests.support.runs import assert_effects_once, counts, make_due, marks, state, states

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _redis_is_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is, and has time to answer: on a slow machine a tenth of a second may be over, and then it is left alone."""
    monkeypatch.setattr(redis_client, "TIMEOUT", 10.0)
    patient = redis_client.client(10.0)
    monkeypatch.setattr(redis_client, "client", lambda _timeout=0.0: patient)
    runtime.memory.redis_paused_until = 0.0
    yield
    runtime.memory.redis_paused_until = 0.0


@pytest.fixture
def memory() -> Iterator[redis.Redis]:
    """What the guard remembers."""
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"], decode_responses=True) as client:
        yield client


@contextmanager
def saga_settings(**changes: Any) -> Iterator[None]:
    from django.test import override_settings

    with override_settings(SAGAS={**settings.SAGAS, **changes}):
        yield


def being_undone(jar: str, count: int = 1, **experiment: Any) -> tuple[list[UUID], Chain]:
    """Runs that have done all their steps and are cancelled, and the chain that undoes them."""
    ids = sorted(sagas.start(Lab, Experiment(jar=jar, **experiment)) for _ in range(count))
    Carrier().run(ids)
    for run_id in ids:
        sagas.cancel(run_id)
    (chain,) = chains(claim_all())
    return ids, chain


def up_to(chain: Chain, step: str) -> Chain:
    """Carry a chain until this step is next."""
    while chain.links[0].step != step:
        _, following = deliver(chain)
        assert following is not None
        chain = following
    return chain


def assert_undone_once(ids: list[UUID]) -> None:
    assert states(ids) == {State.FAILED: len(ids)}
    for run_id in ids:
        assert_effects_once(run_id)


@contextmanager
def at_the_gate(chain: Chain) -> Iterator[threading.Thread]:
    """Somebody delivers this undo of step ``three``, and is held up in the middle of it until the end of the block."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            deliver_all(chain)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    with blocked_at("three"):
        thread.start()
        await_lock_waits()
        yield thread
    thread.join(30)
    assert not thread.is_alive()
    assert not failed, failed


# -- What it spares -------------------------------------------------------------------------------------------


def test_a_duplicate_during_an_undo_costs_the_database_nothing(jar: str) -> None:
    # Given
    ids, chain = being_undone(jar, 3)
    chain = up_to(chain, "three")
    with at_the_gate(chain), CaptureQueriesContext(connection) as asked:
        # When its double comes meanwhile
        performed, following = deliver(chain)
        # Then nobody waits for a lock, and nobody goes on twice
        assert not asked.captured_queries
        assert (performed.survivors, performed.messages, following) == ([], [], None)
    assert_undone_once(ids)
    assert counts(jar) == (1000, 0, 0)


def test_a_late_duplicate_costs_one_read_and_is_passed_on(jar: str) -> None:
    # Given
    ids, chain = being_undone(jar, 3)
    first, _ = deliver(chain)

    # When
    with CaptureQueriesContext(connection) as asked:
        second, following = deliver(chain)

    # Then the next link may have been lost, so it goes on
    assert len(asked.captured_queries) == 1
    assert "FOR NO KEY UPDATE" not in asked.captured_queries[0]["sql"]
    assert second.survivors == first.survivors == ids
    deliver_all(following)
    assert_undone_once(ids)

    # And when it comes later still, it is dropped
    assert deliver(chain)[0].survivors == []
    assert_undone_once(ids)


def test_the_guard_is_called_at_most_twice_a_cohort_and_never_forward(
    jar: str, memory: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    evaluate = redis.Redis.eval

    def counted(self: redis.Redis, script: str, numkeys: int, *rest: Any) -> Any:
        asked.append(numkeys)
        return evaluate(self, script, numkeys, *rest)

    monkeypatch.setattr(redis.Redis, "eval", counted)
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(5)]
    Carrier().run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 5}
    assert asked == []
    for run_id in ids:
        sagas.cancel(run_id)
    (chain,) = chains(claim_all())
    deliver(chain)
    assert asked == [5, 5]
    deliver(chain)
    assert asked == [5, 5, 5]


def test_a_confirmed_run_never_uses_the_guard(jar: str, memory: redis.Redis) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert memory.keys("sagas:undo:*") == []


# -- The fencing token of a delivery ----------------------------------------------------------------------------


def test_a_message_with_a_newer_token_is_not_held_back_by_an_older_one(jar: str, memory: redis.Redis) -> None:
    # Given a delivery whose worker died with the lock
    ids, chain = being_undone(jar, 2)
    compensation_guard.take("four", chain.token, ids)
    assert deliver(chain)[0].survivors == []

    # When the lease is over before the lock is
    make_due(ids)
    for again in chains(claim_all(lapsed=True)):
        assert again.token > chain.token
        deliver_all(again)

    # Then
    assert_undone_once(ids)


def test_a_redelivery_has_a_higher_fencing_token(jar: str) -> None:
    from sagas.engine.delivery import redeliver
    from sagas.engine.performing import redeliver_in_halves

    ids, chain = being_undone(jar, 2)
    compensation_guard.take("four", chain.token, ids)
    link = chain.links[0]
    late = redeliver(link, ids, 1.0, token=chain.token)
    assert isinstance(late, Chain)
    for half in chains([late, *redeliver_in_halves(link, ids, token=chain.token)]):
        assert half.token > chain.token
    deliver_all(late)
    assert_undone_once(ids)


def test_the_next_attempt_has_a_higher_fencing_token(jar: str) -> None:
    # Given an undo whose first attempt broke
    (run_id,), chain = being_undone(jar, faults={"four.compensate": 1})
    deliver(chain)
    make_due([run_id])
    (retry,) = chains(claim_all())
    assert retry.token > chain.token

    # When the lock of the first is still there, as one whose worker could not give it back
    compensation_guard.take("four", chain.token, [run_id])
    deliver_all(retry)

    # Then
    assert_undone_once([run_id])


def test_a_message_with_an_outdated_token_is_performed_if_the_database_allows_it(jar: str, memory: redis.Redis) -> None:
    # Given a lock with a fencing token that the database knows nothing of
    ids, chain = being_undone(jar, 2)
    for run_id in ids:
        memory.set(compensation_guard.key(run_id, "four"), f"{chain.token + 99}:somebody", px=5000)
    # When
    deliver_all(chain)
    # Then, and the lock is left to whom it belongs
    assert_undone_once(ids)
    assert {memory.get(compensation_guard.key(run_id, "four")) for run_id in ids} == {f"{chain.token + 99}:somebody"}


def test_an_undo_that_redis_calls_done_is_checked_in_the_database(jar: str, memory: redis.Redis) -> None:
    # Given a database that was put back to before the commit
    ids, chain = being_undone(jar, 2)
    for run_id in ids:
        memory.set(compensation_guard.key(run_id, "four"), f"{chain.token}:done", px=5000)
    deliver_all(chain)
    assert_undone_once(ids)


def test_a_repeated_undo_that_redis_calls_done_goes_on_by_messages(jar: str) -> None:
    # Given an undo that is done, and the run's message on its way to the next one
    ids, chain = being_undone(jar, 2)
    deliver(chain)
    # When it comes once more, to a process that would go on itself
    performed = perform(chain.links[0], ids, token=chain.token, held=True)
    # Then nobody has claimed the runs: if they ended the process, nobody would count that
    assert performed.survivors == ids
    assert performed.troubled


def test_a_cohort_may_mix_all_states_of_the_guard(jar: str, memory: redis.Redis) -> None:
    # Given one that is free, one busy, one done, one wrongly held for done, and one that does not exist
    ids, chain = being_undone(jar, 4)
    free, busy, done, wrong = ids
    nobody = uuid4()
    deliver(replace(chain, ids=(done,)))
    memory.set(compensation_guard.key(busy, "four"), f"{chain.token}:somebody", px=5000)
    memory.set(compensation_guard.key(wrong, "four"), f"{chain.token}:done", px=5000)

    # When
    performed = perform(chain.links[0], [*ids, nobody], token=chain.token)

    # Then
    assert performed.survivors == sorted([free, done, wrong])
    assert performed.unknown == [nobody]
    assert marks(busy)["four.compensate"] == 0
    assert memory.get(compensation_guard.key(busy, "four")) == f"{chain.token}:somebody"
    assert memory.get(compensation_guard.key(free, "four")) == f"{chain.token}:done"
    assert memory.get(compensation_guard.key(nobody, "four")) is None


def test_a_parent_that_waits_for_its_childs_undo_is_not_held_back(jar: str, memory: redis.Redis) -> None:
    run_id = sagas.start(Parent, Experiment(jar=jar, reject=("four",)))
    for _ in range(8):
        Carrier().run([run_id])
    assert memory.keys("sagas:undo:*:child") == []


# -- Redis is gone, forgetful, old, or slow -------------------------------------------------------------------


def test_a_lock_that_expires_during_an_undo_does_no_harm(jar: str, memory: redis.Redis) -> None:
    with saga_settings(GUARD_TTL=0.2):
        # Given an undo that takes longer than its lock lasts
        ids, chain = being_undone(jar, 3)
        chain = up_to(chain, "three")
        with at_the_gate(chain):
            eventually(lambda: not memory.keys("sagas:undo:*:three"), what="the lock ran out")
            # When its double comes, it gets the lock, and waits in the database
            double = threading.Thread(target=closing(lambda: deliver_all(chain)))
            # (one that is still there when somebody looks)
            with saga_settings(GUARD_TTL=60):
                double.start()
                await_lock_waits(2)
                assert len(memory.keys("sagas:undo:*:three")) == 3
        double.join(30)
    # Then
    assert_undone_once(ids)
    assert counts(jar) == (1000, 0, 0)


def closing(work: Callable[[], object]) -> Callable[[], None]:
    def wrapper() -> None:
        try:
            work()
        finally:
            connection.close()

    return wrapper


def test_a_lock_is_released_only_by_its_owner(jar: str, memory: redis.Redis) -> None:
    run_id = uuid4()
    first = compensation_guard.take("four", 7, [run_id])
    memory.delete(compensation_guard.key(run_id, "four"))
    second = compensation_guard.take("four", 7, [run_id])
    held = memory.get(compensation_guard.key(run_id, "four"))
    first.give_back({run_id})
    assert memory.get(compensation_guard.key(run_id, "four")) == held
    second.give_back({run_id})
    assert memory.get(compensation_guard.key(run_id, "four")) == "7:done"
    assert 0 < memory.pttl(compensation_guard.key(run_id, "four")) <= 5000


def test_redis_is_flushed_during_an_undo(jar: str, memory: redis.Redis) -> None:
    ids, chain = being_undone(jar, 3)
    chain = up_to(chain, "three")
    with at_the_gate(chain):
        memory.flushall()
        double = threading.Thread(target=closing(lambda: deliver_all(chain)))
        double.start()
        await_lock_waits(2)
    double.join(30)
    assert_undone_once(ids)


def test_an_unreachable_redis_is_called_once_and_delays_no_undo(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a Redis that nobody reaches
    ids, chain = being_undone(jar, 3)
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as nobody:
        monkeypatch.setattr(redis_client, "client", lambda _timeout: nobody)
        asked: list[str] = []

        def refuse(script: str, *_: object) -> None:
            asked.append(script)
            raise redis.ConnectionError("nobody there")

        monkeypatch.setattr(nobody, "eval", refuse)
        # When
        deliver_all(chain)
        # Then it was asked once, and left alone
        assert_undone_once(ids)
        assert len(asked) == 1


def test_invalid_values_in_the_guards_keys_do_no_harm(jar: str, memory: redis.Redis) -> None:
    ids, chain = being_undone(jar, 3)
    memory.set(compensation_guard.key(ids[0], "four"), "nonsense")
    memory.set(compensation_guard.key(ids[1], "four"), "")
    memory.lpush(compensation_guard.key(ids[2], "three"), "a list")
    deliver_all(chain)
    assert_undone_once(ids)


@pytest.mark.parametrize("left", [None, 3_600_000], ids=["that stays", "that stays for an hour"])
@pytest.mark.parametrize("by", ["somebody", "done"])
def test_a_lock_that_no_delivery_has_taken_holds_back_no_delivery(
    jar: str, memory: redis.Redis, by: str, left: int | None
) -> None:
    # Given locks with this very fencing token, which stay for longer than any delivery lets its own stay
    ids, chain = being_undone(jar, 2)
    for run_id in ids:
        for step in ("four", "three", "two", "one"):
            memory.set(compensation_guard.key(run_id, step), f"{chain.token}:{by}", px=left)
    # When
    deliver_all(chain)
    # Then nobody waits for a lease
    assert_undone_once(ids)


def test_without_a_time_to_live_the_guard_is_off(jar: str, memory: redis.Redis) -> None:
    with saga_settings(GUARD_TTL=0):
        ids, chain = being_undone(jar, 3)
        deliver_all(chain)
    assert_undone_once(ids)
    assert memory.keys("sagas:undo:*") == []


# -- What it is worth -----------------------------------------------------------------------------------------


class Meter:
    """Counts what one thread asks of the database, and how long it waits there for the locks of runs."""

    def __init__(self) -> None:
        self.statements = 0
        self.locks = 0
        self.waited = 0.0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.statements += 1
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            if "FOR NO KEY UPDATE" in sql and "FROM sagas_run" in sql:
                self.locks += 1
                self.waited += time.perf_counter() - began


def two_at_once(jar: str, cohorts: int, size: int) -> tuple[int, int, float]:
    """Deliver the whole undo of cohorts twice at the same time; statements, locks of cohorts, seconds at these."""
    found = [being_undone(jar, size) for _ in range(cohorts)]
    meters = [Meter(), Meter()]
    start = threading.Barrier(2)

    def work(meter: Meter) -> None:
        with connection.execute_wrapper(meter):
            for _, chain in found:
                start.wait(60)
                deliver_all(chain)

    threads = [threading.Thread(target=closing(partial(work, meter))) for meter in meters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    for ids, _ in found:
        assert states(ids) == {State.FAILED: size}
    return sum(m.statements for m in meters), sum(m.locks for m in meters), sum(m.waited for m in meters)


@pytest.mark.slow
def test_the_guard_saves_statements_locks_and_waiting(jar: str, capsys: pytest.CaptureFixture[str]) -> None:
    measured = {}
    for ttl in (0, 5.0):
        with saga_settings(GUARD_TTL=ttl):
            measured[ttl] = two_at_once(jar, 4, 100)
        statements, locks, waited = measured[ttl]
        with capsys.disabled():
            print(f"GUARD_TTL={ttl}: {statements} statements, {locks} locks of cohorts, {waited * 1000:.0f} ms at them")
    assert measured[5.0][0] < measured[0][0]
    assert measured[5.0][1] < measured[0][1] * 0.75
    assert measured[5.0][2] < measured[0][2] / 2
