"""The TCC resource over batches: stock that spoils. An item has several rows, and what spoils first goes first.

A request names items. Which batches a run gets of them is decided by ``try_``, under the lock of the item's own batch
(see ``Batch``); a hold names its batch. A demand may span batches, and then it has a hold of each.

An item of which there is no other batch than its own costs the statements of an ordinary pool. The others are looked
for by the same statement; where it finds some, two more choose and take.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS

from sagas.db import array, uuid_array
from sagas.definition.participants import Call, RequestT_contra
from sagas.errors import DefinitionError, Rejected
from sagas.pool.models import Batch, HoldDay, HoldState, TimedHold
from sagas.pool.resource import Demand, Level, PoolResource

#: Between an item and the number of a batch of it.
SEPARATOR = "#"
#: Of ``other``: a batch of which something may be held, if it is good for long enough.
_GOOD = "other.recalled_at IS NULL AND (other.spoils_at IS NULL OR other.spoils_at > clock_timestamp())"


def item_of(key: str) -> str:
    """The item of a batch that is not the item's own."""
    return key.rpartition(SEPARATOR)[0]


@dataclass(slots=True)
class Left:
    """What is left of a batch, while the calls of a cohort take from it one after the other."""

    key: str
    spoils_at: datetime | None
    available: int

    def outlives(self, moment: datetime | None) -> bool:
        """Whether it is good until then. What was promised for no known time takes only what never spoils."""
        return self.spoils_at is None or (moment is not None and self.spoils_at >= moment)


