"""A branch of a fork waits while another is under way: when the run is due, and whose lease is counted then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

import sagas
from sagas import Done, Parallel, Retry, Saga, State, Step, store
from sagas.conf import config
from sagas.db import ErrorKind
from sagas.decisions.messages import Chain
from sagas.definition.participants import Phase
from sagas.engine import cohort, invocation
from sagas.models import Run
from sagas.states import CARRIERS
from tests.lab.sagas import Experiment, accept, mark
from tests.support.carrier import chains, claim_all, deliver
from tests.support.runs import due_in, make_due, state, story

pytestmark = pytest.mark.usefixtures("alone")

LEASE = 10.0
SHORT, LONG = 4.0, 60.0


class Apart(Saga[Experiment]):
    """Its branches break as often as they are told to, and are tried again after a while; one is accepted first."""

    both = Parallel(
        left=Step(mark, compensate=mark, queue="delivery", retry=Retry(delay=timedelta(seconds=SHORT), jitter=0)),
        right=Step(mark, compensate=mark, queue="orders", retry=Retry(delay=timedelta(seconds=LONG), jitter=0)),
        told=Step(accept, compensate=mark, queue="coupons"),
    )


@pytest.fixture(autouse=True, params=CARRIERS)
def _carrier(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.SAGAS = {**settings.SAGAS, "LEASE": LEASE, "CARRIERS": {Apart.name: request.param}}


def at_the_fork(**faults: int) -> tuple[UUID, dict[str, Chain]]:
    """A run that stands at its fork, and the chains of its branches."""
    run_id = sagas.start(Apart, Experiment(faults={f"{step}.forward": count for step, count in faults.items()}))
    return run_id, by_step(claim_all())


def by_step(messages: Any) -> dict[str, Chain]:
    return {chain.links[0].step: chain for chain in chains(messages)}


def claims(run_id: UUID) -> int:
    return Run.objects.get(pk=run_id).claims


def assert_stands(run_id: UUID, counted: int, due: float) -> None:
    """So many claims of it are counted, and it is due in about so many seconds."""
    assert claims(run_id) == counted
    assert due_in(run_id) == pytest.approx(due, abs=1.5)


def let_pass(run_id: UUID, seconds: float) -> None:
    """Let so many seconds pass for a run."""
    run = Run.objects.get(pk=run_id)
    pending = {step: wait | {"until": wait["until"] - seconds} for step, wait in (run.pending or {}).items()} or None
    assert run.due_at is not None
    Run.objects.filter(pk=run_id).update(pending=pending, due_at=run.due_at - timedelta(seconds=seconds))


def counted(messages: Any) -> dict[str, int]:
    """How many lapsed leases are counted for each branch that goes out."""
    return {step: chain.interruptions for step, chain in by_step(messages).items()}


# -- Nobody has the run -----------------------------------------------------------------------------------------


def test_a_retry_is_due_as_such_where_the_other_branches_are_done_meanwhile() -> None:
    # Given a branch that waits for its retry, and another that a claim has sent out since
    run_id, sent = at_the_fork(left=1)
    deliver(sent["told"])
    sagas.report(run_id, "told", Done())
    deliver(sent["left"])
    let_pass(run_id, SHORT - 1.0)
    store.runs.make_due([run_id])
    sent = by_step(claim_all())
    assert set(sent) == {"right"}

    # When that one is done
    deliver(sent["right"])

    # Then the run is due at the retry, and nobody's lease is counted
    assert claims(run_id) == 0
    assert due_in(run_id) <= 1.0
    let_pass(run_id, 1.0)
    assert counted(claim_all()) == {"left": 0}


def test_a_run_all_of_whose_branches_wait_is_not_looked_at_before_the_first_of_them() -> None:
    # Given a branch that waits longer than a lease
    run_id, sent = at_the_fork(right=1)
    deliver(sent["right"])

    # When the others are done, or wait
    deliver(sent["left"])
    assert due_in(run_id) == pytest.approx(LEASE, abs=1.5)
    deliver(sent["told"])

    # Then it is due when the first wait is over, and no claim is counted
    assert_stands(run_id, 0, 20.0)


def test_the_last_branch_that_breaks_is_due_at_its_retry() -> None:
    run_id, sent = at_the_fork(right=1)
    deliver(sent["left"])
    deliver(sent["told"])
    sagas.report(run_id, "told", Done())
    deliver(sent["right"])
    assert_stands(run_id, 0, LONG)


# -- Somebody has it --------------------------------------------------------------------------------------------


def test_the_end_of_a_wait_is_not_counted_as_the_end_of_the_lease_of_another_branch() -> None:
    # Given a branch that waits, and a claim that sends out the others
    run_id, sent = at_the_fork(left=1)
    deliver(sent["left"])
    store.runs.make_due([run_id])
    assert set(by_step(claim_all())) == {"right", "told"}

    # When the wait is over, and nothing was heard of the others yet
    assert due_in(run_id) == pytest.approx(SHORT, abs=1.5)
    let_pass(run_id, SHORT)

    # Then all go out, as what has not lapsed
    assert claim_all(lapsed=True) == []
    assert counted(claim_all()) == {"left": 0, "right": 0, "told": 0}
    # And from now on the lease is counted
    assert_stands(run_id, 1, LEASE)


def test_the_lease_of_a_branch_goes_on_when_another_breaks_and_waits_longer() -> None:
    # Given
    run_id, sent = at_the_fork(right=1)

    # When
    deliver(sent["right"])

    # Then the others are found by their lease, which is counted
    assert_stands(run_id, 1, LEASE)
    make_due([run_id])
    assert claim_all() == []
    assert counted(claim_all(lapsed=True)) == {"left": 1, "told": 1}


def test_a_lease_that_follows_a_lapsed_one_is_not_cut_short_by_a_wait() -> None:
    # Given a branch of which nothing is heard, while another waits a little longer than a lease
    run_id, sent = at_the_fork(right=1)
    deliver(sent["told"])
    deliver(sent["right"])
    let_pass(run_id, LEASE)
    assert counted(claim_all(lapsed=True)) == {"left": 1}
    let_pass(run_id, 2 * LEASE)
    assert counted(claim_all(lapsed=True)) == {"left": 2, "told": 2}

    # When the other has waited in the middle of the third lease
    assert_stands(run_id, 3, 4 * LEASE)
    let_pass(run_id, LONG - 3 * LEASE)

    # Then it goes out when the lease is over
    assert due_in(run_id) == pytest.approx(LEASE, abs=1.5)
    let_pass(run_id, LEASE)
    assert claim_all() == []
    assert set(by_step(claim_all(lapsed=True))) == {"left", "right", "told"}


def test_what_has_waited_meanwhile_goes_out_when_the_branch_is_done_that_was_waited_for() -> None:
    # Given a branch that is there again in its third lease, in the middle of which another has waited
    run_id, sent = at_the_fork(right=1)
    deliver(sent["told"])
    sagas.report(run_id, "told", Done())
    deliver(sent["right"])
    for lease in (LEASE, 2 * LEASE):
        let_pass(run_id, lease)
        sent = by_step(claim_all(lapsed=True))
    let_pass(run_id, LONG - 3 * LEASE)

    # When it is done
    deliver(sent["left"])

    # Then the other is due, and was never late
    assert claims(run_id) == 0
    assert due_in(run_id) <= 0
    assert counted(claim_all()) == {"right": 0}


def test_a_branch_that_is_done_leaves_a_wait_its_time_though_leases_have_lapsed() -> None:
    # Given a branch that is there again in its second lease, in the middle of which another will have waited
    run_id, sent = at_the_fork(right=1)
    deliver(sent["told"])
    deliver(sent["right"])
    let_pass(run_id, LEASE)
    sent = by_step(claim_all(lapsed=True))
    assert_stands(run_id, 2, 2 * LEASE)

    # When it is done
    deliver(sent["left"])

    # Then what is due next is the wait that is over first
    assert_stands(run_id, 0, 20.0 - LEASE)


def test_a_branch_that_is_tried_again_without_a_pause_is_due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    run_id, sent = at_the_fork(left=1)
    actions = Apart.definition.steps[0].actions
    at_once = replace(actions[Phase.FORWARD], retry=Retry(delay=timedelta(0), jitter=0))
    monkeypatch.setitem(actions, Phase.FORWARD, at_once)

    # When
    deliver(sent["left"])

    # Then
    assert (claims(run_id), due_in(run_id) <= 0) == (0, True)
    assert counted(claim_all()) == {"left": 0, "right": 0, "told": 0}


# -- Others that postpone a branch ------------------------------------------------------------------------------


def test_a_report_leaves_the_other_branches_their_lease() -> None:
    run_id, sent = at_the_fork()
    deliver(sent["told"])
    sagas.report(run_id, "told", Done())
    assert_stands(run_id, 1, LEASE)
    deliver(sent["right"])
    deliver(sent["left"])
    assert state(run_id) is State.SUCCEEDED


def test_a_branch_that_the_server_cannot_perform_now_is_postponed_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    run_id, sent = at_the_fork(left=1)

    # When the database cannot do what a branch asks, which is no fault of it
    with monkeypatch.context() as patched:
        patched.setattr(cohort, "classify_error", lambda _: ErrorKind.TROUBLE)
        patched.setattr(cohort, "is_lock_timeout", lambda _: False)
        patched.setattr(invocation, "collect", _raise)
        deliver(sent["left"])

    # Then it waits, the others are under way, and nothing has failed
    (wait,) = (Run.objects.get(pk=run_id).pending or {}).items()
    assert (wait[0], wait[1]["failed"]) == ("left", 0)
    assert_stands(run_id, 0, cohort.PAUSE)
    deliver(sent["right"])
    deliver(sent["told"])
    let_pass(run_id, cohort.PAUSE)
    assert counted(claim_all()) == {"left": 0}
    assert not [line for line in story(run_id) if "FAULT" in line]


def _raise(*_: object, **__: object) -> None:
    msg = "no room"
    raise RuntimeError(msg)


def test_leases_that_are_given_back_while_a_branch_waits_are_due_after_a_tick() -> None:
    # Given a claim that could not be published, of a run of which a branch waits
    run_id, sent = at_the_fork(left=1)
    deliver(sent["left"])
    store.runs.make_due([run_id])
    ids = list(by_step(claim_all())["right"].ids)

    # When
    store.claims.release_leases(ids)

    # Then it is due soon, no claim is counted, and it has begun
    run = Run.objects.get(pk=run_id)
    assert (run.claims, run.started_at is None) == (0, False)
    assert due_in(run_id) <= config().tick
    assert run.pending


@pytest.mark.parametrize("step", ["left", "right"])
def test_a_run_has_begun_of_which_a_branch_is_done_or_has_failed(step: str) -> None:
    # Given a run whose first step is a fork
    run_id, sent = at_the_fork(right=1)
    deliver(sent[step])

    # When the lease is given back: as far as the process knew, nothing was published
    store.claims.release_leases([run_id])

    # Then its time goes on
    assert Run.objects.get(pk=run_id).started_at is not None
