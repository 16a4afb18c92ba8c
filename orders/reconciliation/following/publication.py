"""What must be there before the write-ahead log can be followed: the publication, its tables' identities, and a role.

All of it is made by the owner of the tables, by ``manage.py reconcile follow --prepare``; with ``--dry-run`` it is only
printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import connection

from orders.reconciliation.following.sources import TABLES
from sagas.db import array

#: Of all tables, and of those of which only what is added is published.
NAME: Final = "drinkgroup_reconcile"
ADDED: Final = f"{NAME}_added"
NAMES: Final = f"{NAME},{ADDED}"
#: Column lists of publications came with it.
OLDEST: Final = 150_000

_INDEX = """
    SELECT i.indexrelid::regclass::text, i.indisreplident FROM pg_index AS i
    WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
        AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM pg_attribute AS a
            WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[])) = %s::text[]
    ORDER BY 2 DESC, 1 LIMIT 1"""

_IDENTITY = """
    SELECT c.relreplident::text, (SELECT array_agg(a.attname::text) FROM pg_index AS i
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[])
        WHERE i.indrelid = c.oid AND i.indisprimary)
    FROM pg_class AS c WHERE c.oid = %s::regclass"""


class NotPrepared(Exception):
    """The log cannot be followed; the text says why, and what to do."""


def check_server() -> None:
    """Raise `NotPrepared` unless this server writes what is followed."""
    ((version, level),) = _rows("SELECT current_setting('server_version_num')::int, current_setting('wal_level')")
    if version < OLDEST:
        msg = f"PostgreSQL {version // 10_000} publishes no lists of columns: that takes 15 or later."
        raise NotPrepared(msg)
    if level != "logical":
        msg = f"wal_level is {level}. Set wal_level = logical in postgresql.conf, and restart PostgreSQL."
        raise NotPrepared(msg)


def check_publication() -> None:
    """Raise `NotPrepared` unless what is published is what is followed."""
    if any(_published(name) != _wanted(name) for name in (NAME, ADDED)):
        msg = "What is published is not what is followed. Run `manage.py reconcile follow --prepare` as the owner."
        raise NotPrepared(msg)


def _wanted(name: str) -> dict[str, list[str]]:
    return {table: of_it.columns for table, of_it in TABLES.items() if of_it.inserts_only is (name == ADDED)}


def _published(name: str) -> dict[str, list[str]]:
    rows = _rows("SELECT tablename::text, attnames::text[] FROM pg_publication_tables WHERE pubname = %s", name)
    return {table: sorted(columns) for table, columns in rows}


def statements(*, role: str = "") -> list[str]:
    """The SQL that is missing, in order.

    Args:
        role: one that is to read the slot, with REPLICATION and SELECT on what is published; none is made without it.
    """
    found = []
    for table, of_it in TABLES.items():
        if of_it.identity:
            index, is_identity = _index(table, of_it.identity)
            if not is_identity:
                # First: a published table whose identity is not among its columns refuses updates and deletions.
                found.append(f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {index}")
        elif not of_it.inserts_only and _rows(_IDENTITY, table) != [("d", [of_it.primary])]:
            msg = f"{table} has another replica identity than its primary key, {of_it.primary}."
            raise NotPrepared(msg)
    for name, publishes in ((NAME, "insert, update, delete, truncate"), (ADDED, "insert, truncate")):
        if _published(name) != (wanted := _wanted(name)):
            listed = ", ".join(f"{table} ({', '.join(columns)})" for table, columns in wanted.items())
            is_there = _rows("SELECT FROM pg_publication WHERE pubname = %s", name)
            found.append(
                f"ALTER PUBLICATION {name} SET TABLE {listed}"
                if is_there
                else f"CREATE PUBLICATION {name} FOR TABLE {listed} WITH (publish = '{publishes}')"
            )
    if role:
        quoted = connection.ops.quote_name(role)
        if not _rows("SELECT FROM pg_roles WHERE rolname = %s", role):
            found.append(f"CREATE ROLE {quoted} LOGIN REPLICATION")
        found += [f"GRANT SELECT ({', '.join(of_it.columns)}) ON {t} TO {quoted}" for t, of_it in TABLES.items()]
    return found


def prepare(*, role: str = "") -> list[str]:
    """Execute what is missing; return it."""
    made = statements(role=role)
    with connection.cursor() as cursor:
        # Each statement by itself: an identity takes the table's lock for a moment, and nobody waits for many.
        for sql in made:
            cursor.execute(sql)
    return made


def _index(table: str, columns: Sequence[str]) -> tuple[str, bool]:
    rows = _rows(_INDEX, table, array(sorted(columns)))
    if not rows:
        msg = f"{table} has no unique index of {', '.join(columns)}: migrate first."
        raise NotPrepared(msg)
    index, is_identity = rows[0]
    return index, is_identity


def _rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
