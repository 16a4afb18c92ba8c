"""A task that finds its connection closed: by a hook that broke it, or by a server that has hung up."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.db import connection

import sagas
from sagas import State, tasks
from tests.lab.sagas import Experiment, Lab
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, claim_all
from tests.support.runs import shift_clock, state, story

pytestmark = pytest.mark.usefixtures("alone")


def hang_up() -> None:
    """The connection is closed, and Django does not know."""
    connection.ensure_connection()
    connection.connection.close()


@pytest.fixture
def run_id() -> Iterator[UUID]:
    """A run that waits for its approval; its deadline is over."""
    run_id = sagas.start(Lab, Experiment())
    Carrier().run([run_id])
    shift_clock([run_id], 40)
    yield run_id
    connection.close()


def test_a_dispatch_without_the_database_is_left_to_the_next(run_id: UUID) -> None:
    hang_up()
    tasks.dispatch_task.apply(kwargs={"tick": True}, throw=True)
    assert state(run_id) is State.AWAITING_CONFIRM
    tasks.dispatch_task.apply(kwargs={"tick": True}, throw=True)
    assert state(run_id) is State.COMPENSATING


def test_a_deadline_without_the_database_is_left_to_the_tick(run_id: UUID) -> None:
    which = {"saga": Lab.name, "version": 1, "confirmation": "approval", "ids": [str(run_id)]}
    hang_up()
    tasks.cancel.apply(kwargs=which, throw=True)
    assert state(run_id) is State.AWAITING_CONFIRM
    tasks.cancel.apply(kwargs=which, throw=True)
    assert state(run_id) is State.COMPENSATING


def test_a_notice_without_the_database_is_due_again(run_id: UUID) -> None:
    hang_up()
    tasks.notify.apply(kwargs={"escalations": [[1, 1]], "notice": {"saga": Lab.name}}, throw=True)
    assert connection.connection is None


def test_a_step_without_the_database_is_redelivered(run_id: UUID) -> None:
    sagas.cancel(run_id)
    claim_all()
    before = story(run_id)
    which = {"saga": Lab.name, "version": 1, "step": "four", "phase": "undo"}
    hang_up()
    tasks.step.apply(([str(run_id)],), which, throw=True)
    assert story(run_id) == before
    eventually(lambda: broker.length("delivery") == 1, what="the same delivery")
