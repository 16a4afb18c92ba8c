"""Callers that wait for a run, in a thread or in a coroutine, learn where it has ended."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, connection, connections, transaction
from django.db.transaction import TransactionManagementError

import sagas
from sagas import RunNotFound, State, store
from sagas.errors import InvalidArgument, RunExists
from tests.lab.sagas import Experiment, Lab
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")

Wait = Callable[..., State]


def in_a_coroutine(run_id: UUID, timeout: float, *, until: Collection[State] = ()) -> State:
    return asyncio.run(sagas.await_run(run_id, timeout, until=until))


@pytest.fixture(params=[sagas.wait, in_a_coroutine], ids=["wait", "await_run"])
def wait(request: pytest.FixtureRequest) -> Wait:
    function: Wait = request.param
    return function


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[UUID]]:
    """The questions that were asked: of which runs each."""
    found: list[list[UUID]] = []
    find = store.runs.find_states

    def counted(ids: Collection[UUID]) -> dict[UUID, State]:
        found.append(list(ids))
        return find(ids)

    monkeypatch.setattr(store.runs, "find_states", counted)
    return found


@contextmanager
def meanwhile(do: Callable[[], object], asked: list[list[UUID]]) -> Iterator[None]:
    """Do something in another thread, once somebody has asked at least twice."""

    def work() -> None:
        try:
            eventually(lambda: len(asked) >= 2, what="somebody waits")
            do()
        finally:
            connections.close_all()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_it_returns_when_the_run_has_ended(wait: Wait, asked: list[list[UUID]]) -> None:
    run_id = Lab.start(Experiment())
    carrier = Carrier()

    def end() -> None:
        carrier.run([run_id])
        sagas.confirm(run_id, "approval")
        carrier.run([run_id])

    with meanwhile(end, asked):
        assert wait(run_id, 60) is State.SUCCEEDED


def test_it_returns_when_the_run_is_undone_or_needs_a_person(wait: Wait, asked: list[list[UUID]]) -> None:
    undone = Lab.start(Experiment(reject=("two",)))
    with meanwhile(lambda: Carrier().run([undone]), asked):
        assert wait(undone, 60) is State.FAILED
    stuck = Lab.start(Experiment(reject=("four",), faults={"one.compensate": 99}))
    with meanwhile(lambda: Carrier().run([stuck]), asked):
        assert wait(stuck, 60) is State.ESCALATED


def test_a_run_that_has_ended_is_waited_for_no_time(wait: Wait, asked: list[list[UUID]]) -> None:
    run_id = Lab.start(Experiment(reject=("one",)))
    Carrier().run([run_id])
    assert wait(run_id, 0) is State.FAILED
    assert len(asked) == 1


def test_it_returns_in_a_state_that_was_asked_for(wait: Wait, asked: list[list[UUID]]) -> None:
    run_id = Lab.start(Experiment())
    with meanwhile(lambda: Carrier().run([run_id]), asked):
        assert wait(run_id, 60, until=[State.AWAITING_CONFIRM]) is State.AWAITING_CONFIRM
    assert wait(run_id, 60, until=["AWAITING_CONFIRM"]) is State.AWAITING_CONFIRM


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_it_gives_up_in_time_and_the_run_goes_on(wait: Wait, timeout: float) -> None:
    run_id = Lab.start(Experiment())
    with pytest.raises(TimeoutError, match=f"run {run_id} is PENDING after {timeout:g} s"):
        wait(run_id, timeout)
    assert state(run_id) is State.PENDING


def test_it_may_wait_for_ever(wait: Wait, asked: list[list[UUID]]) -> None:
    run_id = Lab.start(Experiment(reject=("one",)))
    with meanwhile(lambda: Carrier().run([run_id]), asked):
        assert wait(run_id, math.inf) is State.FAILED


def test_a_run_that_does_not_exist_is_not_waited_for(wait: Wait) -> None:
    for unknown in (uuid4(), "no id"):
        with pytest.raises(RunNotFound):
            wait(unknown, 60)


@pytest.mark.parametrize("timeout", [-1, math.nan, "5", None, True])
def test_a_timeout_that_is_no_time_is_refused(wait: Wait, timeout: Any) -> None:
    with pytest.raises(InvalidArgument, match="a time-out is a number of seconds"):
        wait(uuid4(), timeout)


@pytest.mark.parametrize("until", [["DONE"], 5, [["PENDING"]]])
def test_states_that_are_none_are_refused(wait: Wait, until: Any) -> None:
    with pytest.raises(InvalidArgument, match="until= has states"):
        wait(uuid4(), 1, until=until)


def test_nobody_waits_inside_a_transaction() -> None:
    with transaction.atomic():
        run_id = Lab.start(Experiment())
        with pytest.raises(TransactionManagementError, match="begins at its commit"):
            sagas.wait(run_id, 60)


# -- coroutines ------------------------------------------------------------------------------------------------


def test_many_coroutines_have_one_question_and_one_connection(asked: list[list[UUID]]) -> None:
    ids = [Lab.start(Experiment(reject=("one",))) for _ in range(50)]

    async def all_of_them() -> list[State]:
        return await asyncio.gather(*(sagas.await_run(run_id, 60) for run_id in ids))

    with meanwhile(lambda: Carrier().run(ids), asked):
        assert asyncio.run(all_of_them()) == [State.FAILED] * len(ids)
    # Then the first question was of all of them
    assert set(asked[0]) == set(ids)


def test_when_nobody_waits_no_connection_is_held(asked: list[list[UUID]]) -> None:
    run_id = Lab.start(Experiment(reject=("one",)))
    Carrier().run([run_id])

    async def twice() -> None:
        for _ in range(2):
            assert await sagas.await_run(run_id, 60) is State.FAILED
            # The event loop goes on, and closes it
            await asyncio.to_thread(eventually, lambda: not asking_sessions())

    asyncio.run(twice())


def asking_sessions(do: str = "pid") -> list[Any]:
    """What PostgreSQL says of the sessions that last asked how runs are."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {do} FROM pg_stat_activity WHERE datname = current_database() "  # noqa: S608 - this file's own
                "AND query LIKE 'SELECT id, state FROM sagas_run%'"
            )
            return [found for (found,) in cursor.fetchall()]
    finally:
        connections.close_all()


