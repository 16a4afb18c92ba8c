"""The application's role: the engine does all it must as a role that owns nothing, and cannot change the log."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, ProgrammingError, connection, transaction

import sagas
from sagas import State, store
from sagas.escalations import notices
from sagas.messaging import relay
from sagas.messaging.app import engine_app
from sagas.models import Log
from sagas.operations import doctor, grants
from tests.integration.conftest import Start
from tests.lab.personal_data import Host, Visit
from tests.lab.sagas import Experiment, Forked, Lab
from tests.support import servers
from tests.support.carrier import Carrier
from tests.support.runs import await_state, escalation, make_due, mend, new_jar, state, story

pytestmark = pytest.mark.usefixtures("alone", "loyalty_database")

#: Made with the cluster; see ``scripts/private_services/postgres.py``.
ROLE = "drinkgroup_app"


def connect_as(role: str) -> None:
    """Let this process be connected as this role from now on."""
    connection.close()
    connection.settings_dict["USER"] = role


@pytest.fixture
def application(alone: None) -> Iterator[str]:
    """This process, connected as the application's role, after its rights were applied by the tables' owner."""
    call_command("sagas", "grants", role=ROLE, apply=True, stdout=StringIO())
    owner = connection.settings_dict["USER"]
    connect_as(ROLE)
    yield owner
    connect_as(owner)


def test_every_table_of_the_engine_has_its_privileges() -> None:
    assert set(grants.RIGHTS) == {model._meta.db_table for model in apps.get_app_config("sagas").get_models()}
    # Nobody may truncate, and the log may only be added to.
    assert not any("TRUNCATE" in right for right in grants.RIGHTS.values())
    assert grants.RIGHTS["sagas_log"] == "SELECT, INSERT"


def test_without_apply_the_grants_are_printed() -> None:
    call_command("sagas", "grants", role='an "app"', stdout=(out := StringIO()))
    lines = out.getvalue().splitlines()
    assert lines[0] == "BEGIN;"
    assert 'GRANT SELECT, INSERT ON "sagas_log" TO "an ""app""";' in lines
    assert 'GRANT SELECT, INSERT, UPDATE, DELETE ON "inventory_sku" TO "an ""app""";' in lines


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE sagas_log SET operation = 'nothing'",
        "DELETE FROM sagas_log",
        "UPDATE sagas_performer SET worker = 'somebody'",
        "DELETE FROM sagas_performer",
        "TRUNCATE sagas_log",
        "TRUNCATE sagas_run, sagas_log, sagas_escalation, sagas_confirmation, sagas_lock",
        "ALTER TABLE sagas_log DISABLE TRIGGER USER",
        "DROP TRIGGER sagas_log_guard ON sagas_log",
        "DELETE FROM sagas_run",
        "DELETE FROM sagas_escalation",
        "DELETE FROM sagas_confirmation",
        "UPDATE sagas_confirmation SET data = '{}'",
        "DELETE FROM sagas_definition",
        "SET session_replication_role = replica",
    ],
)
def test_the_role_may_not_do_what_only_an_owner_may(sql: str) -> None:
    run_id = sagas.start(Lab, Experiment())
    # (no error of a trigger, and none that the engine would take for a collision)
    refused = pytest.raises(ProgrammingError, match=r"permission denied|must be owner")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    assert story(run_id) == ["start"]


@pytest.mark.usefixtures("application")
def test_whole_sagas_run_with_the_role() -> None:
    jar = new_jar(10)
    # Given a run that is confirmed, one with a fork that is cancelled, and one that a person must see to
    sold, given_back = sagas.start(Lab, Experiment(jar=jar)), sagas.start(Forked, Experiment(jar=jar))
    broken = sagas.start(Lab, Experiment(jar=jar, faults={"one.confirm": 99}))
    ids: list[UUID] = [sold, given_back, broken]
    Carrier().run(ids)
    sagas.confirm(sold, "approval", {"by": "mei"})
    sagas.confirm(broken, "approval", {})
    sagas.cancel(given_back, reason="no more", by="mei")
    Carrier().run(ids)
    assert [state(run_id) for run_id in ids] == [State.SUCCEEDED, State.FAILED, State.ESCALATED]

    # When people are told of it, take it, and resume it
    assert len(notices.claim_notices()) == 1
    sagas.assign(broken, to="ada", by="ada")
    assert escalation(broken).assignee == "ada"
    mend(broken)
    sagas.resume(broken, by="ada")
    Carrier().run(ids)
    assert state(broken) is State.SUCCEEDED

    # And leases lapse, workers beat, events are published
    make_due([sagas.start(Lab, Experiment(jar=jar))], since=100)
    Carrier().run(ids)
    store.workers.record_heartbeat(store.workers.Heartbeat("worker1@here"))
    store.workers.forget("worker1@here")
    relay.relay(engine_app())
    # And the doctor, as the same role, says so
    assert f"The role {ROLE} may add to the log, and change nothing in it." in {f.what for f in doctor.examine()}


def test_erasure_needs_a_privilege_of_its_own(application: str) -> None:
    run_id = sagas.start(Host, Visit("+86 20 555"), business_key="forget-me")
    Carrier().run([run_id])
    sagas.cancel(run_id, reason="no more", by="ada")
    Carrier().run([run_id])
    with pytest.raises(ProgrammingError, match="permission denied"):
        sagas.erase(business_key="forget-me", by="ada")
    # When the owner gives it
    connect_as(application)
    call_command("sagas", "grants", role=ROLE, erases=True, apply=True, stdout=StringIO())
    connect_as(ROLE)
    # Then
    assert sagas.erase(business_key="forget-me", by="ada").changed == (run_id,)
    # And the log is still only to be added to
    with pytest.raises(IntegrityError, match="append-only"):
        Log.objects.filter(run_id=run_id).update(data={"forged": True})


@pytest.mark.slow
def test_a_worker_process_runs_with_the_role(start_worker: Start) -> None:
    call_command("sagas", "grants", role=ROLE, apply=True, stdout=StringIO())
    url = urlsplit(servers.worker_environment()["DATABASE_URL"])
    as_role = urlunsplit(url._replace(netloc=url.netloc.replace(f"{url.username}:", f"{ROLE}:", 1)))
    start_worker(environment={"DATABASE_URL": as_role})
    run_id = sagas.start(Lab, Experiment(jar=new_jar(10)))
    await_state(run_id, State.AWAITING_CONFIRM)
    sagas.confirm(run_id, "approval", {})
    await_state(run_id, State.SUCCEEDED)
    assert Log.objects.filter(run_id=run_id, outcome="FAULT").count() == 0
