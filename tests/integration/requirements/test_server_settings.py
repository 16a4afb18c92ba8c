"""Servers that are set otherwise than the promises need it: it is set right, or it is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection, connections, transaction
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from pytest_django import Settings

import sagas
from sagas import State, checks
from sagas.db import is_lost, sqlstate
from sagas.engine import lifecycle
from sagas.engine.performing import perform
from sagas.models import Run
from sagas.requirements import server_settings
from tests.lab.sagas import Experiment, Lab
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import shift_clock, state, story
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("alone")


@contextmanager
def database_set(**settings: str) -> Iterator[None]:
    """``ALTER DATABASE … SET`` for every new session, also this process's next."""
    name = connection.settings_dict["NAME"]

    def alter(what: str) -> None:
        with connection.cursor() as cursor:
            # The setting itself may keep this session from altering anything.
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(f'ALTER DATABASE "{name}" {what}')
        connection.close()

    for setting, value in settings.items():
        alter(f"SET {setting} = '{value}'")
    try:
        yield
    finally:
        for setting in settings:
            alter(f"RESET {setting}")


def isolation() -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        (level,) = cursor.fetchone()
    return str(level)


# -- Isolation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_transactions_are_read_committed_whatever_the_servers_default(level: str) -> None:
    with database_set(default_transaction_isolation=level):
        assert isolation() == "read committed"


def in_a_thread(work: Any) -> threading.Thread:
    def run() -> None:
        work()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def await_one_that_waits_for_a_lock() -> None:
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )

    def waits() -> bool:
        with connection.cursor() as cursor:
            # In a transaction it is always the same picture, unless one asks for a new one.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(sql)
            return bool(cursor.fetchone()[0])

    eventually(waits, what="somebody waits for the run's lock")


@pytest.fixture
def under_way(jar: str) -> tuple[UUID, Any]:
    """A run before its last step, and the link of that."""
    run_id = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    for _ in range(3):
        _, following = deliver(chain)
        assert following is not None
        chain = following
    return run_id, chain.links[0]


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_deadline_that_waited_for_a_confirmation_sees_it(level: str, under_way: tuple[UUID, Any]) -> None:
    run_id, _ = under_way
    shift_clock([run_id], 40)
    with database_set(default_transaction_isolation=level):
        # When a confirmation is taken, and the deadline waits for its commit
        with transaction.atomic():
            sagas.confirm(run_id, "approval", {})
            late = in_a_thread(lambda: lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [run_id], by="message"))
            await_one_that_waits_for_a_lock()
        late.join(30)
    # Then it was in time
    assert state(run_id) is State.EXECUTING
    Carrier().run([run_id])


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_last_step_that_waited_for_a_confirmation_sees_it(level: str, under_way: tuple[UUID, Any]) -> None:
    run_id, link = under_way
    with database_set(default_transaction_isolation=level):
        with transaction.atomic():
            sagas.confirm(run_id, "approval", {})
            last = in_a_thread(lambda: perform(link, [run_id]))
            await_one_that_waits_for_a_lock()
        last.join(30)
    assert state(run_id) is State.CONFIRMING
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("what", ["confirm", "cancel", "expire"])
def test_a_decision_in_a_transaction_of_another_isolation_level_is_refused(
    level: str, what: str, under_way: tuple[UUID, Any]
) -> None:
    run_id, _ = under_way
    shift_clock([run_id], 40)
    before = story(run_id)
    decide: dict[str, Callable[[], object]] = {
        "confirm": lambda: sagas.confirm(run_id, "approval", {}),
        "cancel": lambda: sagas.cancel(run_id),
        "expire": lambda: Run.objects.filter(pk=run_id).update(state="COMPENSATING"),
    }
    with pytest.raises(Error, match=f"READ COMMITTED; this transaction is at {level}") as refused, transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        decide[what]()
    assert sqlstate(refused.value) == "25004"
    # Which is nobody's fault but of how it is set up: it fails no order
    assert is_lost(refused.value)
    assert story(run_id) == before


def test_read_uncommitted_is_accepted_as_read_committed(under_way: tuple[UUID, Any]) -> None:
    run_id, _ = under_way
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        sagas.cancel(run_id)
    assert state(run_id) is State.COMPENSATING


# -- Asked ------------------------------------------------------------------------------------------------------------


