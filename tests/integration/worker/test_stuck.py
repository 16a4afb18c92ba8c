"""Runs that make no progress, and runs of a saga that no worker knows, call a person. On a worker that only claims."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import transaction

import sagas
from sagas import State
from sagas.models import Run
from tests.lab.sagas import Experiment, Lab
from tests.support.runs import assert_jar_adds_up, await_state, counts, effects, escalation, new_jar, story
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("database")

#: Nobody performs a step.
WORKER = {"queues": "sagas.dispatch,sagas.cancel", "LEASE": 0.1, "LEASE_LIMIT": 3, "TICK": 0.2}


@pytest.fixture
def jar(own_worker: Worker) -> str:
    return new_jar(10)


def start_unknown(saga: str = "lab.FromTomorrow", version: int = 1) -> UUID:
    """A run of a saga that this worker does not know, from its first moment."""
    with transaction.atomic():
        run_id = sagas.start(Lab, Experiment())
        Run.objects.filter(pk=run_id).update(saga=saga, version=version)
    return run_id


def test_a_run_without_progress_escalates(own_worker: Worker, jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    await_state(run_id, State.ESCALATED)
    found = escalation(run_id)
    assert (found.error["kind"], found.error["code"]) == ("stuck", "NoProgress")
    assert "claimed 3 times in EXECUTING without progress" in found.error["detail"]
    assert found.state == "EXECUTING"
    assert effects(run_id) == []
    assert counts(jar) == (10, 0, 0)
    assert_jar_adds_up(jar, 10)
    # And nobody takes it up again by himself
    assert Run.objects.get(pk=run_id).due_at is None
    assert own_worker.process.poll() is None


@pytest.mark.parametrize(("saga", "version"), [("lab.FromTomorrow", 1), ("lab.Lab", 99)])
def test_a_run_of_an_unknown_saga_escalates(own_worker: Worker, saga: str, version: int) -> None:
    run_id = start_unknown(saga, version)
    await_state(run_id, State.ESCALATED)
    found = escalation(run_id)
    assert (found.error["kind"], found.state) == ("stuck", "PENDING")
    assert story(run_id) == ["start", "escalate"]
    own_worker.await_text(f"no saga '{saga}' version {version} is known here")
    assert own_worker.process.poll() is None


def test_a_stuck_run_that_is_resumed_gets_as_many_leases_again(own_worker: Worker, jar: str) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment(jar=jar))
    await_state(run_id, State.ESCALATED)

    # When
    assert sagas.resume(run_id, by="ada") is State.EXECUTING

    # Then
    await_state(run_id, State.ESCALATED)
    assert story(run_id) == ["start", "escalate", "resume", "escalate"]
    assert escalation(run_id).error["code"] == "NoProgress"
