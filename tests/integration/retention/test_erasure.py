"""Personal data: read by participants, hidden from people, erased for good."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client

import sagas
from sagas import RunNotFound, State, runtime
from sagas.definition.personal_data import ERASED, HIDDEN
from sagas.engine.subsagas import child_run_id
from sagas.errors import NotFinished
from sagas.models import Confirmation, Escalation, Log, Run
from sagas.selectors import run_view, timeline
from tests.integration.conftest import Start
from tests.lab.personal_data import Guest, Host, Party, Visit
from tests.lab.sagas import Experiment, Lab
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier
from tests.support.events import told
from tests.support.runs import await_state, effects, escalation, reason, state, story

pytestmark = pytest.mark.usefixtures("alone")

PHONE = "13812345678"
VISIT = Visit(PHONE, guests=(Guest("Lin Mei"), Guest("Li")))
#: What must be nowhere afterwards.
SECRETS = (PHONE, "Lin Mei", "Ms 5678", "Ada Payer")


def host(visit: Visit = VISIT, *, key: str = "", pay: bool = False) -> UUID:
    run_id = sagas.start(Host, visit, business_key=key)
    Carrier().run([run_id])
    if pay:
        sagas.confirm(run_id, "payment", {"payer": {"name": "Ada Payer"}, "amount": 5})
        Carrier().run([run_id])
    return run_id


def everything(run_id: UUID) -> str:
    """All that the engine's tables have of a run, as text."""
    with connection.cursor() as cursor:
        found = []
        for table, column in (
            ("sagas_run", "id"),
            ("sagas_log", "run_id"),
            ("sagas_confirmation", "run_id"),
            ("sagas_escalation", "run_id"),
            ("sagas_outbox", "run_id"),
        ):
            sql = f"SELECT to_jsonb(t)::text FROM {table} AS t WHERE {column} = %s"  # noqa: S608 - of the lines above
            cursor.execute(sql, [run_id])
            found += [text for (text,) in cursor.fetchall()]
    return "\n".join(found)


# -- Read by participants, hidden from people -----------------------------------------------------------------


def test_participants_get_personal_data_that_operators_do_not_see() -> None:
    # Given a run whose participants read the phone number and each other's results
    run_id = host()
    assert state(run_id) is State.AWAITING_CONFIRM
    stored = Run.objects.get(pk=run_id)
    assert stored.results["note"] == "letter to Ms 5678"

    # Then what people are shown has neither
    shown = [entry.data for entry in timeline(run_id) if entry.data]
    assert shown == [
        {"seat": 7, "card": {"holder": HIDDEN, "kind": "gold"}},
        HIDDEN,
        {"seat": 7, "card": {"holder": HIDDEN, "kind": "gold"}},
    ]
    assert not any(secret in str(shown) for secret in SECRETS)


def test_the_admin_does_not_show_personal_data() -> None:
    # Given a run that is paid, and one that waits for a person
    paid, stuck = host(key="seen", pay=True), host(replace(VISIT, clumsy="greet.confirm"), pay=True)
    user = get_user_model()._default_manager.create_superuser(f"boss-{uuid4().hex[:8]}", password="pw")
    try:
        client = Client()
        client.force_login(user)
        for url in (
            f"/admin/sagas/run/{paid}/change/",
            f"/admin/sagas/run/{stuck}/change/",
            "/admin/sagas/escalation/",
        ):
            page = client.get(url)
            assert page.status_code == 200
            text = page.content.decode()
            assert HIDDEN in text
            assert not any(secret in text for secret in SECRETS)
            assert "gold" in text or "escalation" in url
    finally:
        user.delete()


@pytest.mark.parametrize("visit", [replace(VISIT, fail="seat"), replace(VISIT, refuse="seat")])
def test_a_personal_value_is_removed_from_an_errors_text(visit: Visit) -> None:
    run_id = host(visit)
    assert state(run_id) is State.FAILED
    texts = json.dumps(
        [reason(run_id), [s.error for s in run_view(run_id).steps], *log_data(run_id, "FAULT", "REJECTED")]
    )
    assert HIDDEN in texts
    assert not any(secret in texts for secret in SECRETS)
    assert reason(run_id)["detail"].startswith(("cannot reach [personal] (", "[personal] is on the list"))


def log_data(run_id: UUID, *outcomes: str) -> list[Any]:
    return list(Log.objects.filter(run_id=run_id, outcome__in=outcomes).values_list("data", flat=True))


