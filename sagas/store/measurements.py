"""SQL of what processes have counted and measured: added up by minute, and folded into one row of each series.

A flush adds to rows of the minute by the database's clock, in the order of their keys. Rows of old minutes are added to
the series' base row and deleted by one statement. So a reader sees each number once, and no counter falls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from sagas.metrics.instruments import Histogram, Instrument
from sagas.metrics.sums import Cell, Key
from sagas.store.runs import execute

#: The minute of the rows to which old ones are added.
BASE = "1970-01-01 00:00:00+00"
#: Processes that write at the same time do so into different rows, if they have different shards.
SHARDS = 8
#: Minutes that are kept apart: no flush writes into older ones, unless the database's clock was set back.
KEPT = "2 minutes"
#: Rows that one statement folds.
FOLDED = 2000

_KEY = "name, labels, layout"


@dataclass(frozen=True, slots=True)
class Total:
    """A series: the values of its labels, and all that was ever added up for it."""

    name: str
    labels: tuple[str, ...]
    layout: int
    cell: Cell


def add(cells: Mapping[Key, Cell], instruments: Mapping[str, Instrument], *, shard: int) -> None:
    """Add sums to this minute's rows, in one statement: all of them, or none."""
    rows = sorted(
        (key.name, json.dumps(key.labels, ensure_ascii=False), _layout(instruments.get(key.name)), cell)
        for key, cell in cells.items()
        if key.name in instruments
    )
    if not rows:
        return
    execute(
        f"INSERT INTO sagas_measurement AS mine ({_KEY}, shard, minute, value, buckets) "
        "SELECT name, labels, layout, %s, date_trunc('minute', statement_timestamp()), value, buckets::bigint[] "
        "FROM unnest(%s::text[], %s::text[], %s::int[], %s::numeric(38, 9)[], %s::text[]) "
        # In the order of the key, so that two flushes never wait for each other.
        f"AS v(name, labels, layout, value, buckets) ORDER BY {_KEY} "
        f"ON CONFLICT ({_KEY}, shard, minute) DO UPDATE SET value = mine.value + EXCLUDED.value, "
        f"buckets = {_ADDED}",
        [
            shard,
            [name for name, _, _, _ in rows],
            [labels for _, labels, _, _ in rows],
            [layout for _, _, layout, _ in rows],
            [f"{cell.value:.9f}" for _, _, _, cell in rows],
            [_array(cell.buckets) for _, _, _, cell in rows],
        ],
    )


#: Both arrays have as many elements: the layout is in the key.
_ADDED = (
    "(SELECT array_agg(a + b ORDER BY number) FROM unnest(mine.buckets, EXCLUDED.buckets) "
    "WITH ORDINALITY AS pair(a, b, number))"
)


def _layout(instrument: Instrument | None) -> int:
    return instrument.layout if isinstance(instrument, Histogram) else 0


def _array(buckets: Sequence[int]) -> str | None:
    return f"{{{','.join(map(str, buckets))}}}" if buckets else None


#: The rows of ``{0}`` by series. The buckets are added up in a query of their own, because each has a row then.
_SUMMED = (
    f"summed AS (SELECT {_KEY}, sum(value) AS value FROM {{0}} GROUP BY {_KEY}), "
    f"filled AS (SELECT {_KEY}, array_agg(total ORDER BY number) AS buckets FROM (SELECT {_KEY}, number, "
    f"sum(one)::bigint AS total FROM {{0}}, unnest(buckets) WITH ORDINALITY AS bucket(one, number) "
    f"GROUP BY {_KEY}, number) AS totals GROUP BY {_KEY})"
)


def fold() -> int:
    """Add the rows of old minutes to their series' base rows, in one statement; return how many.

    Rows that another process is folding are left to it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH old AS (SELECT {_KEY}, shard, minute FROM sagas_measurement WHERE minute > %s "
            f"AND minute < statement_timestamp() - interval '{KEPT}' "
            f"ORDER BY {_KEY}, shard, minute LIMIT {FOLDED} FOR UPDATE SKIP LOCKED), "
            "gone AS (DELETE FROM sagas_measurement AS m USING old WHERE (m.name, m.labels, m.layout, m.shard, "
            "m.minute) = (old.name, old.labels, old.layout, old.shard, old.minute) RETURNING m.*), "
            f"{_SUMMED.format('gone')}, "
            f"kept AS (INSERT INTO sagas_measurement AS mine ({_KEY}, shard, minute, value, buckets) "
            f"SELECT {_KEY}, 0, %s, value, buckets FROM summed LEFT JOIN filled USING ({_KEY}) ORDER BY {_KEY} "
            f"ON CONFLICT ({_KEY}, shard, minute) DO UPDATE SET value = mine.value + EXCLUDED.value, "
            f"buckets = {_ADDED}) "
            "SELECT count(*) FROM gone",
            [BASE, BASE],
        )
        return int(cursor.fetchone()[0])


def totals() -> Iterable[Total]:
    """All series, each with all that was added up for it, as of one moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {_SUMMED.format('sagas_measurement')} SELECT {_KEY}, value, buckets "
            f"FROM summed LEFT JOIN filled USING ({_KEY}) ORDER BY {_KEY}"
        )
        return [
            Total(name, tuple(json.loads(labels)), layout, Cell(float(value), list(buckets or ())))
            for name, labels, layout, value, buckets in cursor.fetchall()
        ]
