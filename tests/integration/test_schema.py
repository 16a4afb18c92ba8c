"""What the database itself refuses, by whatever hand."""

from __future__ import annotations

from itertools import product
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

import sagas
from sagas import confirmation_store, escalation_store, move_store, store
from sagas.errors import IllegalTransition
from sagas.models import Log, Run
from sagas.plan import Due, Move, Place
from sagas.states import LIVE, TRANSITIONS, State
from sagas.turns import event
from tests.lab.sagas import Experiment, Lab
from tests.support.runs import state, story

# Rolled back after each test, so that no worker ever sees these runs.
pytestmark = pytest.mark.django_db


def insert(state: State) -> UUID:
    run_id = sagas.start(Lab, Experiment())
    with connection.cursor() as cursor:
        # By way of ESCALATED, from which every state can be reached.
        cursor.execute("UPDATE sagas_run SET state = 'ESCALATED', due_at = NULL WHERE id = %s", [run_id])
        if state is not State.ESCALATED:
            cursor.execute(
                "UPDATE sagas_run SET state = %s, due_at = CASE WHEN %s THEN now() END WHERE id = %s",
                [state, state in LIVE, run_id],
            )
    return run_id


@pytest.mark.parametrize(("before", "after"), list(product(State, State)), ids=lambda s: s.value)
def test_the_trigger_knows_the_same_moves_as_the_code(before: State, after: State) -> None:
    # Given
    run_id = insert(before)
    allowed = before is after or after in TRANSITIONS[before]

    # When
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE sagas_run SET state = %s, due_at = CASE WHEN %s THEN now() END WHERE id = %s",
                [after, after in LIVE, run_id],
            )
        accepted = True
    except IntegrityError as error:
        assert f"a run in {before} cannot become {after}" in str(error)
        accepted = False

    # Then
    assert accepted is allowed
    assert state(run_id) is (after if allowed else before)


@pytest.mark.parametrize("live", sorted(LIVE))
def test_a_live_run_without_a_time_to_look_at_it_is_refused(live: State) -> None:
    run_id = insert(live)
    with pytest.raises(IntegrityError, match="sagas_run_live_is_due"):
        Run.objects.filter(pk=run_id).update(due_at=None)


@pytest.mark.parametrize("still", sorted(set(State) - LIVE))
def test_a_run_that_stands_for_good_has_no_time_to_look_at_it(still: State) -> None:
    run_id = insert(still)
    with pytest.raises(IntegrityError, match="sagas_run_live_is_due"):
        Run.objects.filter(pk=run_id).update(due_at="2030-01-01T00:00:00Z")


def test_the_log_is_append_only() -> None:
    # Given
    run_id = sagas.start(Lab, Experiment())

    # When, then
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Log.objects.filter(run_id=run_id).update(operation="nothing")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Log.objects.filter(run_id=run_id).delete()
    assert story(run_id) == ["start"]


def test_an_effect_is_logged_once() -> None:
    run_id = sagas.start(Lab, Experiment())
    with transaction.atomic():
        move_store.log(move_store.Entry(operation="forward", outcome="DONE", step="one"), store.lock([run_id]))
    with pytest.raises(IntegrityError, match="sagas_log_effect_once"), transaction.atomic():
        move_store.log(move_store.Entry(operation="forward", outcome="DONE", step="one"), store.lock([run_id]))


def test_a_confirmation_is_kept_once() -> None:
    run_id = sagas.start(Lab, Experiment())
    confirmation_store.insert_confirmation(run_id, "approval", "{}")
    with pytest.raises(IntegrityError, match="sagas_confirmation_once"):
        confirmation_store.insert_confirmation(run_id, "approval", "{}")


def test_a_run_has_one_open_escalation() -> None:
    run_id = sagas.start(Lab, Experiment())
    (row,) = store.lock([run_id])
    escalation_store.open_escalation(row, step="", operation="", error="{}")
    with pytest.raises(IntegrityError, match="sagas_escalation_one_open"):
        escalation_store.open_escalation(row, step="", operation="", error="{}")


@pytest.mark.parametrize("how", ["move", "advance"])
def test_a_move_of_a_run_that_stands_elsewhere_is_an_error_and_nothing_of_it_stays(how: str) -> None:
    # Given two runs, of which one stands further on
    here, elsewhere = sagas.start(Lab, Experiment()), sagas.start(Lab, Experiment())
    Run.objects.filter(pk=elsewhere).update(cursor=1)
    change = Move(Place(State.PENDING, 0), Place(State.EXECUTING, 0), Due.LEASE)

    # When
    with pytest.raises(IllegalTransition, match="1 of 2 runs did not stand"), transaction.atomic():
        rows = store.lock([here, elsewhere])
        if how == "move":
            move_store.move(change, rows)
        else:
            move_store.advance(change, rows, event("moved"))

    # Then
    assert state(here) is State.PENDING
    assert story(here) == ["start"]
