"""A process that claims and performs without a broker: what is left of its claims when it dies."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest

import sagas
from sagas import Retry, runtime, store
from sagas.conf import config
from sagas.definition.participants import Phase
from sagas.delivery import redelivery
from sagas.engine import compressed
from sagas.engine.delivery import delivery_of, sort_by_stand
from sagas.engine.performing import perform
from sagas.local import worker
from sagas.models import Run
from sagas.states import CARRIERS
from tests.lab.sagas import Compressed, Experiment, Lab, Pivoted
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all
from tests.support.runs import effects, make_due, story

pytestmark = pytest.mark.usefixtures("alone")


@contextmanager
def a_process(*queues: str) -> Iterator[worker.Worker]:
    """One that is told nothing by its parent, and has learnt nothing before."""
    runtime.memory.elsewhere.clear()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield worker.Worker(theirs, "one", queues)


def test_a_run_whose_process_ends_behind_its_first_step_comes_back_as_a_lapsed_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a process that ends at the second step
    run_id = sagas.start(Lab, Experiment())
    (chain,) = chains(claim_all())

    def performing(link: Any, ids: Sequence[UUID], **more: Any) -> Any:
        if link.step == "two":
            raise SystemExit(1)
        return perform(link, ids, **more)

    monkeypatch.setattr(redelivery, "perform", performing)

    # When
    with a_process() as process, pytest.raises(SystemExit):
        process._perform(chain)

    # Then the run is taken as one that has perhaps ended a process: alone, and counted
    assert effects(run_id) == ["one.forward"]
    make_due([run_id])
    assert claim_all() == []
    (again,) = chains(claim_all(lapsed=True))
    assert (again.links[0].step, again.interruptions) == ("two", 1)
    assert Run.objects.get(pk=run_id).claims == 2


@pytest.fixture(params=CARRIERS)
def carrier_of_pivoted(request: pytest.FixtureRequest, settings: Any) -> str:
    settings.SAGAS = {**settings.SAGAS, "CARRIERS": {Pivoted.name: request.param}}
    return str(request.param)


def _dying_at(monkeypatch: pytest.MonkeyPatch, *steps: str) -> list[str]:
    """Have every process end that performs one of these steps; return those of the deaths before the first fault."""
    ended: list[str] = []

    def performing(link: Any, ids: Sequence[UUID], **more: Any) -> Any:
        here, _ = sort_by_stand(delivery_of(link, ""), store.runs.read(ids))
        if here and link.step in steps:
            if not any("FAULT" in line for line in story(here[0].id)):
                ended.append(link.step)
            raise SystemExit(1)
        return perform(link, ids, **more)

    monkeypatch.setattr(redelivery, "perform", performing)
    return ended


def _take_up(run_id: UUID, *queues: str, until: Callable[[], bool], most: int) -> None:
    """Have one process after the other take the run up."""
    for _ in range(most):
        make_due([run_id])
        with a_process(*queues) as process, suppress(SystemExit):
            process._take_up_lapsed()
            while process._round():
                pass
        if until():
            return


def _at_its_fork(jar: str) -> UUID:
    run_id = sagas.start(Pivoted, Experiment(jar=jar))
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id], until=lambda: "two.forward" in effects(run_id))
    return run_id


@pytest.mark.usefixtures("carrier_of_pivoted")
def test_a_branch_is_not_given_up_for_what_another_branch_has_done(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run at its fork, of which the first branch ends every process
    run_id = _at_its_fork(jar)
    _dying_at(monkeypatch, "left")

    # When one process after the other takes it up
    _take_up(run_id, until=lambda: "left.forward FAULT" in story(run_id), most=3 * config().deliveries)

    # Then that branch is given up, and the other is performed
    assert [line for line in story(run_id) if line.startswith(("left", "right"))] == [
        "left.forward FAULT",
        "right.forward DONE",
    ]


@pytest.mark.usefixtures("carrier_of_pivoted")
def test_the_deaths_of_a_branch_are_counted_by_processes_that_do_not_serve_the_branch_before_it(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run at its fork, the second branch of which ends every process that serves its queue alone
    run_id = _at_its_fork(jar)
    ended = _dying_at(monkeypatch, "right")

    # When one process after the other takes it up
    _take_up(run_id, "orders", until=lambda: "right.forward FAULT" in story(run_id), most=2 * config().deliveries)

    # Then it is given up, after no more deaths than any other operation
    assert story(run_id)[-1] == "right.forward FAULT"
    assert len(ended) == config().deliveries


@pytest.mark.usefixtures("carrier_of_pivoted")
def test_the_deaths_of_a_branch_that_is_done_in_the_end_are_not_counted_for_the_branch_behind_it(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run at its fork, of which the first branch has ended all processes but one that are allowed
    run_id = _at_its_fork(jar)
    with monkeypatch.context() as patched:
        ended = _dying_at(patched, "left")
        _take_up(run_id, until=lambda: len(ended) == config().deliveries - 1, most=config().deliveries)
    assert ended == ["left"] * (config().deliveries - 1)

    # When it is done at last, and the second branch ends every process
    ended = _dying_at(monkeypatch, "right")
    _take_up(run_id, until=lambda: "right.forward FAULT" in story(run_id), most=2 * config().deliveries)

    # Then the second one is given up for its own deaths
    assert [line for line in story(run_id) if line.startswith(("left", "right"))] == [
        "left.forward DONE",
        "right.forward FAULT",
    ]
    assert len(ended) == config().deliveries


@pytest.mark.usefixtures("carrier_of_pivoted")
def test_a_branch_has_as_many_sessions_to_lose_though_another_branch_has_ended_processes(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run at its fork, of which the first branch is given up for the processes that it ended
    run_id = _at_its_fork(jar)
    seen: list[int] = []

    def performing(link: Any, ids: Sequence[UUID], **more: Any) -> Any:
        if link.step == "left":
            raise SystemExit(1)
        seen.append(more["interruptions"])
        return perform(link, ids, **more)

    # When
    monkeypatch.setattr(redelivery, "perform", performing)
    _take_up(run_id, until=lambda: "left.forward FAULT" in story(run_id), most=3 * config().deliveries)

    # Then nothing of that is counted when the other branch is performed
    assert "left.forward FAULT" in story(run_id)
    assert seen[:1] == [0]


def test_the_first_step_of_a_compressed_saga_is_not_given_up_for_a_process_that_died_at_a_later_one(
    jar: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    # Given that one death is enough, and a step that ends every process, at first within the transaction of all steps
    settings.SAGAS = {**settings.SAGAS, "DELIVERIES": 1}
    run_id = sagas.start(Compressed, Experiment(jar=jar))
    monkeypatch.setattr(compressed, "perform_compressed", Mock(side_effect=SystemExit))
    ended = _dying_at(monkeypatch, "three")

    # When
    _take_up(run_id, until=lambda: any("FAULT" in line for line in story(run_id)), most=12)

    # Then that step is given up
    assert story(run_id) == ["start", "one.forward DONE", "two.forward DONE", "three.try FAULT"]
    assert set(ended) == {"three"}


def _waits(run_id: UUID, **branches: float) -> None:
    """Have branches wait for another attempt, each for so many seconds, and the run be due at the first of them."""
    now = time.time()
    waits = {step: {"until": now + seconds, "failed": 1} for step, seconds in branches.items()}
    due = datetime.fromtimestamp(now + min(branches.values()), UTC)
    Run.objects.filter(pk=run_id).update(pending=waits, due_at=due, claims=0)


def _waits_no_longer(run_id: UUID) -> None:
    """Let the time pass for which its branches wait; who is not due then is not claimed as what has waited."""
    pending = Run.objects.get(pk=run_id).pending or {}
    over = {step: wait | {"until": time.time() - 1.0} for step, wait in pending.items()}
    Run.objects.filter(pk=run_id).update(pending=over)


def test_a_process_performs_a_branch_of_its_own_after_it_saw_one_of_others_while_its_own_one_waited(jar: str) -> None:
    # Given a process that has found a run due at a branch of another queue, while its own branch waited
    run_id = _at_its_fork(jar)
    _waits(run_id, left=60.0, right=-1.0)
    with a_process("delivery") as process:
        while process._round():
            pass
        assert "left.forward DONE" not in story(run_id)

        # When its own branch has waited long enough, and the other one waits
        _waits(run_id, left=-1.0, right=60.0)
        eventually(lambda: process._round() and "left.forward DONE" in story(run_id), what="the branch done")


@pytest.mark.usefixtures("carrier_of_pivoted")
def test_a_retry_is_performed_as_such_when_another_branch_is_done_meanwhile(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a process that has performed one branch while another waited for its retry
    run_id = _at_its_fork(jar)
    _waits(run_id, left=5.0, right=-1.0)
    with a_process() as process:
        while process._round():
            pass
    assert story(run_id)[-1] == "right.forward DONE"

    # When the wait is over, and the branch ends every process
    ended = _dying_at(monkeypatch, "left")
    _waits_no_longer(run_id)
    _take_up(run_id, until=lambda: "left.forward FAULT" in story(run_id), most=2 * config().deliveries)

    # Then it was given up after as many deaths as any other operation
    assert len(ended) == config().deliveries


def test_a_branch_that_breaks_leaves_the_branches_of_other_queues_to_their_processes(jar: str) -> None:
    # Given a run at its fork, and a process that serves one branch, which breaks and waits longer than a lease
    run_id = _at_its_fork(jar)
    request = Run.objects.get(pk=run_id).request
    Run.objects.filter(pk=run_id).update(request={**request, "faults": {"left.forward": 1}})
    action = Pivoted.definition.all_steps[Pivoted.definition.index("left")].actions
    make_due([run_id])
    with a_process("delivery") as left, pytest.MonkeyPatch.context() as patched:
        patient = Retry(delay=timedelta(minutes=1), jitter=0)
        patched.setitem(action, Phase.FORWARD, replace(action[Phase.FORWARD], retry=patient))
        assert left._round()
    assert story(run_id)[-1] == "left.forward FAULT"

    # Then the other branch goes on at once
    with a_process("orders") as right:
        assert right._round()
    assert story(run_id)[-1] == "right.forward DONE"


def test_a_branch_of_another_queue_need_not_wait_for_the_lease(jar: str) -> None:
    # Given a run at its fork, and a process of each branch
    run_id = _at_its_fork(jar)
    make_due([run_id])
    with a_process("delivery") as left:
        assert left._round()
    assert story(run_id)[-1] == "left.forward DONE"

    # Then the second one goes on at once, and nothing counts as a death
    assert Run.objects.get(pk=run_id).claims == 0
    with a_process("orders") as right:
        assert right._round()
    assert story(run_id)[-2:] == ["left.forward DONE", "right.forward DONE"]


@pytest.mark.usefixtures("carrier_of_pivoted")
def test_a_branch_that_only_waited_is_not_given_up_for_what_another_branch_has_done_meanwhile(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run whose first branch waits for another attempt, while the second one ends all processes that are allowed
    run_id = _at_its_fork(jar)
    _waits(run_id, left=60.0)
    ended = _dying_at(monkeypatch, "right")
    _take_up(run_id, until=lambda: len(ended) == config().deliveries, most=config().deliveries)
    assert Run.objects.get(pk=run_id).claims == config().deliveries

    # When the first branch has waited long enough
    Run.objects.filter(pk=run_id).update(pending={"left": {"until": time.time() - 1.0, "failed": 1}})
    _take_up(run_id, until=lambda: any("FAULT" in line for line in story(run_id)), most=2)

    # Then the second one is given up, and the first one performed
    told = [line for line in story(run_id) if line.startswith(("left", "right"))]
    assert told == ["right.forward FAULT", "left.forward DONE"]


def test_a_fork_is_claimed_by_all_branches_after_another_was_of_which_one_branch_waited(jar: str) -> None:
    # Given a process that has claimed a run at its fork, one branch of which waited
    waiting = _at_its_fork(jar)
    runtime.memory.elsewhere.clear()
    _waits(waiting, left=60.0, right=-1.0)
    assert [chain.links[0].step for chain in chains(claim_all())] == ["right"]

    # When it claims another one, of which none waits
    run_id = _at_its_fork(jar)
    make_due([run_id])
    claimed = chains(claim_all())

    # Then both branches of that one go on
    assert [(chain.links[0].step, chain.ids) for chain in claimed] == [("left", (run_id,)), ("right", (run_id,))]
