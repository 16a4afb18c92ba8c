"""Reads the project's tables, so that the ends of two runs can be compared: one with a fault and one without.

Both must leave the same rows. The comparison finds effects that were doubled or left behind, without knowing what the
effects are.
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
#: The rows of each table.
Snapshot = Mapping[str, Rows]
#: Columns of each table, such as those that are not compared.
Columns = Mapping[str, Collection[str]]
#: Stands for all columns of a table.
ALL = "*"


def take_snapshot(databases: Sequence[str]) -> dict[str, Rows]:
    """Read all tables of the project's apps, and those of Django's users and groups, but not those of the engine."""
    found: dict[str, Rows] = {}
    own = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True) if _is_own(model)})
    for database in databases:
        connection = connections[database]
        quoted = {table: connection.ops.quote_name(table) for table in own}
        with connection.cursor() as cursor:
            # Only tables that exist in this database. Views are left out: they show rows of tables.
            cursor.execute(
                "SELECT own.name FROM unnest(%s::text[], %s::text[]) AS own (name, quoted) "
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
    """Parse names of columns, as ``"table.column"``, or ``"table"`` for all columns of a table."""
    found: dict[str, set[str]] = {}
    for name in names:
        table, dot, column = name.rpartition(".")
        found.setdefault(table if dot else name, set()).add(column if dot else ALL)
    return found


def merged_columns(*columns: Columns) -> dict[str, set[str]]:
    """Merge several maps of columns into a new one."""
    found: dict[str, set[str]] = {}
    for some in columns:
        for table, names in some.items():
            found.setdefault(table, set()).update(names)
    return found


def volatile_columns(one: Snapshot, other: Snapshot) -> dict[str, set[str]]:
    """Find columns that differ although the same happened, such as serial numbers, times and random values."""
    return {
        table: {
            column
            for column in {name for row in one.get(table, []) for name in row}
            if _values(one.get(table, []), column) != _values(other.get(table, []), column)
        }
        for table in {*one, *other}
    }


def differences(wanted: Snapshot, found: Snapshot, ignored: Columns) -> list[str]:
    """Describe missing rows and unexpected rows."""
    lines: list[str] = []
    for table in sorted({*wanted, *found}):
        columns = ignored.get(table, ())
        if ALL in columns:
            continue
        should, does = (_count(rows.get(table, []), columns) for rows in (wanted, found))
        lines += [f"{table}: missing row {row}" for row in (should - does).elements()]
        lines += [f"{table}: unexpected row {row}" for row in (does - should).elements()]
    return lines


def remnants(before: Snapshot, after: Snapshot, ignored: Columns, leaves: Collection[str]) -> list[str]:
    """Describe the rows that an undone run has left, and the earlier rows that it has changed.

    Args:
        before: the tables when the run had begun.
        after: the tables when the run had ended.
        ignored: columns that are not compared.
        leaves: tables in which rows may be left, and ``"table.column"`` for columns that may change.
    """
    columns = merged_columns(ignored, columns_of(name for name in leaves if "." in name))
    lines = []
    before, after = _without_cancelled_holds(before), _without_cancelled_holds(after)
    for table in sorted({*before, *after}):
        rows = differences({table: before.get(table, [])}, {table: after.get(table, [])}, columns)
        lines += [line for line in rows if table not in leaves or not line.startswith(f"{table}: unexpected row")]
    return lines


def _without_cancelled_holds(tables: Snapshot) -> Snapshot:
    """A cancelled hold stays as a record only, whether of this run or of an earlier one."""
    holds = {model._meta.db_table for model in apps.get_models() if issubclass(model, Hold)}
    return {
        table: [row for row in rows if table.split(": ")[-1] not in holds or row["state"] != HoldState.CANCELLED]
        for table, rows in tables.items()
    }


def altered_rows(before: Snapshot, wanted: Snapshot, found: Snapshot, ignored: Columns) -> list[str]:
    """Describe earlier rows that only the run with a fault has changed. All columns are compared."""
    lines: list[str] = []
    for table, rows in before.items():
        if ALL not in ignored.get(table, ()):
            kept = _count(rows, ()) & _count(wanted.get(table, []), ())
            lines += [
                f"{table}: changed or deleted row {row}" for row in (kept - _count(found.get(table, []), ())).elements()
            ]
    return lines


def _values(rows: Rows, column: str) -> Counter[str]:
    return Counter(json.dumps(row.get(column), sort_keys=True) for row in rows)


def _count(rows: Rows, ignored: Collection[str]) -> Counter[str]:
    compared = ({k: v for k, v in row.items() if k not in ignored} for row in rows)
    return Counter(json.dumps(row, sort_keys=True) if row else "a row" for row in compared)
