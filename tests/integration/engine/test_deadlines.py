"""When a confirm deadline is over: to the microsecond, by the message and by the tick."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection

import sagas
from sagas import State, store
from sagas.decisions.messages import Deadline
from sagas.engine import lifecycle
from sagas.engine.claiming import claim
from sagas.models import Run
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import Carrier
from tests.support.runs import event, state

pytestmark = pytest.mark.usefixtures("alone")

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def waiting() -> UUID:
    """A run that waits for its confirmation."""
    run_id = sagas.start(Lab, Experiment())
    Carrier().run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM
    return run_id


def deadline_of(run_id: UUID) -> datetime:
    """By the beginning of the run."""
    started_at, within = Run.objects.get(pk=run_id).started_at, Lab.definition.confirmations[0].within
    assert started_at is not None
    assert within is not None
    return started_at + within


def on_record(run_id: UUID) -> datetime:
    """As the claim wrote it, which read the clock for it once more."""
    found = Run.objects.get(pk=run_id).deadline
    assert found is not None
    return found


@pytest.mark.parametrize("early", [MICROSECOND, timedelta(milliseconds=1), timedelta(seconds=1)])
def test_an_early_deadline_message_is_sent_again_for_the_remaining_time(
    waiting: UUID, monkeypatch: pytest.MonkeyPatch, early: timedelta
) -> None:
    # Given a clock that is just before the deadline
    at = deadline_of(waiting) - early
    monkeypatch.setattr(store.runs, "clock", lambda: at)
    # When the deadline's message comes
    (again,) = lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [waiting], by="message")
    # Then nothing is decided, and another comes when the deadline is over, and not long after
    assert state(waiting) is State.AWAITING_CONFIRM
    assert isinstance(again, Deadline)
    assert early.total_seconds() <= (again.delay or 0) <= early.total_seconds() + 0.2


def test_a_deadline_expires_at_its_exact_time(waiting: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    at = deadline_of(waiting)
    monkeypatch.setattr(store.runs, "clock", lambda: at)
    lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [waiting], by="message")
    assert state(waiting) is State.COMPENSATING
    assert event(waiting, "expire").step == "approval"


@pytest.mark.parametrize(
    ("off", "after"),
    [
        (-timedelta(seconds=1), State.AWAITING_CONFIRM),
        (-MICROSECOND, State.AWAITING_CONFIRM),
        (0 * MICROSECOND, State.COMPENSATING),
    ],
)
def test_the_tick_expires_a_run_at_the_later_of_its_two_times(
    waiting: UUID, monkeypatch: pytest.MonkeyPatch, off: timedelta, after: State
) -> None:
    # Given a run that the tick looks at, however early
    at = max(deadline_of(waiting), on_record(waiting)) + off
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET due_at = clock_timestamp() WHERE id = %s", [waiting])
    monkeypatch.setattr(store.runs, "clock", lambda: at)
    # When
    claim()
    # Then
    assert state(waiting) is after


def test_the_deadline_is_counted_from_the_first_claim(waiting: UUID) -> None:
    run = Run.objects.get(pk=waiting)
    assert run.started_at is not None
    assert run.started_at >= run.created_at
    assert abs(on_record(waiting) - deadline_of(waiting)) < timedelta(seconds=1)