def test_a_personal_value_is_removed_from_an_escalation() -> None:
    run_id = host(replace(VISIT, clumsy="greet.confirm"), pay=True)
    found = escalation(run_id)
    assert found.error["detail"].startswith("cannot reach [personal] (")
    assert not any(secret in json.dumps(found.error) for secret in SECRETS)


def test_a_personal_value_is_removed_from_the_reason_of_a_cancel() -> None:
    run_id = host()
    sagas.cancel(run_id, reason=f"{PHONE} called", by="ada")
    assert reason(run_id)["detail"] == "[personal] called"


PAID = {"payer": {"name": "Ada Payer"}}


def party(visit: Visit = VISIT, *, key: str = "") -> UUID:
    run_id = sagas.start(Party, visit, business_key=key)
    sagas.confirm(run_id, "payment", PAID)
    # Twice: the child's end wakes its parent when nothing else is on its way.
    for _ in range(2):
        Carrier().run([run_id, child_run_id(run_id, "ride")])
    return run_id


def test_personal_data_is_not_published_with_events() -> None:
    run_id = party()
    assert state(run_id) is State.SUCCEEDED
    data = {event.name: event.data for event in told(run_id)}
    # The member that holds something marked is left out, and a result that is personal as a whole
    assert data["GreetDone"] == {"seat": 7}
    assert data["NoteDone"] is None
    assert data["RideDone"] == {"run": str(child_run_id(run_id, "ride"))}
    assert not any(secret in event.to_json() for event in told(run_id) for secret in SECRETS)


def test_the_result_of_a_sub_saga_is_as_personal_as_in_the_child() -> None:
    run_id = party()
    shown = next(entry.data for entry in timeline(run_id) if (entry.step, entry.outcome) == ("ride", "DONE"))
    assert shown is not None
    assert shown["results"] == {"greet": {"seat": 7, "card": {"holder": HIDDEN, "kind": "gold"}}}


def test_a_personal_value_of_a_confirmation_is_removed_from_a_refunds_error() -> None:
    run_id = party(replace(VISIT, refuse="wish"))
    assert state(run_id) is State.ESCALATED
    assert escalation(run_id).error["detail"] == f"{HIDDEN} has no account"


def test_a_personal_value_is_removed_from_the_reason_of_a_decline() -> None:
    run_id = host()
    sagas.decline(run_id, "payment", reason=f"{PHONE} is not a customer", by="bank")
    assert reason(run_id)["detail"] == "[personal] is not a customer"


def test_a_real_worker_logs_and_publishes_no_personal_data(start_worker: Start) -> None:
    worker = start_worker()
    failed = sagas.start(Host, replace(VISIT, fail="seat"))
    await_state(failed, State.FAILED)
    done = sagas.start(Host, VISIT)
    await_state(done, State.AWAITING_CONFIRM)
    assert not any(secret in worker.text() for secret in SECRETS)
    assert not any(secret in json.dumps(reason(failed)) for secret in SECRETS)


# -- Erased ---------------------------------------------------------------------------------------------------


def test_erasure_removes_personal_data_and_keeps_the_record() -> None:
    # Given two runs of one order, one that failed and was tried again, and one of another
    key = f"K-{uuid4().hex[:8]}"
    failed = host(replace(VISIT, fail="seat", extra={"remark": f"ring {PHONE} twice", "cups": 3}), key=key)
    paid = host(key=key, pay=True)
    other = host(key="another", pay=True)
    assert (state(failed), state(paid)) == (State.FAILED, State.SUCCEEDED)
    before = {run_id: (story(run_id), rows(run_id)) for run_id in (failed, paid)}
    untouched = everything(other)

    # When
    erasure = sagas.erase(business_key=key, by="ada")

    # Then
    assert set(erasure.runs) == set(erasure.changed) == {failed, paid}
    for run_id in (failed, paid):
        assert not any(secret in everything(run_id) for secret in SECRETS)
    assert Run.objects.get(pk=failed).request == {
        "phone": ERASED,
        "place": "Hall 3",
        "guests": [{"name": ERASED, "cups": 1}, {"name": ERASED, "cups": 1}],
        "fail": "seat",
        "refuse": "",
        "clumsy": "",
        "extra": {"remark": f"ring {ERASED} twice", "cups": 3},
    }
    assert Run.objects.get(pk=paid).results["greet"] == {"seat": 7, "card": {"holder": ERASED, "kind": "gold"}}
    assert Confirmation.objects.get(run_id=paid).data == {"payer": {"name": ERASED}, "amount": 5}
    # And of what happened everything is there, and who erased, and when
    for run_id, (happened, kept) in before.items():
        assert story(run_id) == [*happened, "erase"]
        assert rows(run_id)[:-1] == kept
        event = Log.objects.get(run_id=run_id, operation="erase")
        assert (event.worker, event.outcome) == ("ada", "EVENT")
    assert everything(other) == untouched


