"""Statements prepared on the server: planning the engine's statements costs more than executing them.

The text stays the engine's own; only its parameters travel apart from it. What cannot be prepared is executed as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from types import NoneType
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extensions import AsIs, adapt

_VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


class Statements:
    """The statements that one database prepares, tried on a connection where a failure harms nobody.

    Args:
        scratch: that connection, in autocommit.
    """

    def __init__(self, scratch: Any) -> None:
        self.scratch = scratch
        self._known: dict[str, tuple[str, str] | None] = {}

    def find(self, query: str, params: Sequence[Any]) -> tuple[str, str] | None:
        """The name under which it is prepared, and the SQL that does so; nothing, if it cannot be."""
        try:
            return self._known[query]
        except KeyError:
            found = self._known[query] = self._try(query, params)
            return found

    def _try(self, query: str, params: Sequence[Any]) -> tuple[str, str] | None:
        parts = query.split("%s")
        if len(parts) - 1 != len(params) or not query.lstrip(" (\n").upper().startswith(_VERBS):
            return None
        if any("%" in part.replace("%%", "") for part in parts):
            return None
        name = f"s{len(self._known)}"
        # Where PostgreSQL cannot tell what a parameter is, it is what psycopg2 would have said.
        for casts in ([""] * len(params), [_cast(param) for param in params]):
            places = [f"${n}{cast}" for n, cast in enumerate(casts, 1)]
            text = "".join(chain.from_iterable(zip(parts, [*places, ""], strict=True))).replace("%%", "%")
            sql = f"PREPARE {name} AS {text}; "
            try:
                with self.scratch.cursor() as cursor:
                    cursor.execute(sql)
            except psycopg2.Error:
                continue
            return name, sql
        return None


def _cast(value: Any) -> str:
    """What psycopg2 writes behind a value of a type that has no literal of its own."""
    if isinstance(value, timedelta):
        return "::interval"
    if isinstance(value, list) and value and all(isinstance(member, str) for member in value):
        return "::text[]"
    return "::text" if isinstance(value, str) else ""


def execution(name: str, params: Sequence[Any], connection: Any) -> str:
    """SQL that executes a prepared statement."""
    return (
        f"EXECUTE {name}({', '.join(_literal(param, connection) for param in params)})" if params else f"EXECUTE {name}"
    )


def _literal(value: Any, connection: Any) -> str:
    simple = _LITERALS.get(type(value))
    if simple is not None:
        return simple(value)
    if isinstance(value, list):
        # As text: its type is the parameter's, whatever its members look like.
        value = "{" + ",".join(map(_member, value)) + "}"
    adapted = adapt(value)
    if not isinstance(adapted, AsIs) and hasattr(adapted, "prepare"):
        adapted.prepare(connection)
    quoted = adapted.getquoted()
    return quoted.decode() if isinstance(quoted, bytes) else str(quoted)


#: What needs no adapter of psycopg2's, which takes several calls a value.
_LITERALS: dict[type, Callable[[Any], str]] = {
    int: str,
    float: str,
    bool: str,
    NoneType: lambda _: "NULL",
    UUID: lambda value: f"'{value}'",
    # As the standard has it: a backslash is one.
    str: lambda value: "'" + value.replace("'", "''") + "'",
}


def _member(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return f'"{value.isoformat()}"'
    if isinstance(value, int | float | UUID) and not isinstance(value, bool):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