class BatchResource(PoolResource[RequestT_contra]):
    """A ``TccResource`` over the batches of items. Arguments that are not described here are those of ``PoolResource``.

    Args:
        pool: the model of the batches.
        item: its field that names the item, with an index for the rows that are not the item's own batch.
        demand: a function of the request that returns ``{item: quantity}``.
        needed_until: a function of the request that returns the time at which what is held must still be good, or
            ``None`` if that is not known.
        margin: how much longer it must be good.
        days: the model that keeps what the holds of pruned runs did.

    Raises:
        DefinitionError: the model of the batches has no such field.
    """

    pool: type[Batch]
    hold: type[TimedHold]

    def __init__(
        self,
        *,
        pool: type[Batch],
        item: str,
        hold: type[TimedHold],
        days: type[HoldDay],
        demand: Demand[RequestT_contra],
        needed_until: Callable[[RequestT_contra], datetime | None],
        margin: timedelta = timedelta(0),
        rejection: type[Rejected] = Rejected,
        database: str = DEFAULT_DB_ALIAS,
    ) -> None:
        super().__init__(pool=pool, hold=hold, demand=demand, rejection=rejection, database=database)
        column = next((field.column for field in pool._meta.concrete_fields if field.name == item), None)
        if column is None:
            msg = f"{pool._meta.label} has no column {item!r} that names the item"
            raise DefinitionError(msg)
        self.item = str(column)
        self.days = days
        self.needed_until = needed_until
        self.margin = margin

    # -- Try ------------------------------------------------------------------------------------------

    @cached_property
    def _first_take_sql(self) -> str:
        """Take from the items' own batches, unless one of the items has another that may be good."""
        return self._write_take_sql(
            f'EXISTS (SELECT FROM "{self.pool._meta.db_table}" AS other WHERE other."{self.item}" = locked.key '
            f'AND other.key <> other."{self.item}" AND {_GOOD})'
        )

    def _divide(
        self, asked: Sequence[tuple[Call[Any], Mapping[Any, int]]], levels: Mapping[Any, Level]
    ) -> Iterator[Mapping[Any, int] | Rejected]:
        own = {key: [Left(key, None, level.available)] for key, level in levels.items() if not level.over}
        several = [key for key, level in levels.items() if level.over]
        batches = {**own, **self.read_good(several)} if several else own
        for call, demand in asked:
            yield self.share(batches, demand, self.moment(call.request))

    def moment(self, request: Any) -> datetime | None:
        """Until when what a request wants must be good."""
        until = self.needed_until(request)
        return None if until is None else until + self.margin

    def read_good(self, items: Iterable[Any]) -> dict[str, list[Left]]:
        """Read the batches of items that are neither spoiled nor recalled, under the locks of the items' own batches.

        The first to spoil comes first. Only who has these locks changes a batch, so nothing changes what was read.
        """
        batches: dict[str, list[Left]] = defaultdict(list)
        for item, key, spoils_at, available in self._execute(
            f'SELECT "{self.item}", key, spoils_at, available FROM "{self.pool._meta.db_table}" AS other '
            f'WHERE "{self.item}" = ANY(%s{self._keys}) AND {_GOOD} ORDER BY spoils_at NULLS LAST, key',
            [array(sorted(items))],
        ):
            batches[item].append(Left(key, spoils_at, available))
        return batches

    def share(
        self, batches: Mapping[str, Sequence[Left]], demand: Mapping[Any, int], until: datetime | None
    ) -> dict[str, int] | Rejected:
        """Take what is demanded out of batches that outlive a time; or, if there is too little, nothing."""
        shares: dict[str, int] = {}
        missing: dict[Any, int] = {}
        for item, quantity in demand.items():
            fit = [batch for batch in batches.get(item, ()) if batch.outlives(until)]
            if (there := sum(batch.available for batch in fit)) < quantity:
                missing[item] = there
                continue
            wanted = quantity
            for batch in fit:
                if part := min(wanted, batch.available):
                    shares[batch.key] = part
                    wanted -= part
            if not quantity:
                # A hold of nothing, as of any pool.
                shares[item] = 0
        if missing:
            return self._too_little(demand, missing)
        taken = {batch.key: batch for item in demand for batch in batches.get(item, ())}
        for key, part in shares.items():
            if part:
                taken[key].available -= part
        return shares

    # -- Confirm and cancel ---------------------------------------------------------------------------

    @property
    def _others_sql(self) -> tuple[str, str]:
        """Lock the other batches of which something is held, after the items' own: see ``Batch``."""
        return (
            f'others AS MATERIALIZED (SELECT key, ctid AS version, held FROM "{self.pool._meta.db_table}" '
            f'WHERE key = ANY(ARRAY(SELECT due.key FROM due)) AND key <> "{self.item}" '
            "AND (SELECT count(*) FROM locked) > 0 ORDER BY key FOR NO KEY UPDATE), "
            "reached AS (SELECT * FROM locked UNION ALL SELECT * FROM others), ",
            "reached",
        )

    def _gain(self, into: str, quantity: str, at: str) -> str:
        """What comes back of a batch that is spoiled or recalled is thrown away.

        It is compared with the end of the hold, so that the ledger comes to the same result.
        """
        if into != "available":
            return super()._gain(into, quantity, at)
        lost = f"COALESCE({at} >= LEAST(pool.spoils_at, pool.recalled_at), false)"
        return (
            f"available = pool.available + CASE WHEN {lost} THEN 0 ELSE {quantity} END, "
            f"written_off = pool.written_off + CASE WHEN {lost} THEN {quantity} ELSE 0 END"
        )

    def _is_of(self, holds: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
        if holds == wanted:
            return True
        of_items: Counter[str] = Counter()
        for key, quantity in holds.items():
            of_items[key if key in wanted else item_of(key)] += quantity
        return dict(of_items) == wanted

    def execute(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Execute a statement in the database of the batches."""
        return self._execute(sql, params)

    # -- When old runs are pruned ----------------------------------------------------------------------

    def lock_items(self, keys: Iterable[str]) -> None:
        """Lock the items' own batches of these batches, and with them all batches of these items."""
        table = self.pool._meta.db_table
        self._execute(
            f'SELECT FROM "{table}" WHERE key IN (SELECT "{self.item}" FROM "{table}" WHERE key = ANY(%s{self._keys})) '
            "ORDER BY key FOR NO KEY UPDATE",
            [array(sorted(keys))],
        )

    def _delete(self, ids: Sequence[UUID]) -> list[tuple[Any, ...]]:
        """Delete ended holds, and keep what they did on which day."""
        hold, table = self.hold._meta.db_table, self.pool._meta.db_table
        found = self._execute(
            f'SELECT DISTINCT pool_key FROM "{hold}" WHERE run_id = ANY(%s::uuid[]) AND state <> %s',
            [uuid_array(ids), HoldState.HELD],
        )
        if not found:
            return []
        # Before the days: whoever changes these has the items' locks.
        self.lock_items(key for (key,) in found)
        return self._execute(
            f'WITH gone AS (DELETE FROM "{hold}" WHERE run_id = ANY(%s::uuid[]) AND state <> %s '
            "RETURNING pool_key, quantity, state, held_at, ended_at), "
            f"event AS ({events_sql('gone', table)}), "
            f'kept AS (INSERT INTO "{self.days._meta.db_table}" AS kept (pool_key, day, taken, sold, returned, lost) '
            "SELECT pool_key, (at AT TIME ZONE 'UTC')::date, sum(taken), sum(sold), sum(returned), sum(lost) "
            "FROM event GROUP BY 1, 2 ORDER BY 1, 2 ON CONFLICT (pool_key, day) DO UPDATE SET "
            "taken = kept.taken + EXCLUDED.taken, sold = kept.sold + EXCLUDED.sold, "
            "returned = kept.returned + EXCLUDED.returned, lost = kept.lost + EXCLUDED.lost) "
            "SELECT pool_key, quantity, state FROM gone",
            [uuid_array(ids), HoldState.HELD],
        )


def events_sql(holds: str, batches: str) -> str:
    """Write a query of what holds have done, and when: ``pool_key, at, taken, sold, returned, lost``.

    Args:
        holds: the table of the holds, or a common table expression with its columns.
        batches: the table of their batches.
    """
    lost = "COALESCE(hold.ended_at >= LEAST(batch.spoils_at, batch.recalled_at), false)"
    return (
        "SELECT pool_key, held_at AS at, quantity::bigint AS taken, 0::bigint AS sold, 0::bigint AS returned, "
        f'0::bigint AS lost FROM "{holds}" WHERE held_at IS NOT NULL UNION ALL '
        "SELECT pool_key, ended_at, 0, CASE WHEN state = 'CONFIRMED' THEN quantity ELSE 0 END, "
        f"CASE WHEN state = 'CANCELLED' AND NOT {lost} THEN quantity ELSE 0 END, "
        f"CASE WHEN state = 'CANCELLED' AND {lost} THEN quantity ELSE 0 END "
        f'FROM "{holds}" AS hold LEFT JOIN "{batches}" AS batch ON batch.key = pool_key WHERE ended_at IS NOT NULL'
    )
