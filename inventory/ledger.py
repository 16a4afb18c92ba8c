"""The ledger of a batch: what changed its counts, and when. It is read from people's moves and the holds of runs.

The holds say when they began and ended. Before they are pruned with their runs, they are added up by day (UTC), so from
then on a day is known and not the moment. Nothing is written for it while orders are placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from sagas.pool.batches import events_sql


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of a batch at one time."""

    available: int = 0
    held: int = 0
    sold: int = 0
    written_off: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A change of the counts: a move of a person, or what runs did on one day.

    Attributes:
        at: when; of runs, the start of the day (UTC).
        what: the kind of the move; or ``TAKEN``, ``SOLD``, ``RETURNED`` or ``LOST``: what runs held, bought, gave back,
            or gave back when the batch was spoiled or recalled.
        change: by how much each count changed.
        reason: why, of a move.
        by: who, of a move.
    """

    at: datetime
    what: str
    change: Counts
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the counts of a batch were, what changed them, and what they were then.

    Attributes:
        opening: the counts before.
        lines: the changes, in their order.
        closing: the counts after them.
        counted: the counts of the batch's row now, if the explanation reaches until now; they must be the closing ones.
    """

    opening: Counts
    lines: Sequence[Line]
    closing: Counts
    counted: Counts | None

    @property
    def is_right(self) -> bool:
        """Whether the ledger comes to what the batch counts."""
        return self.counted in {None, self.closing}


#: Every change of the counts of batches: the moves one by one, the holds by day. ``held_at`` and ``ended_at`` of a hold
#: are two events.
_EVENTS = f"""
event AS (
    SELECT batch, at, kind AS what, available, held, sold, written_off, reason, by, id FROM inventory_move
    UNION ALL
    SELECT batch, day, what, to_available * n, to_held * n, to_sold * n, lost_then * n, '', '', 0 FROM (
        SELECT pool_key AS batch, (day::timestamp AT TIME ZONE 'UTC') AS day, sum(taken) AS taken, sum(sold) AS sold,
            sum(returned) AS returned, sum(lost) AS lost
        FROM (
            SELECT pool_key, (at AT TIME ZONE 'UTC')::date AS day, taken, sold, returned, lost
            FROM ({events_sql("inventory_skuhold", "inventory_batch")}) AS hold_event
            UNION ALL SELECT pool_key, day, taken, sold, returned, lost FROM inventory_skuholdday
        ) AS of_runs GROUP BY 1, 2
    ) AS days CROSS JOIN LATERAL (VALUES
        ('TAKEN', taken, -1, 1, 0, 0), ('SOLD', days.sold, 0, -1, 1, 0), ('RETURNED', returned, 1, -1, 0, 0),
        ('LOST', lost, 0, -1, 0, 1)
    ) AS shift(what, n, to_available, to_held, to_sold, lost_then) WHERE n > 0
)
"""
_COUNTS = ("available", "held", "sold", "written_off")


def explain(*, batch: str, since: datetime, until: datetime) -> Explanation:
    """Explain the counts of a batch from the start of a day (UTC) to that of another.

    One statement reads everything, so what it compares is of one time.
    """
    found = _query(
        f"WITH {_EVENTS}, own AS (SELECT * FROM event WHERE batch = %(batch)s AND at < %(until)s) "
        "SELECT NULL AS at, 'OPENING' AS what, "
        + ", ".join(f"COALESCE(sum({name}), 0)::bigint" for name in _COUNTS)
        + ", '', '', 0 FROM own WHERE at < %(since)s "
        f"UNION ALL SELECT at, what, {', '.join(f'{name}::bigint' for name in _COUNTS)}, reason, by, id FROM own "
        "WHERE at >= %(since)s "
        "UNION ALL SELECT clock_timestamp(), 'COUNTED', available, held, sold, written_off, '', '', 0 "
        "FROM inventory_batch WHERE key = %(batch)s ORDER BY 1 NULLS FIRST, 8",
        {"batch": batch, "since": since, "until": until},
    )
    opening, closing, lines, counted = Counts(), Counts(), [], None
    for at, what, available, held, sold, written_off, reason, by, _ in found:
        change = Counts(available, held, sold, written_off)
        if what == "COUNTED":
            counted = change if at < until else None
        elif what == "OPENING":
            opening = closing = change
        else:
            closing = _add(closing, change)
            lines.append(Line(at, what, change, reason, by))
    return Explanation(opening, lines, closing, counted)


#: What each batch counts, and what the ledger comes to: ``key``, the counts, and the same as ``ledger_…``.
COMPARED = (
    f"WITH {_EVENTS}, total AS (SELECT batch, "
    + ", ".join(f"sum({name})::bigint AS {name}" for name in _COUNTS)
    + " FROM event GROUP BY batch) SELECT row.key, "
    + ", ".join(f"row.{name}" for name in _COUNTS)
    + ", "
    + ", ".join(f"COALESCE(total.{name}, 0) AS ledger_{name}" for name in _COUNTS)
    + " FROM inventory_batch AS row LEFT JOIN total ON total.batch = row.key"
)
#: Of a row of it: whether the two differ.
DIFFERS = f"({', '.join(_COUNTS)}) <> ({', '.join(f'ledger_{name}' for name in _COUNTS)})"


def unexplained() -> list[tuple[str, Counts, Counts]]:
    """List the batches whose counts are not what the ledger comes to: key, counts, and what the ledger says."""
    rows = _query(f"SELECT * FROM ({COMPARED}) AS compared WHERE {DIFFERS} ORDER BY key", {})
    return [(row[0], Counts(*row[1:5]), Counts(*row[5:9])) for row in rows]


def comes_to(batch: str) -> Counts:
    """What the ledger of a batch comes to now."""
    found = _query(f"SELECT * FROM ({COMPARED}) AS compared WHERE key = %(batch)s", {"batch": batch})
    return Counts(*found[0][5:9])


def _add(counts: Counts, change: Counts) -> Counts:
    return Counts(*(getattr(counts, name) + getattr(change, name) for name in _COUNTS))


def _query(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
