"""When runs are looked at again: never later than they were due, or not before; and what counts as no progress."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from uuid import UUID

import pytest
from django.db import connection, transaction

import sagas
from sagas import store
from sagas.conf import config
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.engine import compensation
from sagas.models import Run
from sagas.store.runs import Wait
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import chains, claim_all, deliver
from tests.support.runs import due_in

pytestmark = pytest.mark.usefixtures("alone")


def waiting(*, due: float = 100.0, claims: int = 3, **waits: Wait) -> UUID:
    """A run that is due in so many seconds, was claimed so often in vain, and waits so at its steps."""
    run_id = sagas.start(Lab, Experiment())
    pending = json.dumps({step: asdict(wait) for step, wait in waits.items()}) if waits else None
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET due_at = clock_timestamp() + %s * interval '1 second', claims = %s, "
            "pending = %s::jsonb WHERE id = %s",
            [due, claims, pending, run_id],
        )
    return run_id


def with_a_person() -> UUID:
    """A run that is not due at all."""
    run_id = sagas.start(Lab, Experiment())
    with transaction.atomic():
        (row,) = store.runs.lock([run_id])
        why = write_reason(ReasonKind.STUCK, "", "NoProgress", "")
        compensation.escalate(row, store.moves.event_entry("escalate"), why)
    return run_id


def in_seconds(seconds: float) -> float:
    """So many seconds from now, by the database's clock."""
    return store.runs.clock().timestamp() + seconds


def claims(run_id: UUID) -> int:
    return Run.objects.get(pk=run_id).claims


ALL: dict[str, Callable[[UUID], None]] = {
    "cut_leases": lambda run_id: store.runs.cut_leases({run_id: in_seconds(50)}),
    "be_due_in": lambda run_id: store.runs.be_due_in({run_id: 50}),
    "be_due_within": lambda run_id: store.runs.be_due_within({run_id: 50}),
    "wait_until": lambda run_id: store.runs.wait_until({run_id: in_seconds(50)}),
    "wait_for": lambda run_id: store.runs.wait_for([run_id], 50),
    "be_lapsed_in": lambda run_id: store.runs.be_lapsed_in([run_id], 50),
    "make_due": lambda run_id: store.runs.make_due([run_id]),
}


@pytest.mark.parametrize("does", ALL.values(), ids=ALL)
def test_a_run_without_a_due_time_gets_none(does: Callable[[UUID], None]) -> None:
    run_id = with_a_person()
    does(run_id)
    assert Run.objects.get(pk=run_id).due_at is None


@pytest.mark.parametrize(
    ("does", "due", "after"),
    [
        # What only hastens never delays.
        ("cut_leases", 100, 50),
        ("cut_leases", 20, 20),
        ("be_due_within", 100, 50),
        ("be_due_within", 20, 20),
        # What postpones does both.
        ("be_due_in", 100, 50),
        ("be_due_in", 20, 50),
        ("wait_until", 20, 50),
        ("wait_for", 20, 50),
        ("be_lapsed_in", 20, 50),
        ("make_due", 100, 0),
    ],
)
def test_each_change_of_a_wait_sets_the_expected_due_time(does: str, due: float, after: float) -> None:
    run_id = waiting(due=due)
    ALL[does](run_id)
    assert due_in(run_id) == pytest.approx(after, abs=5)


@pytest.mark.parametrize(
    ("does", "after"),
    [
        ("be_due_in", 3),
        ("be_due_within", 3),
        # It waits for something, or one of its branches does: that is no lack of progress.
        ("cut_leases", 0),
        ("wait_until", 0),
        ("wait_for", 0),
        ("make_due", 0),
        # It travels apart from fresh work.
        ("be_lapsed_in", 1),
    ],
)
def test_each_change_of_a_wait_sets_the_expected_number_of_claims(does: str, after: int) -> None:
    run_id = waiting(due=100, claims=3)
    ALL[does](run_id)
    assert claims(run_id) == after


def test_a_lease_that_is_over_before_a_wait_is_counted_as_a_lease() -> None:
    run_id = waiting(due=20, claims=3)
    store.runs.cut_leases({run_id: in_seconds(50)})
    assert claims(run_id) == 3


def test_a_run_is_woken_only_while_it_waits() -> None:
    run_id = waiting(one=Wait(in_seconds(500), operation="forward"))
    store.runs.end_wait(run_id, "two")
    assert (due_in(run_id) > 50, claims(run_id)) == (True, 3)
    store.runs.end_wait(run_id, "one")
    assert (due_in(run_id) <= 0, claims(run_id)) == (True, 0)
    assert (Run.objects.get(pk=run_id).pending or {})["one"]["until"] == 0


@pytest.mark.parametrize("begun", [True, False])
def test_an_answered_operation_is_no_longer_pending(begun: bool) -> None:
    run_id = waiting(one=Wait(in_seconds(500), 2, "forward", begun=not begun), two=Wait(7, 1))
    (row,) = store.runs.read([run_id])
    after = store.runs.note_answer(row, "one", begun=begun)
    assert after.waits == {"one": Wait(0, 2, "", begun=begun), "two": Wait(7, 1)}
    assert Run.objects.get(pk=run_id).pending == {step: asdict(wait) for step, wait in after.waits.items()}


@pytest.mark.parametrize(
    ("wait", "after"),
    [
        (Wait(1_000, 2, "forward", begun=True), Wait(1_000, 2, "forward", begun=True)),
        # It was waited for in vain, or until this very moment.
        (Wait(499, 2, "forward", begun=True), Wait(0, begun=True)),
        (Wait(500, 2, "forward", begun=True), Wait(0, begun=True)),
        (Wait(499, 2, "forward"), None),
        # It waited for its next attempt.
        (Wait(1_000, 2, begun=True), Wait(0, begun=True)),
        (Wait(1_000, 2), None),
    ],
)
def test_a_resumed_run_has_the_expected_waits(wait: Wait, after: Wait | None) -> None:
    run_id = waiting(one=wait)
    (row,) = store.runs.read([run_id])
    store.runs.reset_waits(row, 500)
    assert Run.objects.get(pk=run_id).pending == ({"one": asdict(after)} if after else None)


def lease_left(part: float) -> float:
    """Seconds until a run is due again, of whose lease this part was left when its first step was done."""
    run_id = sagas.start(Lab, Experiment())
    (chain,) = chains(claim_all())
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET due_at = clock_timestamp() + %s * interval '1 second' WHERE id = %s",
            [part * config().lease, run_id],
        )
    deliver(chain)
    return due_in(run_id)


def test_a_lease_is_renewed_after_half_of_it() -> None:
    assert lease_left(0.2) > config().lease / 2
    assert lease_left(0.8) <= config().lease * 0.8