def test_children_and_waiting_events_are_erased_with_their_run() -> None:
    # Given a run with a child that has no business key, and events that nobody has published
    key = f"K-{uuid4().hex[:8]}"
    run_id = party(replace(VISIT, extra={"remark": f"ring {PHONE} twice"}), key=key)
    child = child_run_id(run_id, "ride")
    assert (state(run_id), state(child)) == (State.SUCCEEDED, State.SUCCEEDED)
    assert PHONE in next(event for event in told(run_id) if event.name == "WishDone").to_json()
    before = [event.id for event in told(run_id)]

    # When
    erasure = sagas.erase(business_key=key, by="ada")

    # Then
    assert set(erasure.runs) == set(erasure.changed) == {run_id, child}
    for each in (run_id, child):
        assert not any(secret in everything(each) for secret in SECRETS)
    # And the events are there, in their order
    assert [event.id for event in told(run_id)] == before
    (wish,) = [event.data for event in told(run_id) if event.name == "WishDone"]
    assert wish == {"remark": f"ring {ERASED} twice"}


def test_erasure_waits_for_events_that_are_being_published() -> None:
    """Who publishes has locked the first event of the run; an erasure takes no other before it."""
    key = f"K-{uuid4().hex[:8]}"
    run_id = party(replace(VISIT, extra={"remark": PHONE}), key=key)
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            # Given a relay in the middle of its work
            cursor.execute(
                "SELECT 1 FROM sagas_outbox WHERE run_id = %s ORDER BY position LIMIT 1 FOR UPDATE", [run_id]
            )
            with ThreadPoolExecutor(1) as pool:
                erasing = pool.submit(erase_elsewhere, key)
                eventually(lambda: blocked() or erasing.done())
                assert not erasing.done()
                # When it deletes what was published, then nobody is in its way
                cursor.execute("SET LOCAL lock_timeout = '5s'")
                cursor.execute("DELETE FROM sagas_outbox WHERE run_id = %s", [run_id])
                other.commit()
                erasing.result(timeout=20)
    finally:
        other.close()
    assert not any(secret in everything(run_id) for secret in SECRETS)


def erase_elsewhere(key: str) -> None:
    try:
        sagas.erase(business_key=key, by="ada")
    finally:
        connection.close()


def blocked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock' AND query LIKE '%%sagas_outbox%%')"
        )
        (found,) = cursor.fetchone()
    return bool(found)


def rows(run_id: UUID) -> list[dict[str, Any]]:
    """Its log, without the data."""
    found = Log.objects.filter(run_id=run_id).order_by("id").values()
    return [{name: value for name, value in row.items() if name != "data"} for row in found]


def test_a_second_erasure_does_nothing() -> None:
    run_id = host(key="once", pay=True)
    sagas.erase(business_key="once", by="ada")
    before = everything(run_id)
    again = sagas.erase(business_key="once", by="bob")
    assert (again.runs, again.changed) == ((run_id,), ())
    assert everything(run_id) == before


def test_a_run_that_has_not_ended_is_named_and_nothing_is_erased() -> None:
    # Given one run that is done, one on its way, and one that waits for a person
    done = host(key="mixed", pay=True)
    live = host(key="mixed")
    stuck = host(replace(VISIT, clumsy="greet.confirm"), key="mixed", pay=True)
    assert (state(live), state(stuck)) == (State.AWAITING_CONFIRM, State.ESCALATED)
    before = [everything(run_id) for run_id in (done, live, stuck)]

    # When
    with pytest.raises(NotFinished) as refused:
        sagas.erase(business_key="mixed", by="ada")

    # Then
    for said in (f"{live} is AWAITING_CONFIRM", f"{stuck} is ESCALATED"):
        assert said in str(refused.value)
    assert str(done) not in str(refused.value)
    assert [everything(run_id) for run_id in (done, live, stuck)] == before


def test_escalations_are_erased_with_their_notes() -> None:
    # Given a run that was resumed by a person, who wrote down whom he called, and that then went through
    run_id = host(replace(VISIT, clumsy="greet.confirm"), key="noted", pay=True)
    Run.objects.filter(pk=run_id).update(request={**Run.objects.get(pk=run_id).request, "clumsy": ""})
    sagas.resume(run_id, by="bob", note=f"called {PHONE}")
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED

    # When
    sagas.erase(business_key="noted", by="ada")

    # Then
    found = Escalation.objects.get(run_id=run_id)
    assert (found.note, found.resolved_by) == (f"called {ERASED}", "bob")
    assert not any(secret in everything(run_id) for secret in SECRETS)