def test_a_coroutine_that_is_cancelled_disturbs_no_other(asked: list[list[UUID]]) -> None:
    one, other = (Lab.start(Experiment(reject=("one",))) for _ in range(2))

    async def cancel_one() -> State:
        waiting = asyncio.create_task(sagas.await_run(one, 60))
        last = asyncio.create_task(sagas.await_run(other, 60))
        while not asked:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await last

    with meanwhile(lambda: Carrier().run([one, other]), asked):
        assert asyncio.run(cancel_one()) is State.FAILED


def test_a_database_that_fails_is_told_to_those_who_wait_and_asked_anew_by_the_next(asked: list[list[UUID]]) -> None:
    run_id = Lab.start(Experiment())

    async def lose_the_session() -> State:
        waiting = asyncio.create_task(sagas.await_run(run_id, 60))
        while not asked:
            await asyncio.sleep(0)
        await asyncio.to_thread(eventually, lambda: asking_sessions("pg_terminate_backend(pid, 5000)"))
        with pytest.raises(OperationalError):
            await waiting
        return await sagas.await_run(run_id, 60, until=[State.PENDING])

    assert asyncio.run(lose_the_session()) is State.PENDING


def test_a_run_is_started_confirmed_and_cancelled_by_coroutines() -> None:
    async def live() -> tuple[UUID, UUID]:
        one = await sagas.astart(Lab, Experiment(), business_key="k", unique="reject")
        with pytest.raises(RunExists):
            await Lab.astart(Experiment(), business_key="k", unique="reject")
        other = await Lab.astart(Experiment())
        await sagas.aconfirm(one, "approval")
        assert await sagas.acancel(other, reason="changed my mind") is State.COMPENSATING
        third = await Lab.astart(Experiment())
        assert await sagas.adecline(third, "approval") is State.COMPENSATING
        # In the thread in which all of that was called
        await sync_to_async(connections.close_all)()
        return one, other

    ids = asyncio.run(live())
    Carrier().run(ids)
    assert [state(run_id) for run_id in ids] == [State.SUCCEEDED, State.FAILED]
    assert sagas.astart.__name__ == "astart"


def test_the_synchronous_start_is_refused_in_a_coroutine() -> None:
    async def start() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            sagas.start(Lab, Experiment())

    asyncio.run(start())
