"""The grants that the application's database role needs, and no more. In the log it may read and insert, not change.

Another role owns the tables and migrates them, because the owner of a table can bypass its triggers and constraints.
The database cannot distinguish a forged row from a true one where the role may INSERT. The doctor compares such rows
with the runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, transaction

_READ = "SELECT"
_ADD = "SELECT, INSERT"
_CHANGE = "SELECT, INSERT, UPDATE"
_ALL = "SELECT, INSERT, UPDATE, DELETE"

#: Privileges by table of the engine. DELETE is granted only where the engine deletes; TRUNCATE is never granted.
RIGHTS = {
    "sagas_run": _CHANGE,
    "sagas_log": _ADD,
    "sagas_performer": "SELECT, INSERT, UPDATE (seen_at)",
    "sagas_confirmation": _ADD,
    "sagas_definition": _ADD,
    "sagas_escalation": _CHANGE,
    "sagas_pause": "SELECT, INSERT, UPDATE (ended_at, ended_by, end_reason)",
    "sagas_breaker": _CHANGE,
    "sagas_breakersample": _ALL,
    "sagas_lock": "SELECT, INSERT, DELETE",
    "sagas_shareddecision": "SELECT, INSERT, UPDATE (settled_at)",
    "sagas_outbox": _ALL,
    "sagas_queuedevent": _ALL,
    "sagas_inbox": "SELECT, INSERT, DELETE",
    "sagas_worker": _ALL,
    "sagas_measurement": _ALL,
    "sagas_levelcursor": _CHANGE,
    "sagas_countedrun": _ADD,
    "sagas_levelminute": _ALL,
    "sagas_levelexample": _ALL,
    "sagas_burnincident": _ALL,
    "sagas_barrier": _ALL,
    "sagas_horizon": _READ,
    "sagas_tombstone": _READ,
    "sagas_pruning": _READ,
}

#: Further privileges for ``sagas.erase``. The tables' triggers allow no other change to the rows of finished runs.
ERASING = {"sagas_log": "UPDATE (data)", "sagas_confirmation": "UPDATE (data)"}

#: Further privileges to prune old runs. A trigger lets go of no rows of the log but those of runs behind the horizon.
PRUNING = {
    "sagas_run": "DELETE",
    "sagas_log": "DELETE",
    "sagas_confirmation": "DELETE",
    "sagas_escalation": "DELETE",
    "sagas_pause": "DELETE",
    "sagas_performer": "DELETE",
    "sagas_countedrun": "DELETE",
    "sagas_shareddecision": "DELETE",
    "sagas_horizon": "INSERT, UPDATE",
    "sagas_tombstone": "INSERT",
    "sagas_pruning": "INSERT, UPDATE",
}


def statements(
    role: str, *, database: str = DEFAULT_DB_ALIAS, erases: bool = False, prunes: bool = False
) -> Sequence[str]:
    """Return the SQL that revokes a role's privileges in a database and grants those that the whole project needs.

    Args:
        role: an existing role of PostgreSQL.
        database: alias of the database.
        erases: whether the role also runs ``sagas.erase``.
        prunes: whether the role also deletes old runs.
    """
    connection = connections[database]
    to = _quoted(role)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        (schema,) = cursor.fetchone()
        there = set(connection.introspection.table_names(cursor))
    engines = {model._meta.db_table for model in apps.get_app_config("sagas").get_models()}
    others = {table: _ALL for table in connection.introspection.django_table_names() if table not in engines}
    rights = {**others, **{table: RIGHTS[table] for table in engines}, "django_migrations": _READ}
    lines = [f"GRANT USAGE ON SCHEMA {_quoted(schema)} TO {to}"]
    for table in sorted(rights.keys() & there):
        lines += [f"REVOKE ALL ON {_quoted(table)} FROM {to}", f"GRANT {rights[table]} ON {_quoted(table)} TO {to}"]
        if erases and table in ERASING:
            lines.append(f"GRANT {ERASING[table]} ON {_quoted(table)} TO {to}")
        if prunes and table in PRUNING:
            lines.append(f"GRANT {PRUNING[table]} ON {_quoted(table)} TO {to}")
    return [*lines, f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {_quoted(schema)} TO {to}"]


def apply(lines: Sequence[str], *, database: str) -> None:
    """Execute these statements in one transaction."""
    with transaction.atomic(using=database), connections[database].cursor() as cursor:
        for line in lines:
            cursor.execute(line)


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