def asked() -> set[str]:
    """Numbers of the checks that find something, by the database's own answer."""
    return {str(found.id).removeprefix("sagas.") for found in checks.check_servers(databases=["default"])}


def doctors_word() -> str:
    out = StringIO()
    with suppress(CommandError):
        call_command("sagas", "doctor", stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("setting", "value", "check", "said"),
    [
        ("default_transaction_isolation", "repeatable read", "W021", "the default is repeatable read"),
        ("synchronous_commit", "off", "E022", "synchronous_commit is off"),
        ("default_transaction_read_only", "on", "E025", "it takes no writes"),
        ("idle_session_timeout", "1h", None, "has the settings that the promises need"),
        ("synchronous_commit", "local", None, "has the settings that the promises need"),
        ("timezone", "Asia/Kathmandu", None, "has the settings that the promises need"),
    ],
)
def test_check_and_doctor_report_harmful_server_settings(
    setting: str, value: str, check: str | None, said: str
) -> None:
    with database_set(**{setting: value}):
        assert asked() == ({check} if check else set())
        assert said in doctors_word()


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("lock_timeout", "0", "W023"),
        ("statement_timeout", "0", "W023"),
        ("idle_in_transaction_session_timeout", "0", "W023"),
        ("idle_in_transaction_session_timeout", "200ms", "W024"),
    ],
)
def test_the_effective_timeouts_of_a_session_are_read(setting: str, value: str, check: str) -> None:
    # Given what a pooler does that ignores "options"
    with connection.cursor() as cursor:
        cursor.execute(f"SET {setting} = '{value}'")
    found = [found for found in checks.check_servers(databases=["default"]) if f"{setting} is" in found.msg]
    connection.close()
    assert [str(one.id) for one in found] == [f"sagas.{check}"]


def test_a_database_that_is_not_selected_is_not_queried() -> None:
    with database_set(synchronous_commit="off"):
        assert checks.check_servers(databases=None) == []
        assert checks.check_servers(databases=["loyalty"]) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AUTOCOMMIT": False}, "['AUTOCOMMIT'] is False"),
        # psycopg 3 and psycopg2 number them differently.
        *(
            ({"OPTIONS": {"isolation_level": int(level)}}, f"['isolation_level'] is {int(level)}")
            for level in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)
        ),
        ({"OPTIONS": {"isolation_level": 99}}, "['isolation_level'] is 99"),
        ({"OPTIONS": {"isolation_level": int(IsolationLevel.READ_COMMITTED)}}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("alias", ["default", "loyalty"])
def test_djangos_database_settings_are_checked_without_a_connection(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, alias: str, changes: dict[str, Any], said: str | None
) -> None:
    monkeypatch.setitem(settings.DATABASES, alias, {**settings.DATABASES[alias], **changes})
    found = [one for one in checks.check_sessions() if one.id != "sagas.W020"]
    assert [(one.id, f"DATABASES['{alias}']" in one.msg, str(said) in one.msg) for one in found] == (
        [("sagas.E020", True, True)] if said else []
    )


# -- Refused ----------------------------------------------------------------------------------------------------------


def test_no_worker_starts_where_a_setting_breaks_a_promise(settings: Settings) -> None:
    with database_set(synchronous_commit="off", default_transaction_isolation="repeatable read"):
        (refusal,) = server_settings.refusals()
        assert refusal.check == "E022"
        # Unless the project knows what it does
        settings.SILENCED_SYSTEM_CHECKS = ["sagas.E022"]
        assert server_settings.refusals() == []


def test_a_failover_keeps_no_worker_from_starting() -> None:
    with database_set(default_transaction_read_only="on"):
        assert server_settings.refusals() == []


def test_an_unreachable_server_keeps_no_worker_from_starting(settings: Settings) -> None:
    away = connections["default"].settings_dict
    before = away["PORT"]
    connection.close()
    away["PORT"] = "1"
    try:
        assert server_settings.refusals() == []
    finally:
        away["PORT"] = before


@pytest.mark.slow
def test_a_refused_worker_reports_the_reason_and_ends(topology: None) -> None:
    with database_set(synchronous_commit="off"):
        worker = Worker()
        assert worker.process.wait(timeout=60) == 1
    assert "synchronous_commit is off" in worker.text()
    assert "sagas.E022" in worker.text()
    assert servers.directory().exists()
