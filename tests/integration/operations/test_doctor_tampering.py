"""What somebody has changed by SQL: refused by the schema where it can be, else a fault, else found by the doctor."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction

import sagas
from sagas import State, store
from sagas.engine.compensation import escalate
from sagas.messaging.topology import dead_letter_queue
from sagas.models import Escalation, Run
from sagas.operations import doctor
from sagas.operations.doctor import Severity
from sagas.store.moves import event_entry
from tests.lab.models import Jar, JarHold
from tests.lab.sagas import Experiment, Forked, Lab
from tests.support import broker
from tests.support.carrier import Carrier
from tests.support.runs import assert_jar_adds_up, escalation, new_jar, state, story
from tests.support.unwinding import wipe

pytestmark = pytest.mark.usefixtures("alone", "loyalty_database")


@pytest.fixture(autouse=True)
def _no_others_books(alone: None) -> None:
    """The doctor looks at all pools, and other tests leave what does not add up."""
    wipe()


# -- Counts that are read, not assumed ------------------------------------------------------------------------


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_run_without_its_hold_escalates_and_its_neighbours_go_on(confirmed: bool) -> None:
    # Given three runs that hold, and the hold of one deleted by hand
    jar = new_jar(10)
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(3)]
    Carrier().run(ids)
    JarHold.objects.filter(run_id=ids[1]).delete()

    # When they are confirmed, or cancelled
    for run_id in ids:
        if confirmed:
            sagas.confirm(run_id, "approval", {})
        else:
            sagas.cancel(run_id)
    Carrier().run(ids)

    # Then the one neither succeeds with nothing sold nor fails with stock held
    ended = State.SUCCEEDED if confirmed else State.FAILED
    assert [state(run_id) for run_id in ids] == [ended, State.ESCALATED, ended]
    assert escalation(ids[1]).error["code"] == "PoolInconsistent"
    # And once the hold is put back, it goes on where it stood
    JarHold.objects.create(run_id=ids[1], step="three", pool_key=jar, quantity=1)
    sagas.resume(ids[1], by="ada")
    Carrier().run(ids)
    assert state(ids[1]) is ended
    assert_jar_adds_up(jar, 10)


# -- What the doctor finds ------------------------------------------------------------------------------------


def by_owner(sql: str, *params: UUID) -> None:
    """What only who owns the tables can do: write past their guards."""
    with connection.cursor() as cursor:
        for table in GUARDED:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        try:
            cursor.execute(sql, list(params))
        finally:
            for table in GUARDED:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


GUARDED = ("sagas_run", "sagas_log", "sagas_escalation", "sagas_confirmation")


def errors() -> list[str]:
    """What the doctor says is wrong with runs and pools."""
    return [finding.what for finding in doctor.examine() if finding.severity is Severity.ERROR]


def awaiting(jar: str) -> UUID:
    """A run that holds one of the jar, and waits to be approved."""
    run_id = sagas.start(Lab, Experiment(jar=jar))
    Carrier().run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM
    return run_id


def ended(jar: str) -> UUID:
    """A run that has bought one of the jar."""
    run_id = awaiting(jar)
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])
    return run_id


def forked(jar: str) -> UUID:
    """A run that has gone through a fork."""
    run_id = sagas.start(Forked, Experiment(jar=jar))
    Carrier().run([run_id])
    return run_id


def confirming(jar: str) -> UUID:
    """A run that is half confirmed."""
    run_id = sagas.start(Lab, Experiment(jar=jar, faults={"three.confirm": 99}))
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id], until=lambda: "one.confirm DONE" in story(run_id))
    return run_id


def compensating(jar: str) -> UUID:
    """A run that is half undone."""
    run_id = awaiting(jar)
    sagas.cancel(run_id)
    Carrier().run([run_id], until=lambda: "three.cancel DONE" in story(run_id))
    assert state(run_id) is State.COMPENSATING
    return run_id


def escalated(jar: str) -> UUID:
    """A run that waits for a person, from where it can go on."""
    run_id = awaiting(jar)
    with transaction.atomic():
        (row,) = store.runs.lock([run_id])
        escalate(row, event_entry("escalate"), "{}")
    return run_id


def failed(jar: str) -> UUID:
    """A run that was undone."""
    run_id = awaiting(jar)
    sagas.cancel(run_id)
    Carrier().run([run_id])
    return run_id


@pytest.mark.parametrize("make", [awaiting, ended, forked, confirming, compensating, failed])
def test_rows_written_by_the_engine_are_no_finding(make: Callable[[str], UUID]) -> None:
    call_command("sagas", "topology")
    make(new_jar(10))
    assert errors() == []


#: What is made, what somebody writes then, and what the doctor says of it.
FOUND: dict[str, tuple[Callable[[str], UUID], str, str]] = {
    "an escalation is deleted": (
        escalated,
        "DELETE FROM sagas_escalation WHERE run_id = %(run)s",
        "1 run(s) are ESCALATED without an open escalation",
    ),
    "an escalated run is moved": (
        escalated,
        "UPDATE sagas_run SET state = 'AWAITING_CONFIRM', due_at = now() WHERE id = %(run)s",
        "1 open escalation(s) are of runs that are not ESCALATED",
    ),
    "a run is set to CONFIRMING": (
        awaiting,
        "UPDATE sagas_run SET state = 'CONFIRMING' WHERE id = %(run)s",
        "lab.Lab CONFIRMING, without approval",
    ),
    "a cursor is set back": (
        awaiting,
        "UPDATE sagas_run SET state = 'EXECUTING', cursor = 1 WHERE id = %(run)s",
        "lab.Lab EXECUTING, and two, three, four done already as the log says",
    ),
    "a cursor is set forward": (
        lambda jar: sagas.start(Lab, Experiment(jar=jar)),
        "UPDATE sagas_run SET state = 'EXECUTING', cursor = 3 WHERE id = %(run)s",
        "lab.Lab EXECUTING, and one, two, three not done as the log says",
    ),
    "a cursor is out of range": (
        awaiting,
        "UPDATE sagas_run SET cursor = 17 WHERE id = %(run)s",
        "behind the last of its 4 steps",
    ),
    "confirms are passed over": (
        confirming,
        "UPDATE sagas_run SET state = 'SUCCEEDED', due_at = NULL WHERE id = %(run)s",
        "lab.Lab SUCCEEDED, and three not confirmed as the log says",
    ),
    "undos are passed over": (
        compensating,
        "UPDATE sagas_run SET state = 'FAILED', due_at = NULL WHERE id = %(run)s",
        "lab.Lab FAILED, and one, two not undone",
    ),
    "more is to be undone than was done": (
        lambda jar: sagas.start(Lab, Experiment(jar=jar)),
        "UPDATE sagas_run SET state = 'COMPENSATING', cursor = 2 WHERE id = %(run)s",
        "with more to undo than was done: one, two",
    ),
    "a confirmation is deleted": (
        ended,
        "DELETE FROM sagas_confirmation WHERE run_id = %(run)s",
        "lab.Lab SUCCEEDED, without approval",
    ),
    "a branch is marked as done": (
        lambda jar: sagas.start(Forked, Experiment(jar=jar)),
        "UPDATE sagas_run SET state = 'EXECUTING', fork = 2 WHERE id = %(run)s",
        "not done as the log says",
    ),
    "the log is truncated": (awaiting, "TRUNCATE sagas_log", "their log does not begin with their start"),
    "a row of the log is forged": (
        awaiting,
        "INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, duration_us, worker, trace_id, compensate) "
        "VALUES (%(run)s, 'one', 'confirm', 'DONE', 1, 0, '', gen_random_uuid(), ''), "
        "(%(run)s, 'one', 'compensate', 'DONE', 1, 0, '', gen_random_uuid(), '')",
        "and steps of it were undone",
    ),
    "a log of no run is forged": (
        awaiting,
        "INSERT INTO sagas_log (run_id, step, operation, outcome, attempt, duration_us, worker, trace_id, compensate) "
        "VALUES (gen_random_uuid(), 'one', 'forward', 'DONE', 1, 0, '', gen_random_uuid(), '')",
        "1 of the log's rows of the last runs belong to runs that do not exist",
    ),
    "a due time is far ahead": (
        compensating,
        "UPDATE sagas_run SET due_at = now() + interval '1 year' WHERE id = %(run)s",
        "1 live run(s) are due far ahead",
    ),
    "the due time of a deadline is far ahead": (
        awaiting,
        "UPDATE sagas_run SET due_at = now() + interval '3 hours' WHERE id = %(run)s",
        "1 live run(s) are due far ahead",
    ),
    "a hold is deleted": (
        awaiting,
        "DELETE FROM lab_jarhold WHERE run_id = %(run)s",
        "have no hold in lab_jar at three, although they must",
    ),
    "a hold and its count are given back": (
        awaiting,
        "WITH gone AS (DELETE FROM lab_jarhold WHERE run_id = %(run)s) "
        "UPDATE lab_jar SET held = held - 1, available = available + 1 WHERE name = %(jar)s",
        "have no hold in lab_jar at three, although they must",
    ),
    "the hold of a run that has ended is opened": (
        failed,
        "WITH open AS (UPDATE lab_jarhold SET state = 'HELD' WHERE run_id = %(run)s) "
        "UPDATE lab_jar SET held = held + 1, available = available - 1 WHERE name = %(jar)s",
        "1 run(s) that are FAILED still have holds in lab_jar",
    ),
    "a run is deleted": (
        awaiting,
        "DELETE FROM sagas_run WHERE id = %(run)s",
        "1 run(s) that are missing still have holds in lab_jar",
    ),
    "a pool's count is changed": (
        awaiting,
        "UPDATE lab_jar SET held = 0 WHERE name = %(jar)s",
        "1 row(s) of the pool lab_jar contradict lab_jarhold",
    ),
    "a pool's row is gone": (awaiting, "DELETE FROM lab_jar WHERE name = %(jar)s", "there is no row"),
    "a breaker is open": (
        awaiting,
        "INSERT INTO sagas_breaker (participant, step, opened_at, probe_at, probe_operation, failed, retried) "
        "VALUES ('lab.Lab.one', 'one', now(), now(), '', 9, 10)",
        "The breaker of lab.Lab.one is open since",
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_rows_changed_by_hand_are_found(what: str) -> None:
    # Given
    make, sql, said = FOUND[what]
    call_command("sagas", "topology")
    jar = new_jar(10)
    run_id = make(jar)
    named = sql.replace("%(run)s", f"'{run_id}'").replace("%(jar)s", f"'{jar}'")
    # When
    by_owner(named)
    # Then
    try:
        assert any(said in line for line in errors()), errors()
    finally:
        JarHold.objects.filter(pool_key=jar).delete()
        Jar.objects.filter(name=jar).delete()


def test_dead_letters_are_reported() -> None:
    call_command("sagas", "topology")
    broker.publish_raw(dead_letter_queue().name, "nonsense")
    said = {finding.what: finding.severity for finding in doctor.examine()}
    assert said["1 message(s) were set aside as dead letters."] is Severity.WARNING


# -- An escalated run whose escalation is gone ----------------------------------------------------------------


def stood_in(stands: State) -> UUID:
    """A run that is escalated from there, and whose escalation was deleted."""
    jar = new_jar(10)
    if stands is State.CONFIRMING:
        run_id = confirming(jar)
    elif stands is State.COMPENSATING:
        run_id = compensating(jar)
    elif stands is State.AWAITING_CONFIRM:
        run_id = awaiting(jar)
    else:
        run_id = sagas.start(Lab, Experiment(jar=jar))
        if stands is State.EXECUTING:
            Carrier().run([run_id], until=lambda: "two.forward DONE" in story(run_id))
    assert state(run_id) is stands
    with transaction.atomic():
        (row,) = store.runs.lock([run_id])
        escalate(row, event_entry("escalate"), "{}")
    by_owner("DELETE FROM sagas_escalation WHERE run_id = %s", run_id)
    Run.objects.filter(pk=run_id).update(request={"jar": jar})
    return run_id


ENDS = {
    State.PENDING: State.AWAITING_CONFIRM,
    State.EXECUTING: State.AWAITING_CONFIRM,
    State.AWAITING_CONFIRM: State.AWAITING_CONFIRM,
    State.CONFIRMING: State.SUCCEEDED,
    State.COMPENSATING: State.FAILED,
}


@pytest.mark.parametrize("stands", ENDS)
def test_a_reopened_run_resumes_at_the_step_in_its_log(stands: State) -> None:
    # Given
    run_id = stood_in(stands)
    # When it is resumed
    assert sagas.resume(run_id, by="ada") is stands
    # Then it goes on, and all of it is on record
    Carrier().run([run_id])
    assert state(run_id) is ENDS[stands]
    assert "reopen" in story(run_id)
    assert Escalation.objects.get(run_id=run_id).resolution == "resumed"
    assert errors() == []


def test_a_reopened_run_is_resolved_by_hand() -> None:
    run_id = stood_in(State.COMPENSATING)
    sagas.resolve(run_id, outcome=State.FAILED, by="ada", note="undone by hand")
    assert state(run_id) is State.FAILED


def test_all_damaged_runs_are_escalated_again() -> None:
    ids = sorted([stood_in(State.EXECUTING), stood_in(State.CONFIRMING)])
    call_command("sagas", "reopen")
    assert [escalation(run_id).error["code"] for run_id in ids] == ["EscalationLost"] * 2
    # And once only
    call_command("sagas", "reopen")
    assert Escalation.objects.count() == 2
