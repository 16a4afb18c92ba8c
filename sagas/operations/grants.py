"""What the application's role needs of the tables, and no more: it may read the log and add to it, and change nothing.

The tables stay another role's, which migrates: who owns a table can pass its guards by. Forged rows cannot be told from
true ones by the database, where the role may INSERT; the doctor compares them with the runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections

_READ = "SELECT"
_ADD = "SELECT, INSERT"
_CHANGE = "SELECT, INSERT, UPDATE"
_ALL = "SELECT, INSERT, UPDATE, DELETE"

#: By table of the engine. DELETE only where the engine itself deletes; TRUNCATE nowhere.
RIGHTS = {
    "sagas_run": _CHANGE,
    "sagas_log": _ADD,
    "sagas_confirmation": _ADD,
    "sagas_definition": _ADD,
    "sagas_escalation": _CHANGE,
    "sagas_breaker": _CHANGE,
    "sagas_breakersample": _ALL,
    "sagas_lock": "SELECT, INSERT, DELETE",
    "sagas_outbox": _ALL,
    "sagas_inbox": "SELECT, INSERT, DELETE",
    "sagas_worker": _ALL,
    "sagas_barrier": _ALL,
}

#: What ``sagas.erase`` needs besides: the guards of these tables let nothing else of finished runs be rewritten.
ERASING = {"sagas_log": "UPDATE (data)", "sagas_confirmation": "UPDATE (data)"}


def statements(role: str, *, database: str = DEFAULT_DB_ALIAS, erases: bool = False) -> Sequence[str]:
    """Write the SQL that gives a role what the whole project needs in a database. What it had before is taken away.

    Args:
        role: of PostgreSQL; it must exist.
        database: alias of the database.
        erases: whether the role also carries out ``sagas.erase``.
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
    return [*lines, f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {_quoted(schema)} TO {to}"]


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
