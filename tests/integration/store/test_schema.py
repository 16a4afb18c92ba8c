"""What the database itself refuses, by whatever hand."""

from __future__ import annotations

from itertools import product
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

import sagas
from sagas import runtime, store
from sagas.decisions.plan import Due, Move, Place
from sagas.engine.compensation import escalate
from sagas.errors import IllegalTransition
from sagas.models import Confirmation, Escalation, Log, Run
from sagas.states import LIVE, TRANSITIONS, State
from sagas.store.moves import event_entry
from tests.lab.sagas import Experiment, Lab, Twice
from tests.support.runs import state, story

# Rolled back after each test, so that no worker ever sees these runs.
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _definitions_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard asks the record what a saga's confirmations are, and some test may have emptied it."""
    monkeypatch.setattr(runtime.memory, "recorded", set())


def receive(run_id: UUID, name: str) -> None:
    Confirmation.objects.create(run_id=run_id, name=name, data={}, received_at=timezone.now())


def insert(state: State) -> UUID:
    run_id = sagas.start(Lab, Experiment())
    # It may go anywhere, and a person may have it: only the transitions are looked at.
    receive(run_id, "approval")
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
def test_the_trigger_allows_the_same_transitions_as_the_code(before: State, after: State) -> None:
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
    # (What is checked at the COMMIT has a test of its own.)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET state = 'FAILED', due_at = NULL WHERE state = 'ESCALATED'")


@pytest.mark.parametrize("live", sorted(LIVE))
def test_a_live_run_without_a_due_time_is_refused(live: State) -> None:
    run_id = insert(live)
    with pytest.raises(IntegrityError, match="sagas_run_live_is_due"):
        Run.objects.filter(pk=run_id).update(due_at=None)


@pytest.mark.parametrize("still", sorted(set(State) - LIVE))
def test_an_ended_run_has_no_due_time(still: State) -> None:
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
        store.moves.log(store.moves.Entry(operation="forward", outcome="DONE", step="one"), store.runs.lock([run_id]))
    with pytest.raises(IntegrityError, match="sagas_log_effect_once"), transaction.atomic():
        store.moves.log(store.moves.Entry(operation="forward", outcome="DONE", step="one"), store.runs.lock([run_id]))


def test_a_confirmation_is_kept_once() -> None:
    run_id = sagas.start(Lab, Experiment())
    receive(run_id, "approval")
    with pytest.raises(IntegrityError, match="sagas_confirmation_once"):
        receive(run_id, "approval")


def test_a_run_has_one_open_escalation() -> None:
    run_id = sagas.start(Lab, Experiment())
    (row,) = store.runs.lock([run_id])
    store.escalations.open_escalation(row, step="", operation="", error="{}")
    with pytest.raises(IntegrityError, match="sagas_escalation_one_open"):
        store.escalations.open_escalation(row, step="", operation="", error="{}")


@pytest.mark.parametrize("how", ["move", "advance"])
def test_a_move_of_a_run_at_another_step_is_an_error_and_is_rolled_back(how: str) -> None:
    # Given two runs, of which one stands further on
    here, elsewhere = sagas.start(Lab, Experiment()), sagas.start(Lab, Experiment())
    Run.objects.filter(pk=elsewhere).update(state=State.EXECUTING)
    change = Move(Place(State.PENDING, 0), Place(State.EXECUTING, 0), Due.LEASE)

    # When
    with pytest.raises(IllegalTransition, match="1 of 2 runs did not stand"), transaction.atomic():
        rows = store.runs.lock([here, elsewhere])
        if how == "move":
            store.moves.move(change, rows)
        else:
            store.moves.advance(change, rows, event_entry("moved"))

    # Then
    assert state(here) is State.PENDING
    assert story(here) == ["start"]


# -- States that the engine never makes ------------------------------------------------------------------------


