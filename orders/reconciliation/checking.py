"""Check invariants, some keys at a time: memory is bounded by a part, and no lock is taken.

Each invariant is a statement, which sees one moment. So orders may flow meanwhile, and a run in flight is no violation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from orders.reconciliation.invariants import INVARIANTS, by_walk
from sagas.db import array
from sagas.invariants import Invariant, Violation, Walk

#: Keys that are checked at once. A pool's counts are compared with all of its holds, which are read once for each part.
PART = 1000
POOLS = 10_000
#: Milliseconds for a statement, where a person waits for it.
PATIENCE = 600_000


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a walk that was checked.

    Attributes:
        walk: which.
        keys: the keys that were there, in order.
        invariants: what was asked about them.
        violations: what was found.
    """

    walk: Walk
    keys: Sequence[str]
    invariants: Sequence[Invariant]
    violations: Sequence[Violation]


def size_of(walk: Walk) -> int:
    """How many keys of a walk are checked at once."""
    return PART if walk.grows else POOLS


def check(keys: Sequence[str], invariants: Sequence[Invariant], *, patience: int = PATIENCE) -> list[Violation]:
    """Find what breaks these invariants, which are of one walk, at these keys.

    Args:
        keys: some keys.
        invariants: what is asked about them.
        patience: what a statement may take, in milliseconds.
    """
    found: list[Violation] = []
    if not keys:
        return found
    with transaction.atomic(), connection.cursor() as cursor:
        # Compiling a statement takes longer than executing it: PostgreSQL expects far more elements of JSON.
        cursor.execute(
            "SELECT set_config('jit', 'off', true), set_config('statement_timeout', %s, true)", [str(patience)]
        )
        for invariant in invariants:
            cursor.execute(f"SELECT key, row, run_id, data FROM ({invariant.sql}) AS found", {"keys": array(keys)})
            found += [
                Violation(invariant.name, key, row, run, _read(data)) for key, row, run, data in cursor.fetchall()
            ]
    return found


def check_all(invariants: Sequence[Invariant] = INVARIANTS) -> Iterator[Part]:
    """Check everything, part by part."""
    for walk, of_it in by_walk(invariants).items():
        after = ""
        while keys := keys_after(walk, after, size_of(walk)):
            yield Part(walk, keys, of_it, check(keys, of_it))
            after = keys[-1]


def keys_after(walk: Walk, after: str, most: int) -> list[str]:
    """The next keys of a walk, in order; ``after`` is the last one before them, or ''."""
    beyond = f"WHERE {walk.column} > %(after)s::{walk.type}" if after else f"WHERE {walk.column} IS NOT NULL"
    return texts(
        # Ordered by the column and not by its text, which has the same name.
        f"SELECT {walk.column}::text FROM {walk.table} AS walked {beyond} GROUP BY {walk.column} "
        f"ORDER BY walked.{walk.column} LIMIT %(most)s",
        {"after": after, "most": most},
    )


def texts(sql: str, params: dict[str, Any]) -> list[str]:
    """The one column of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [text for (text,) in cursor.fetchall()]


def _read(data: Any) -> dict[str, Any]:
    read = json.loads(data) if isinstance(data, str) else data
    return {name: "-" if value is None else value for name, value in read.items()}
