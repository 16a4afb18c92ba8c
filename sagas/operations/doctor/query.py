"""Queries of the probes on the engine's database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection


def rows(sql: str, params: Sequence[Any] = ()) -> list[Any]:
    """Return all rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, list(params))
        return list(cursor.fetchall())


def one(sql: str, params: Sequence[Any] = ()) -> Any:
    """Return the first row of a query that always has one."""
    return rows(sql, params)[0]