def test_a_run_whose_saga_is_gone_from_the_code_is_erased_by_the_record() -> None:
    run_id = host(key="old", pay=True)
    known = runtime.declared.definitions.pop(("lab.Host", 1))
    try:
        shown = [entry.data for entry in timeline(run_id) if entry.data]
        assert shown[0]["card"]["holder"] == HIDDEN
        sagas.erase(business_key="old", by="ada")
    finally:
        runtime.declared.definitions["lab.Host", 1] = known
    assert not any(secret in everything(run_id) for secret in SECRETS)


def test_a_repeated_confirmation_is_still_answered_after_the_erasure() -> None:
    run_id = host(key="again", pay=True)
    sagas.erase(business_key="again", by="ada")
    receipt = sagas.confirm(run_id, "payment", {"payer": {"name": "Ada Payer"}, "amount": 5})
    assert (receipt.first, receipt.data) == (False, {"payer": {"name": ERASED}, "amount": 5})
    assert not any(secret in everything(run_id) for secret in SECRETS)


def test_an_erasure_without_a_known_key_or_a_name_is_refused() -> None:
    with pytest.raises(RunNotFound, match="'nobody'"):
        sagas.erase(business_key="nobody", by="ada")
    for nothing in ({"business_key": "", "by": "ada"}, {"business_key": "K", "by": ""}):
        with pytest.raises(ValueError, match="say which business key, and who erases"):
            sagas.erase(**nothing)


def test_the_caller_can_roll_back_an_erasure() -> None:
    run_id = host(key="back", pay=True)
    before = everything(run_id)
    with transaction.atomic():
        sagas.erase(business_key="back", by="ada")
        transaction.set_rollback(True)
    assert everything(run_id) == before


# -- The hole in the log's guard ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sagas_log SET operation = 'nothing' WHERE run_id = %s",
        "UPDATE sagas_log SET data = '{}', at = now() WHERE run_id = %s",
        "UPDATE sagas_log SET data = '{}', run_id = gen_random_uuid() WHERE run_id = %s",
        "UPDATE sagas_log SET data = NULL WHERE run_id = %s AND data IS NOT NULL",
        "UPDATE sagas_log SET data = '{}' WHERE run_id = %s AND data IS NULL",
        "DELETE FROM sagas_log WHERE run_id = %s",
    ],
)
def test_an_erasure_may_change_nothing_else_in_the_log(change: str) -> None:
    run_id = host(pay=True)
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT set_config('sagas.erase', 'on', true)")
        cursor.execute(change, [run_id])


REDACT = "UPDATE sagas_log SET data = '{}' WHERE run_id = %s AND data IS NOT NULL"


def test_the_log_may_be_erased_only_for_ended_runs_and_in_one_transaction() -> None:
    finished, live = host(pay=True), host()
    # Not without the word
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(REDACT, [finished])
    # Not for a run that goes on
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('sagas.erase', 'on', true)")
        cursor.execute(REDACT, [live])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('sagas.erase', 'on', true)")
        cursor.execute(REDACT, [finished])
        assert cursor.rowcount
    # And closed again, on the same connection, after the transaction
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(REDACT, [finished])
    # And after an erasure, for what follows in its caller's transaction
    host(key="inside", pay=True)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        sagas.erase(business_key="inside", by="ada")
        cursor.execute(REDACT, [finished])


# -- The command ----------------------------------------------------------------------------------------------


def test_the_command_erases_and_says_what_it_did() -> None:
    host(key="cli", pay=True)
    assert erase("cli", "--by", "ada") == "erased what is personal in 1 of 1 run(s) of cli\n"
    assert erase("cli") == "erased what is personal in 0 of 1 run(s) of cli\n"
    live = host(key="cli")
    with pytest.raises(CommandError, match=f"{live} is AWAITING_CONFIRM"):
        erase("cli")
    with pytest.raises(CommandError, match="no run of 'none'"):
        erase("none")


def erase(key: str, *arguments: str) -> str:
    out = StringIO()
    call_command("sagas", "erase", "--business-key", key, *arguments, stdout=out)
    return out.getvalue()


def test_a_saga_without_personal_data_has_nothing_to_erase() -> None:
    run_id = sagas.start(Lab, Experiment(), business_key="plain")
    Carrier().run([run_id])
    sagas.cancel(run_id)
    Carrier().run([run_id])
    assert effects(run_id)
    before = everything(run_id)
    assert sagas.erase(business_key="plain", by="ada").changed == ()
    assert everything(run_id) == before
