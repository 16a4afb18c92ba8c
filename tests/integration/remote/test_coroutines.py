"""Steps in another system that coroutines call: in an event loop, on a real Node.js process and real workers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psutil
import pytest

import sagas
from sagas import Accepted, Call, Done, State, Step
from sagas.definition.participants import NotYet
from sagas.errors import DefinitionError
from sagas.models import Log, Run
from sagas.remote import AsyncParticipant
from tests.integration.conftest import Start
from tests.lab.sagas import Awaited, Experiment, Rewarded, mark
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier
from tests.support.points import Points, needs_node
from tests.support.runs import await_state, await_states, effects, let_time_pass, make_due, reason, state, story

pytestmark = [pytest.mark.usefixtures("alone"), needs_node]


@pytest.fixture
def points(node: Points, monkeypatch: pytest.MonkeyPatch) -> Iterator[Points]:
    monkeypatch.setenv("LAB_POINTS_URL", node.url)
    yield node
    node.recover()


def start(account: str, quantity: int = 10, **what: Any) -> UUID:
    return sagas.start(Awaited, Experiment(jar=account, quantity=quantity, **what))


def carried(*ids: UUID) -> None:
    Carrier().run(ids)


def test_a_step_is_done_by_a_coroutine(points: Points, account: str) -> None:
    run_id = start(account)
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert story(run_id) == [
        "start",
        "one.forward DONE",
        "debit.forward INTENT",
        "debit.forward DONE",
        "four.forward DONE",
    ]
    assert Run.objects.get(pk=run_id).results["debit"] == {"left": 90}
    assert points.account(account) == (90, 0)


def test_an_exception_that_the_step_rejects_is_a_rejection(points: Points, account: str) -> None:
    run_id = start(account, 101)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert (reason(run_id)["kind"], reason(run_id)["code"]) == ("rejected", "NotEnoughPoints")
    assert reason(run_id)["detail"] == "101 wanted, 100 left"
    assert points.account(account) == (100, 0)


def test_what_was_done_is_undone(points: Points, account: str) -> None:
    run_id = start(account, reject=("four",))
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "debit.forward", "debit.compensate", "one.compensate"]
    assert points.account(account) == (100, 0)


def test_an_answer_that_is_lost_is_queried(points: Points, account: str) -> None:
    points.fail(on="POST /debits", do="status", status=503, stage="after")
    run_id = start(account)
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert story(run_id).count("debit.forward FAULT") == 0
    assert points.account(account) == (90, 0)


@pytest.mark.parametrize("stage", ["before", "after"])
def test_an_attempt_that_fails_is_repeated_with_its_key(points: Points, account: str, stage: str) -> None:
    # Given an answer that does not come, nor one to the query
    points.fail(on="POST /debits", do="cut", stage=stage)
    points.fail(on="GET /operations", do="cut", times=2, stage="before")
    run_id = start(account)
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert points.account(account) == (90, 0)


def test_a_system_that_is_away_costs_attempts_then_the_run_is_undone(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_POINTS_URL", "http://127.0.0.1:9")
    run_id = start(account)
    Carrier().run([run_id], until=lambda: "debit.forward FAULT" in story(run_id))
    assert "NotSent" in str(Log.objects.filter(run_id=run_id, outcome="FAULT").values_list("data")[0])


def test_not_yet_is_asked_again_and_costs_no_attempt(points: Points, account: str) -> None:
    points.fail(on="POST /debits", do="status", status=425, times=2)
    run_id = start(account)
    # As often as it says so, and its time has passed
    for _ in range(3):
        carried(run_id)
        make_due([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert story(run_id).count("not_yet") == 2
    assert story(run_id).count("debit.forward FAULT") == 0


# -- the participant alone -------------------------------------------------------------------------------------


def call_of(**what: Any) -> Call[Any]:
    return Call(UUID(int=7), "pay", sagas.Operation.FORWARD, 1, Experiment(**what), {}, "trace")


def ask(function: Any, *, repeated: bool = False, query: Any = None, **arguments: Any) -> Any:
    operation = AsyncParticipant("someone", **arguments).operation(function)
    if query is not None:
        operation.query(query)
    return operation.call(call_of(), repeated=repeated)


async def nothing(call: Call[Any]) -> None:
    """What returns nothing."""


def test_what_a_coroutine_returns_is_the_result() -> None:
    async def answer(call: Call[Any]) -> dict[str, str]:
        return {"key": call.key}

    async def later(_call: Call[Any]) -> NotYet:
        return NotYet(3)

    assert ask(answer) == Done({"key": call_of().key})
    assert ask(nothing) == Done(None)
    assert ask(later) == NotYet(3)


def test_accepted_is_for_local_participants() -> None:
    async def accept(_call: Call[Any]) -> Accepted:
        return Accepted(timedelta(seconds=1))

    with pytest.raises(TypeError, match=r"returned Accepted.*return NotYet"):
        ask(accept)


def test_a_coroutine_that_takes_too_long_is_cancelled() -> None:
    cancelled: list[bool] = []

    async def hang(_call: Call[Any]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TimeoutError):
        ask(hang, timeout=0.05)
    assert cancelled == [True]


def test_a_repeated_call_is_queried_first() -> None:
    async def never(_call: Call[Any]) -> None:
        pytest.fail("it was done already")

    async def found(_call: Call[Any]) -> Done:
        return Done("as it was")

    async def unknown(_call: Call[Any]) -> None:
        return None

    async def broken(_call: Call[Any]) -> None:
        raise OSError

    assert ask(never, query=found, repeated=True) == Done("as it was")
    assert ask(nothing, query=unknown, repeated=True) == Done(None)
    # And a query that breaks tells nothing
    with pytest.raises(ZeroDivisionError):
        ask(divide, query=broken)


async def divide(_call: Call[Any]) -> float:
    return 1 / 0


def test_the_lease_is_longer_than_all_that_may_be_awaited() -> None:
    operation = AsyncParticipant("someone", timeout=10).operation(nothing)
    assert operation.lease > 10
    operation.query(nothing)
    assert operation.lease > 30


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"patience": -1}, "patience=-1"),
        ({"concurrency": 0}, "concurrency is at least 1"),
    ],
)
def test_what_cannot_be_a_participant_is_refused(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        AsyncParticipant(**{"name": "someone", **arguments})


def test_an_ordinary_function_is_no_operation() -> None:
    with pytest.raises(DefinitionError, match="no coroutine function; write it with async def"):
        AsyncParticipant("someone").operation(mark)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(DefinitionError, match="no coroutine function"):
        AsyncParticipant("someone").operation(nothing).query(mark)  # type: ignore[arg-type]  # what is tested


def test_a_coroutine_that_is_no_operation_is_refused_and_the_cure_named() -> None:
    with pytest.raises(DefinitionError, match=r"nothing is async; .*transaction of a worker.*AsyncParticipant"):
        Step(nothing, queue="orders")


def test_a_pivot_cannot_be_a_coroutine() -> None:
    with pytest.raises(DefinitionError, match="its answer may be lost"):
        Step(AsyncParticipant("someone").operation(nothing), queue="orders", pivot=True)


# -- on real workers -------------------------------------------------------------------------------------------


def with_points(points: Points, **more: str) -> dict[str, str]:
    return {"LAB_POINTS_URL": points.url, **more}


@pytest.mark.chaos
def test_many_calls_wait_in_one_thread_and_hold_up_no_other_participant(
    points: Points, account: str, start_worker: Start
) -> None:
    # Given a system that holds all callers
    points.fail(on="POST /debits", do="hold", times=50)
    worker = start_worker(environment=with_points(points, LAB_POINTS_TIMEOUT="60"))
    ids = [start(account, 1) for _ in range(50)]
    # Then fifty calls are under way at a time, and have no threads of their own
    eventually(lambda: points.holding() == 50, what="all of them are asked")
    (child,) = psutil.Process(worker.process.pid).children()
    assert child.num_threads() < 25
    # And no other run waits for them
    other = sagas.start(Rewarded, Experiment(jar="nobody", quantity=1))
    await_state(other, State.FAILED)
    # When they are answered
    points.recover()
    await_states(ids, State.SUCCEEDED)
    assert points.account(account) == (50, 0)


@pytest.mark.chaos
def test_a_worker_is_killed_while_a_coroutine_waits(points: Points, account: str, start_worker: Start) -> None:
    # Given a call that is executed and not answered, when its whole worker is killed
    points.fail(on="POST /debits", do="hold")
    worker = start_worker(environment=with_points(points, LAB_POINTS_TIMEOUT="60"))
    run_id = start(account)
    eventually(lambda: points.holding() == 1, what="it is asked")
    worker.kill()
    points.recover()
    # When the lease is over
    start_worker(environment=with_points(points))
    let_time_pass(run_id)
    # Then it is done once
    await_state(run_id, State.SUCCEEDED)
    assert points.account(account) == (90, 0)


@pytest.mark.chaos
def test_a_worker_that_is_told_to_stop_waits_for_its_coroutines(
    points: Points, account: str, start_worker: Start
) -> None:
    points.fail(on="POST /debits", do="hold")
    worker = start_worker(environment=with_points(points, LAB_POINTS_TIMEOUT="60"))
    run_id = start(account)
    eventually(lambda: points.holding() == 1, what="it is asked")
    # When it is told to stop, and the answer comes behind that
    worker.process.send_signal(signal.SIGTERM)
    eventually(lambda: "Warm shutdown" in worker.text() or "stopping" in worker.text(), what="it stops")
    points.recover()
    worker.process.wait(30)
    assert "debit.forward DONE" in story(run_id)