def run_at(stands: State, cursor: int, *, saga: type[sagas.Saga[Experiment]] = Lab, fork: int = 0) -> UUID:
    """A run that stands there, by the engine's own moves where they can be told from wrong ones."""
    run_id = sagas.start(saga, Experiment())
    receive(run_id, "approval")
    with connection.cursor() as sql:
        path = {
            State.PENDING: [],
            State.EXECUTING: [State.EXECUTING],
            State.COMPENSATING: [State.EXECUTING, State.COMPENSATING],
            State.FAILED: [State.EXECUTING, State.COMPENSATING, State.FAILED],
            State.AWAITING_CONFIRM: [State.EXECUTING, State.AWAITING_CONFIRM],
            State.CONFIRMING: [State.EXECUTING, State.AWAITING_CONFIRM, State.CONFIRMING],
            State.SUCCEEDED: [State.EXECUTING, State.AWAITING_CONFIRM, State.CONFIRMING, State.SUCCEEDED],
            State.ESCALATED: [State.EXECUTING, State.ESCALATED],
        }[stands]
        for number, after in enumerate(path):
            sql.execute(
                "UPDATE sagas_run SET state = %s, due_at = CASE WHEN %s THEN now() END WHERE id = %s",
                [after, after in LIVE, run_id],
            )
            for _ in range(cursor if number == 0 else 0):
                sql.execute("UPDATE sagas_run SET cursor = cursor + 1 WHERE id = %s", [run_id])
        sql.execute("UPDATE sagas_run SET fork = %s WHERE id = %s", [fork, run_id])
    return run_id


@pytest.mark.parametrize(
    ("stands", "cursor", "fork", "wanted", "allowed"),
    [
        (State.EXECUTING, 2, 0, 1, False),
        (State.EXECUTING, 2, 0, 0, False),
        (State.EXECUTING, 1, 0, 2, True),
        (State.EXECUTING, 1, 0, 3, False),
        # The last of three branches is done; not all of them at once.
        (State.EXECUTING, 1, 0b110, 4, True),
        (State.EXECUTING, 1, 0b110, 5, False),
        (State.EXECUTING, 1, 0b110, 2, False),
        (State.PENDING, 0, 0, 1, False),
        (State.AWAITING_CONFIRM, 4, 0, 3, False),
        (State.AWAITING_CONFIRM, 4, 0, 5, False),
        (State.CONFIRMING, 2, 0, 1, False),
        (State.CONFIRMING, 2, 0, 4, True),
        (State.COMPENSATING, 3, 0, 1, True),
        (State.COMPENSATING, 3, 0, 4, False),
        (State.ESCALATED, 2, 0, 1, False),
        (State.ESCALATED, 2, 0, 3, False),
        (State.SUCCEEDED, 2, 0, 1, False),
        (State.FAILED, 2, 0, 3, False),
    ],
)
def test_the_cursor_moves_in_the_direction_of_its_state(
    stands: State, cursor: int, fork: int, wanted: int, allowed: bool
) -> None:
    run_id = run_at(stands, cursor, fork=fork)
    try:
        with transaction.atomic():
            Run.objects.filter(pk=run_id).update(cursor=wanted)
        accepted = True
    except IntegrityError as error:
        assert f"cannot go from {cursor} to {wanted}" in str(error)
        accepted = False
    assert accepted is allowed
    agree(run_id)


@pytest.mark.parametrize("before", [State.PENDING, State.EXECUTING, State.AWAITING_CONFIRM])
def test_a_compensating_run_undoes_no_more_steps_than_it_has_done(before: State) -> None:
    run_id = run_at(before, 0 if before is State.PENDING else 2)
    with pytest.raises(IntegrityError, match="the cursor of a run"):
        Run.objects.filter(pk=run_id).update(state=State.COMPENSATING, cursor=3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (State.EXECUTING, State.CONFIRMING),
        (State.EXECUTING, State.SUCCEEDED),
        (State.AWAITING_CONFIRM, State.CONFIRMING),
        (State.ESCALATED, State.CONFIRMING),
    ],
)
@pytest.mark.parametrize("saga", [Twice, Lab])
def test_no_run_passes_its_pivot_without_its_confirmations(
    saga: type[sagas.Saga[Experiment]], before: State, after: State
) -> None:
    # Given a run of which one confirmation has come, and of another saga's two
    run_id = run_at(before, 1, saga=saga)
    to = {"state": after, "due_at": Run.objects.get(pk=run_id).created_at if after in LIVE else None}
    if saga is Lab:
        Run.objects.filter(pk=run_id).update(**to)
        assert state(run_id) is after
        agree(run_id)
        return
    # When somebody writes that it is confirmed, then that is refused
    with pytest.raises(IntegrityError, match=f"cannot become {after} without its confirmations"):
        Run.objects.filter(pk=run_id).update(**to)


