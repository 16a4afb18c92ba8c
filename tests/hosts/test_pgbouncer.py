"""Behind PgBouncer in transaction mode: nothing rests on a session, and checks say what the role must have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from sagas import checks, runtime
from sagas.postgresql import prepared, sessions
from sagas.requirements import server_settings
from tests.hosts.host import WELL, database, host, played
from tests.support import pooler, servers

pytestmark = pytest.mark.skipif(servers.POOLED, reason="compares a pooled connection with a direct one")


@pytest.fixture
def pooled(database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseDatabaseWrapper]:
    """The test database through PgBouncer, as the engine's only database."""
    name = str(connection.settings_dict["NAME"])
    entry = with_pooler(connection.settings_dict)
    monkeypatch.setitem(connections.settings, "pooled", entry)
    monkeypatch.setitem(settings.DATABASES, "pooled", entry)
    monkeypatch.setattr(server_settings, "databases", lambda: ["pooled"])
    monkeypatch.setattr(runtime.memory, "prepares", True)
    yield connections["pooled"]
    connections["pooled"].close()
    del connections["pooled"]
    pooler.release(name)


def with_pooler(direct: dict[str, Any]) -> dict[str, Any]:
    port = pooler.url().rpartition(":")[2].partition("/")[0]
    return {**direct, "PORT": port, "OPTIONS": {"connect_timeout": 5}, "DISABLE_SERVER_SIDE_CURSORS": False}


def ask(connected: BaseDatabaseWrapper, sql: str) -> Any:
    with connected.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def test_a_pooler_is_recognised_by_its_process_id(pooled: BaseDatabaseWrapper) -> None:
    assert sessions.is_pooled(pooled, ask(pooled, "SELECT pg_backend_pid()"))
    assert not sessions.is_pooled(connection, ask(connection, "SELECT pg_backend_pid()"))


def test_nothing_is_prepared_through_a_pooler(pooled: BaseDatabaseWrapper) -> None:
    with pooled.cursor() as cursor:
        prepared.execute(cursor, "SELECT %s::int", [7])
        assert cursor.fetchone() == (7,)
    # Whichever session PgBouncer takes
    assert {ask(pooled, "SELECT count(*) FROM pg_prepared_statements") for _ in range(4)} == {0}


def test_no_isolation_level_is_left_in_a_session_of_a_pooler(pooled: BaseDatabaseWrapper) -> None:
    # Given a server whose default is another one
    name = connection.settings_dict["NAME"]
    ask(connection, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    try:
        # When a session begins
        level = ask(pooled, "SHOW default_transaction_isolation")
        found = {message.id: message for message in checks.check_servers(["pooled"])}
    finally:
        ask(connection, f"ALTER DATABASE {name} RESET default_transaction_isolation")
    # Then the session is as it was, and the project is told to change the default
    assert level == "serializable"
    assert "sagas.E021" in found
    assert "sagas.W021" not in found


def test_a_limit_counts_if_the_role_has_it_and_not_if_some_session_has_it(pooled: BaseDatabaseWrapper) -> None:
    # Given a session in which somebody has set a limit
    ask(pooled, "SET lock_timeout = '5s'")
    assert "lock_timeout is 0" in warned("sagas.W023")
    # When the role has it
    ask(connection, "ALTER ROLE CURRENT_USER SET lock_timeout = '10s'")
    try:
        pooled.close()
        pooler.release(str(connection.settings_dict["NAME"]))
        # Then that counts
        assert "lock_timeout is 0" not in warned("sagas.W023")
    finally:
        ask(connection, "ALTER ROLE CURRENT_USER RESET lock_timeout")


def warned(check: str) -> str:
    return "\n".join(message.msg for message in checks.check_servers(["pooled"]) if message.id == check)


def test_what_does_not_work_through_a_pooler_is_named(pooled: BaseDatabaseWrapper) -> None:
    entry = pooled.settings_dict
    entry["OPTIONS"]["prepares"] = entry["OPTIONS"]["assume_role"] = "on"
    try:
        found = {deviation.check for deviation in server_settings._pooled("pooled")}
    finally:
        del entry["OPTIONS"]["prepares"], entry["OPTIONS"]["assume_role"]
    assert found == {"E028", "W025", "W026"}


def test_options_that_a_pooler_refuses_are_named_with_their_cure(pooled: BaseDatabaseWrapper) -> None:
    pooled.settings_dict["OPTIONS"]["options"] = "-c lock_timeout=10s"
    try:
        (found,) = checks.check_servers(["pooled"])
        (refusal,) = server_settings.refusals()
    finally:
        del pooled.settings_dict["OPTIONS"]["options"]
    # Then the check says so, and no worker starts
    assert found.id == "sagas.E027"
    assert refusal.check == "E027"
    assert "ALTER ROLE … SET lock_timeout" in refusal.remedy


def test_a_project_behind_pgbouncer_books_and_undoes(tmp_path: Path) -> None:
    with host(tmp_path) as project:
        # Given a role with limits, and a project that reaches its database only through the pooler
        entry = database(pooler.through(project.database_url), DISABLE_SERVER_SIDE_CURSORS=True)
        limits = "".join(
            f"ALTER ROLE CURRENT_USER IN DATABASE {entry['NAME']} SET {name} = '{value}';"
            for name, value in pooler.ROLE.items()
        )
        project.sql(limits)
        more = f"DATABASES['default'] = {entry!r}\nDATABASES['direct'] = {database(project.database_url)!r}\n"
        more += "SAGAS['LISTEN_DATABASE'] = 'direct'\n"
        with (project.folder / "host/settings.py").open("a") as file:
            file.write(more)
        # Then its bookings end as they should
        assert played(project) == WELL
        # And no check has anything to say of the pooler
        said = project.check("--database", "default")
        assert not [check for check in ("E021", "E027", "E028", "W023", "W025", "W026", "W027") if check in said], said
