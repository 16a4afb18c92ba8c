"""A run that kills, by SIGKILL, whatever process performs a step of it: it alone is given up, and the worker lives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction

import sagas
from sagas import State
from sagas.delivery.dispatching import FEW
from sagas.models import Log
from tests.lab.sagas import Experiment, Lab
from tests.support.runs import (
    assert_effects_once,
    assert_jar_adds_up,
    await_state,
    await_states,
    counts,
    escalation,
    new_jar,
    reason,
)
from tests.support.workers import Worker

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.chaos]

WORKER = {"concurrency": 2, "LEASE": 1}
FORWARD = ["one.forward", "two.forward", "three.try", "four.forward"]


def start_together(killer: Experiment, *, neighbours: int, paid: bool = False) -> tuple[UUID, list[UUID]]:
    """Runs that are claimed as one cohort, for they are due at one commit; the killer is in the middle of them.

    Those that are paid have no deadline, which would be quicker than three kills on a slow machine.
    """
    with transaction.atomic():
        ids = sorted(uuid4() for _ in range(neighbours + 1))
        middle = ids.pop(neighbours // 2)
        sagas.start(Lab, killer, run_id=middle)
        for run_id in ids:
            sagas.start(Lab, Experiment(jar=killer.jar), run_id=run_id)
        if paid:
            for run_id in [middle, *ids]:
                sagas.confirm(run_id, "approval", {})
    return middle, ids


def assert_confirmed(ids: Sequence[UUID]) -> None:
    assert await_states(ids, State.SUCCEEDED) == {State.SUCCEEDED: len(ids)}
    for run_id in ids:
        assert_effects_once(run_id)


@pytest.fixture
def jar(own_worker: Worker) -> str:
    return new_jar(PIECES)


#: More than runs take.
PIECES = 4 * FEW


#: A kill takes a second: one of each kind is enough by default.
SLOW = {"one.forward", "two.forward", "four.forward", "two.compensate"}


def operations(*names: str) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in names]


@pytest.mark.parametrize("operation", operations(*FORWARD))
def test_a_step_that_kills_its_workers_is_undone(own_worker: Worker, jar: str, operation: str) -> None:
    # Given a cohort that goes out as a message
    killer, neighbours = start_together(Experiment(jar=jar, kills=(operation,)), neighbours=2 * FEW, paid=True)

    # Then its neighbours are unharmed
    assert_confirmed(neighbours)

    # And it is undone, as after a fault
    await_state(killer, State.FAILED, within=90)
    assert_effects_once(killer)
    step, _, name = operation.partition(".")
    assert (reason(killer)["kind"], reason(killer)["code"]) == ("fault", "WorkerKilled")
    assert Log.objects.filter(run_id=killer, step=step, operation=name, outcome="FAULT").count() == 3

    # And the worker lives
    assert own_worker.process.poll() is None
    assert counts(jar) == (PIECES - len(neighbours), 0, len(neighbours))
    assert_jar_adds_up(jar, PIECES)


@pytest.mark.parametrize("operation", ["one.forward", "three.try"])
def test_a_step_that_kills_the_dispatcher_is_undone(own_worker: Worker, jar: str, operation: str) -> None:
    # Given so few runs that the dispatcher performs their steps itself
    killer, neighbours = start_together(Experiment(jar=jar, kills=(operation,)), neighbours=FEW // 2, paid=True)

    # Then
    assert_confirmed(neighbours)
    await_state(killer, State.FAILED, within=90)
    assert reason(killer)["code"] == "WorkerKilled"
    assert_effects_once(killer)
    assert own_worker.process.poll() is None
    assert_jar_adds_up(jar, PIECES)


@pytest.mark.parametrize("operation", operations("three.confirm", "two.compensate"))
def test_a_confirm_or_an_undo_that_kills_its_workers_escalates(own_worker: Worker, jar: str, operation: str) -> None:
    # Given a cohort that waits, one of it a killer later on
    killer, neighbours = start_together(Experiment(jar=jar, kills=(operation,)), neighbours=2 * FEW)
    everyone = [killer, *neighbours]
    await_states(everyone, State.AWAITING_CONFIRM)

    # When all are decided alike, at once
    fate = State.SUCCEEDED if operation.endswith("confirm") else State.FAILED
    with transaction.atomic():
        for run_id in everyone:
            if fate is State.SUCCEEDED:
                sagas.confirm(run_id, "approval", {})
            else:
                sagas.cancel(run_id)

    # Then
    assert await_states(neighbours, fate) == {fate: len(neighbours)}
    await_state(killer, State.ESCALATED, within=90)
    assert escalation(killer).error["code"] == "WorkerKilled"
    for run_id in neighbours:
        assert_effects_once(run_id)
    assert own_worker.process.poll() is None
    assert_jar_adds_up(jar, PIECES)