def test_no_child_passes_its_pivot_without_its_parent() -> None:
    run_id = run_at(State.AWAITING_CONFIRM, 1)
    Run.objects.filter(pk=run_id).update(parent_id=run_id)
    with pytest.raises(IntegrityError, match="without its confirmations"), transaction.atomic():
        Run.objects.filter(pk=run_id).update(state=State.CONFIRMING)
    receive(run_id, "@parent")
    Run.objects.filter(pk=run_id).update(state=State.CONFIRMING)


@pytest.mark.parametrize("stands", State)
def test_a_run_that_may_have_effects_cannot_be_deleted(stands: State) -> None:
    run_id = run_at(stands, 1 if stands is not State.PENDING else 0)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM sagas_run WHERE id = %s", [run_id])
        deleted = True
    except IntegrityError as error:
        assert "cannot be deleted" in str(error)
        deleted = False
    assert deleted is (stands in {State.PENDING, State.SUCCEEDED, State.FAILED})
    agree(run_id)


def agree(run_id: UUID) -> None:
    """Let a test's run be as it must at the COMMIT, if it is escalated."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET state = 'FAILED', due_at = NULL WHERE id = %s AND state = 'ESCALATED'", [run_id]
        )


def escalated() -> UUID:
    run_id = run_at(State.EXECUTING, 1)
    with transaction.atomic():
        (row,) = store.runs.lock([run_id])
        escalate(row, event_entry("escalate"), "{}")
    connection.check_constraints()
    return run_id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM sagas_escalation WHERE run_id = %s", "would have no open escalation"),
        (
            "UPDATE sagas_escalation SET resolved_at = now(), notify_at = NULL WHERE run_id = %s",
            "would have no open escalation",
        ),
        (
            "UPDATE sagas_run SET state = 'EXECUTING', due_at = now() WHERE id = %s",
            "is EXECUTING, and would have an open escalation",
        ),
        ("UPDATE sagas_run SET state = 'FAILED' WHERE id = %s", "is FAILED, and would have an open escalation"),
    ],
)
def test_an_escalated_run_has_an_open_escalation_and_no_other_run_has(change: str, said: str) -> None:
    run_id = escalated()
    with pytest.raises(IntegrityError, match=said), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(change, [run_id])
        connection.check_constraints()


def test_no_statement_escalates_a_run_without_an_escalation() -> None:
    run_id = run_at(State.EXECUTING, 1)
    with pytest.raises(IntegrityError, match="would have no open escalation"), transaction.atomic():
        Run.objects.filter(pk=run_id).update(state=State.ESCALATED, due_at=None)
        connection.check_constraints()
    # Nor an escalation opened for one that is not
    with pytest.raises(IntegrityError, match="would have an open escalation"), transaction.atomic():
        store.escalations.open_escalation(store.runs.lock([run_id])[0], step="", operation="", error="{}")
        connection.check_constraints()


def test_an_escalation_needs_a_live_run() -> None:
    run_id = escalated()
    with pytest.raises(IntegrityError, match="sagas_escalation_of_live"):
        Escalation.objects.filter(run_id=run_id).update(state=State.SUCCEEDED)


@pytest.mark.parametrize("stands", [State.EXECUTING, State.SUCCEEDED])
def test_a_confirmation_of_a_live_run_cannot_be_changed_or_deleted(stands: State) -> None:
    run_id = run_at(stands, 1)
    mine = Confirmation.objects.filter(run_id=run_id)
    with pytest.raises(IntegrityError, match="has come, and stays"), transaction.atomic():
        mine.update(data={"forged": True})
    if stands is State.SUCCEEDED:
        assert mine.delete()[0] == 1  # as who prunes does
        return
    with pytest.raises(IntegrityError, match="has come, and stays"), transaction.atomic():
        mine.delete()


@pytest.mark.parametrize(
    "table", ["sagas_log", "sagas_confirmation", "sagas_escalation", "sagas_definition", "sagas_lock"]
)
def test_tables_that_runs_depend_on_cannot_be_truncated(table: str) -> None:
    sagas.start(Lab, Experiment())
    # (a constraint that waits for the COMMIT would be refused before ours)
    connection.check_constraints()
    with pytest.raises(IntegrityError, match=f"{table} cannot be truncated"), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {table}")
