"""What the project's own tables say, so that two endings can be compared: one in trouble, and one without.

A run that met with trouble must leave the same rows as one that ended in the same way without any: this finds an
effect that was doubled, or left behind, without being told what the effect is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import connections

from sagas.pool import Hold, HoldState

Rows = list[dict[str, Any]]
#: By table, its rows.
Picture = Mapping[str, Rows]
#: By table, the columns that are not compared.
Columns = Mapping[str, Collection[str]]
#: In place of a column: the whole table.
ALL = "*"


def picture(databases: Sequence[str]) -> dict[str, Rows]:
    """Read every table of the project's own apps, and Django's of users and groups: not those of the engine."""
    found: dict[str, Rows] = {}
    own = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True) if _is_own(model)})
    for database in databases:
        connection = connections[database]
        quoted = {table: connection.ops.quote_name(table) for table in own}
        with connection.cursor() as cursor:
            # What is migrated here, and is a table: a view says what tables say.
            cursor.execute(
                "SELECT own.name FROM unnest(%s, %s) AS own (name, quoted) "
                "JOIN pg_class ON pg_class.oid = to_regclass(own.quoted) WHERE relkind IN ('r', 'p')",
                [list(quoted), list(quoted.values())],
            )
            tables = sorted(name for (name,) in cursor.fetchall())
            if not tables:
                continue
            parts = [f"SELECT %s, to_jsonb(entry.*)::text FROM {quoted[table]} AS entry" for table in tables]
            cursor.execute(" UNION ALL ".join(parts), tables)
            for table, row in cursor.fetchall():
                found.setdefault(f"{database}: {table}" if database != "default" else table, []).append(json.loads(row))
    return found


def _is_own(model: Any) -> bool:
    app = model._meta.app_config.name
    if app == "django.contrib.auth":
        return bool(model._meta.model_name != "permission")
    return bool(app != "sagas" and not app.startswith("django."))


def columns_of(names: Iterable[str]) -> dict[str, set[str]]:
    """Columns by table, of ``"table.column"`` and of ``"table"``, which means all of it."""
    found: dict[str, set[str]] = {}
    for name in names:
        table, dot, column = name.rpartition(".")
        found.setdefault(table if dot else name, set()).add(column if dot else ALL)
    return found


def joined(*columns: Columns) -> dict[str, set[str]]:
    """All of these columns; a copy."""
    found: dict[str, set[str]] = {}
    for some in columns:
        for table, names in some.items():
            found.setdefault(table, set()).update(names)
    return found


def volatile(one: Picture, other: Picture) -> dict[str, set[str]]:
    """Columns that differ although the same happened: numbers that are counted up, times, what is drawn by lot."""
    return {
        table: {
            column
            for column in {name for row in one.get(table, []) for name in row}
            if _values(one.get(table, []), column) != _values(other.get(table, []), column)
        }
        for table in {*one, *other}
    }


def differences(wanted: Picture, found: Picture, ignored: Columns) -> list[str]:
    """Say which rows are there and should not be, and the other way round."""
    said: list[str] = []
    for table in sorted({*wanted, *found}):
        columns = ignored.get(table, ())
        if ALL in columns:
            continue
        should, does = (_count(rows.get(table, []), columns) for rows in (wanted, found))
        said += [f"{table} has not: {row}" for row in (should - does).elements()]
        said += [f"{table} has besides: {row}" for row in (does - should).elements()]
    return said


def remnants(before: Picture, after: Picture, ignored: Columns, leaves: Collection[str]) -> list[str]:
    """Say what a run that was undone has left, and what it has changed of what was there before it.

    Args:
        before: what the tables said when the run had begun.
        after: and when it had ended.
        ignored: columns that are not compared.
        leaves: tables, of which rows may be left, and ``"table.column"``, which may be changed.
    """
    columns = joined(ignored, columns_of(name for name in leaves if "." in name))
    # A hold that was cancelled stays as a record, and holds nothing.
    holds = {model._meta.db_table for model in apps.get_models() if issubclass(model, Hold)}
    kept = {
        table: [row for row in rows if table.split(": ")[-1] not in holds or row["state"] != HoldState.CANCELLED]
        for table, rows in after.items()
    }
    said = []
    for table in sorted({*before, *kept}):
        rows = differences({table: before.get(table, [])}, {table: kept.get(table, [])}, columns)
        said += [line for line in rows if table not in leaves or not line.startswith(f"{table} has besides")]
    return said


def spoiled(before: Picture, wanted: Picture, found: Picture, ignored: Columns) -> list[str]:
    """Say which rows are not what they were before, and are without any trouble: all of each is compared."""
    said: list[str] = []
    for table, rows in before.items():
        if ALL not in ignored.get(table, ()):
            kept = _count(rows, ()) & _count(wanted.get(table, []), ())
            said += [f"{table} has not any more: {row}" for row in (kept - _count(found.get(table, []), ())).elements()]
    return said


def _values(rows: Rows, column: str) -> Counter[str]:
    return Counter(json.dumps(row.get(column), sort_keys=True) for row in rows)


def _count(rows: Rows, ignored: Collection[str]) -> Counter[str]:
    compared = ({k: v for k, v in row.items() if k not in ignored} for row in rows)
    return Counter(json.dumps(row, sort_keys=True) if row else "a row" for row in compared)
