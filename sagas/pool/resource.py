"""The TCC resource over a pool: it holds, sells and gives back by set-based statements, under the locks of the rows."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import QuerySet

from sagas import store
from sagas.db import array, uuid_array
from sagas.definition.participants import Call, Done, Operation, Outcome, RequestT_contra, set_based
from sagas.errors import DefinitionError, InvalidDemand, PoolInconsistent, Rejected
from sagas.pool.models import Hold, HoldState, Pool, TimedHold
from sagas.postgresql import prepared
from sagas.validation import why_unstorable

#: What a request wants: a quantity of each row of the pool, by primary key.
Demand = Callable[[RequestT_contra], Mapping[Any, int]]


def reserve_id(call: Call[Any]) -> str:
    """The identity of what a step of a run holds: ``<run>:<step>``. It is known before the hold is written."""
    return f"{call.run_id}:{call.step}"


def reserved(call: Call[Any]) -> Done:
    """What ``try_`` returns, and the log keeps."""
    return Done({"reserve_id": reserve_id(call)})


class Level(NamedTuple):
    """What was read of a locked row of a pool: what is available, and whether its time is over."""

    available: int
    over: bool


class PoolResource(Generic[RequestT_contra]):
    """A ``TccResource`` over a ``Pool`` and its ``Hold`` table. What ``try_`` returns has its reserve id.

    ``PoolResource[T]`` reads requests of type ``T``; a type checker infers it from ``demand``.

    Args:
        pool: the pool's model.
        hold: the model of its holds.
        demand: a function of the request that returns ``{primary key of the pool row: quantity}``. Quantities are whole
            numbers, 0 to 2,147,483,647; keys have at most 64 characters (``InvalidDemand``). It must always return the
            same for a run, because the holds of the run are compared with it.
        rejection: the exception class that is raised when a call asks for more than is available. A call gets
            everything that it asks for, or nothing.
        closes: a column of the pool: from this time on nothing more of the row can be held.
        closed: makes the rejection of a call that asks for a row whose time is over, of the row's key; ``rejection`` by
            default.
        database: the alias of the database in which both tables are, the same as that of the step.

    Raises:
        DefinitionError: the pool's keys may be longer than the holds' column for them.
    """

    def __init__(
        self,
        *,
        pool: type[Pool],
        hold: type[Hold],
        demand: Demand[RequestT_contra],
        rejection: type[Rejected] = Rejected,
        closes: str | None = None,
        closed: Callable[[Any], Rejected] | None = None,
        database: str = DEFAULT_DB_ALIAS,
    ) -> None:
        longest, room = pool._meta.pk.max_length, hold._meta.get_field("pool_key").max_length
        if longest is not None and room is not None and longest > room:
            msg = (
                f"{pool._meta.label}: its primary key has up to {longest} characters, and {hold._meta.label}.pool_key "
                f"has {room}. Give the key at most {room}"
            )
            raise DefinitionError(msg)
        self.pool = pool
        self.hold = hold
        self.demand = demand
        self.rejection = rejection
        self.closes = closes if closes is None else _column(pool, closes)
        self.closed = closed or (lambda key: rejection(f"{key} is closed"))
        self.database = database

    def lock_keys(self, call: Call[Any]) -> list[tuple[type[Pool], Any]]:
        """The pool rows that the three operations of a call lock."""
        return [(self.pool, key) for key in self.demand(call.request)]

    def holds_of(self, reserve_id: str) -> QuerySet[Any]:
        """The holds under a reserve id, as ``try_`` has returned it; none if it is no reserve id."""
        run_id, _, step = reserve_id.partition(":")
        with suppress(ValueError):
            return self.hold._default_manager.using(self.database).filter(run_id=UUID(run_id), step=step)
        return self.hold._default_manager.using(self.database).none()

    @set_based
    def try_(self, calls: Sequence[Call[RequestT_contra]]) -> list[Outcome]:
        """Hold what each call asks for, in the order of the calls, while enough is available.

        Raises:
            InvalidDemand: a hold cannot store what a call asks for.
        """
        demands = [self._asked(call) for call in calls]
        asked = list(zip(calls, demands, strict=True))
        levels, taken = self._take(asked, self._first_take_sql)
        if taken:
            return [reserved(call) for call in calls]
        outcomes: list[Outcome] = []
        fitting: list[tuple[Call[Any], Mapping[Any, int]]] = []
        for (call, demand), share in zip(asked, self._divide(asked, levels), strict=True):
            if isinstance(share, Rejected):
                outcomes.append(share)
                continue
            for key, quantity in demand.items():
                self._check_quantity(key, quantity)
            fitting.append((call, share))
            outcomes.append(reserved(call))
        if fitting and not self._take(fitting, self._take_sql)[1]:
            msg = f"{self.pool._meta.db_table}: what was there under the lock is not there any more"
            raise PoolInconsistent(msg)
        return outcomes

    def _divide(
        self, asked: Sequence[tuple[Call[Any], Mapping[Any, int]]], levels: Mapping[Any, Level]
    ) -> Iterator[Mapping[Any, int] | Rejected]:
        """Say for each call, in their order, what it takes of which locked row, or why it is refused."""
        available = {key: level.available for key, level in levels.items()}
        for _, demand in asked:
            refusal = self._refusal(demand, levels, available)
            if refusal is None:
                for key, quantity in demand.items():
                    available[key] -= quantity
            yield refusal or demand

    # When old runs are pruned; see sagas.retention.resources.Prunable.

    @property
    def label(self) -> str:
        """The table of the holds, with that of the pool."""
        return f"{self.pool._meta.db_table} {self.hold._meta.db_table}"

    def find_held(self, ids: Sequence[UUID], /) -> set[UUID]:
        """Those of these runs that have an open hold."""
        found = self._execute(
            f'SELECT run_id FROM "{self.hold._meta.db_table}" WHERE run_id = ANY(%s::uuid[]) AND state = %s',
            [uuid_array(ids), HoldState.HELD],
        )
        return {run_id for (run_id,) in found}

    def forget(self, ids: Sequence[UUID], /) -> None:
        """Delete the holds of these runs that have ended, and keep the sum of what was sold to them."""
        sold: Counter[Any] = Counter()
        for key, quantity, state in self._delete(ids):
            if state == HoldState.CONFIRMED:
                sold[self.pool._meta.pk.to_python(key)] += quantity
        if not sold:
            return
        keys = sorted(sold)
        self._lock(keys)
        with connections[self.database].cursor() as cursor:
            cursor.execute(
                f'UPDATE "{self.pool._meta.db_table}" AS pool SET settled = pool.settled + v.quantity '
                f'FROM unnest(%s{self._keys}, %s::bigint[]) AS v(key, quantity) WHERE pool."{self._key}" = v.key',
                [array(keys), array(sold[key] for key in keys)],
            )

    def _delete(self, ids: Sequence[UUID]) -> list[tuple[Any, ...]]:
        """Delete the ended holds of these runs; return the key, quantity and state of each."""
        return self._execute(
            f'DELETE FROM "{self.hold._meta.db_table}" WHERE run_id = ANY(%s::uuid[]) AND state <> %s '
            "RETURNING pool_key, quantity, state",
            [uuid_array(ids), HoldState.HELD],
        )

    def _asked(self, call: Call[Any]) -> dict[Any, int]:
        """What a call demands. Whether a quantity is too large is checked when the available quantity is known."""
        # Any: the application's function may return something else than it says.
        demand: dict[Any, Any] = dict(self.demand(call.request))
        room: int = self.hold._meta.get_field("pool_key").max_length or sys.maxsize
        for key, quantity in demand.items():
            if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 0:
                msg = f"{self.pool._meta.db_table} {_short(key)}: {_short(quantity)} is demanded; give a whole number"
                raise InvalidDemand(msg)
            name = str(key)
            if len(name) > room or why_unstorable(name):
                msg = (
                    f"{self.pool._meta.db_table}: {_short(key)} is no key of it: a hold names at most {room} characters"
                )
                raise InvalidDemand(msg)
        return demand

    def _check_quantity(self, key: object, quantity: int) -> None:
        if quantity > self._largest:
            msg = (
                f"{self.pool._meta.db_table} {_short(key)}: {quantity:,} is demanded; "
                f"a hold has at most {self._largest:,}"
            )
            raise InvalidDemand(msg)

    @cached_property
    def _largest(self) -> int:
        """The largest quantity of a hold."""
        kind = self.hold._meta.get_field("quantity").get_internal_type()
        return int(connections[self.database].ops.integer_field_range(kind)[1])

    def _refusal(
        self, demand: Mapping[Any, int], levels: Mapping[Any, Level], available: Mapping[Any, int]
    ) -> Rejected | None:
        """Why a call cannot have what it demands of locked rows; ``None`` if it can."""
        for key in demand:
            if key in levels and levels[key].over:
                return self.closed(key)
        missing = {key: available.get(key, 0) for key, quantity in demand.items() if available.get(key, 0) < quantity}
        return self._too_little(demand, missing) if missing else None

    def _too_little(self, demand: Mapping[Any, int], left: Mapping[Any, int]) -> Rejected:
        return self.rejection("; ".join(f"{key}: {demand[key]} wanted, {left[key]} left" for key in left))

    @set_based
    def confirm(self, calls: Sequence[Call[RequestT_contra]]) -> list[Outcome]:
        """Turn the holds of the calls into sales. A repeat changes nothing.

        Raises:
            PoolInconsistent: the holds of a call are not what it demands.
        """
        self._settle(calls, HoldState.CONFIRMED, "sold")
        return [Done() for _ in calls]

    @set_based
    def cancel(self, calls: Sequence[Call[RequestT_contra]]) -> list[Outcome]:
        """Give back what the calls hold. A repeat changes nothing, nor does a call without a try (null compensation).

        Raises:
            PoolInconsistent: the holds of a call are not what it demands.
        """
        self._settle(calls, HoldState.CANCELLED, "available")
        return [Done() for _ in calls]

    # -- SQL ------------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        return str(self.pool._meta.pk.column)

    def _execute(self, sql: str, params: Sequence[Any], *, rows: int | None = None) -> list[tuple[Any, ...]]:
        # Table and column names come from the models, never from a request. The connection is the step's, whatever a
        # router says: in the engine's database, effect, log and state are one commit.
        with connections[self.database].cursor() as cursor:
            if rows is None:
                cursor.execute(sql, params)
            else:
                prepared.execute(cursor, sql, params, rows=rows)
            return list(cursor.fetchall()) if cursor.description else []

    def _lock(self, keys: Iterable[Any]) -> dict[Any, int]:
        """Lock the pool rows of these keys, in order; return what is held of each."""
        return dict(
            self._execute(
                f'SELECT "{self._key}", held FROM "{self.pool._meta.db_table}" '
                f'WHERE "{self._key}" = ANY(%s{self._keys}) ORDER BY "{self._key}" FOR NO KEY UPDATE',
                [array(sorted(keys))],
            )
        )

    @cached_property
    def _keys(self) -> str:
        """The cast of an array of keys."""
        return f"::{self.pool._meta.pk.rel_db_type(connections[self.database])}[]"

    @cached_property
    def _take_sql(self) -> str:
        """Hold what is wanted of rows that are named by their keys."""
        return self._write_take_sql(self._over)

    @property
    def _first_take_sql(self) -> str:
        """How a cohort tries first. A subclass may have more ways to get what its calls want."""
        return self._take_sql

    @property
    def _over(self) -> str:
        if self.closes is None:
            return "false"
        return f'COALESCE(locked."{self.closes}" <= clock_timestamp(), false)'

    def _write_take_sql(self, over: str) -> str:
        """Lock rows in order; then, if there is enough of each, insert the holds and move their quantities.

        Nothing is taken here of a row of which ``over`` is true.

        ``locked`` has each row as its last transaction has left it, even if the lock was waited for. But an UPDATE of
        the same statement would begin with the row as it was before, and check constraints of that. So the statement
        moves quantities only of rows that nobody has changed since it began: see ``level.same``.
        """
        pool, hold = self.pool._meta.db_table, self.hold._meta.db_table
        closes = "" if self.closes is None else f', "{self.closes}"'
        began = (", held_at", ", statement_timestamp()") if self._is_timed else ("", "")
        return (
            f"WITH wanted AS MATERIALIZED (SELECT * FROM unnest(%s{self._keys}, %s::bigint[]) AS v(key, quantity)), "
            f'locked AS MATERIALIZED (SELECT "{self._key}" AS key, ctid AS version, available{closes} FROM "{pool}" '
            f'WHERE "{self._key}" = ANY(%s{self._keys}) ORDER BY "{self._key}" FOR NO KEY UPDATE), '
            f"level AS MATERIALIZED (SELECT locked.*, {over} AS over, {self._same} AS same FROM locked), "
            "met AS MATERIALIZED (SELECT %s AND (SELECT count(*) FROM wanted) = (SELECT count(*) "
            "FROM wanted JOIN level USING (key) WHERE same AND NOT over AND available >= wanted.quantity) AS yes), "
            f'noted AS (INSERT INTO "{hold}" (run_id, step, pool_key, quantity, state{began[0]}) '
            f"SELECT v.run_id, v.step, v.pool_key, v.quantity, %s{began[1]} "
            "FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[]) AS v(run_id, step, pool_key, quantity) "
            "WHERE (SELECT yes FROM met)), "
            f'shifted AS (UPDATE "{pool}" AS pool SET available = pool.available - wanted.quantity, '
            "held = pool.held + wanted.quantity FROM wanted "
            f'WHERE pool."{self._key}" = wanted.key AND pool.ctid = ANY(ARRAY(SELECT version FROM level WHERE same)) '
            "AND (SELECT yes FROM met) RETURNING 1) "
            "SELECT key, available, over, CASE WHEN (SELECT yes FROM met) THEN (SELECT count(*) FROM shifted) END "
            "FROM level"
        )

    @cached_property
    def _is_timed(self) -> bool:
        return issubclass(self.hold, TimedHold)

    @property
    def _same(self) -> str:
        """Whether a row that the statement has locked is still as it was when the statement began."""
        return (
            f'EXISTS (SELECT FROM "{self.pool._meta.db_table}" AS seen '
            f'WHERE seen."{self._key}" = locked.key AND seen.ctid = locked.version)'
        )

    def _take(self, holds: Sequence[tuple[Call[Any], Mapping[Any, int]]], sql: str) -> tuple[dict[Any, Level], bool]:
        """Hold all that the calls demand, if there is enough of every row; lock the rows in any case.

        Returns:
            The rows as they were under the lock, and whether everything is held now.
        """
        wanted: Counter[Any] = Counter()
        for _, demand in holds:
            for key, quantity in demand.items():
                wanted[key] += quantity
        if not wanted:
            return {}, True
        keys = sorted(wanted)
        held = [(call, key, quantity) for call, demand in holds for key, quantity in demand.items()]
        # A hold cannot store more. Whether so much is refused or invalid depends on what is available.
        storable = all(quantity <= self._largest for _, _, quantity in held)
        found = self._execute(
            sql,
            [
                array(keys),
                array(wanted[key] if storable else 0 for key in keys),
                array(keys),
                storable,
                HoldState.HELD,
                uuid_array(call.run_id for call, _, _ in held),
                array(call.step for call, _, _ in held),
                # As Python writes a key: holds are found by that, and PostgreSQL writes a moment in another way.
                array(str(key) for _, key, _ in held),
                array(quantity if storable else 0 for _, _, quantity in held),
            ],
            rows=prepared.ANY,
        )
        levels = {key: Level(available, over) for key, available, over, _ in found}
        met = found[0][3] if found else None
        if met is not None and met != len(keys):
            msg = f"{self.pool._meta.db_table}: {met} of {len(keys)} rows were met that are locked"
            raise PoolInconsistent(msg)
        return levels, met is not None

    @cached_property
    def _settle_sql(self) -> dict[str, str]:
        """End the open holds of runs, and move their quantities out of ``held``; by the count that they are moved into.

        The holds need no lock of their own: each belongs to one run, and the run is locked. Rows that were changed
        since the statement began are only locked; see ``_take_sql``.
        """
        pool, hold, key = self.pool._meta.db_table, self.hold._meta.db_table, self._key
        ended = ", ended_at = statement_timestamp()" if self._is_timed else ""
        others, reached = self._others_sql
        now = "statement_timestamp()"
        return {
            into: (
                f'WITH ended AS (UPDATE "{hold}" SET state = %s{ended} WHERE run_id = ANY(%s::uuid[]) AND step = %s '
                "AND state = %s RETURNING run_id, pool_key, quantity), "
                f"due AS MATERIALIZED (SELECT pool_key{self._keys[:-2]} AS key, sum(quantity)::bigint AS quantity "
                "FROM ended GROUP BY 1), "
                f'locked AS MATERIALIZED (SELECT "{key}" AS key, ctid AS version, held FROM "{pool}" '
                f'WHERE "{key}" = ANY(%s{self._keys}) ORDER BY "{key}" FOR NO KEY UPDATE), {others}'
                f'shifted AS (UPDATE "{pool}" AS pool SET held = pool.held - due.quantity, '
                f"{self._gain(into, 'due.quantity', now)} FROM due JOIN {reached} AS locked USING (key) "
                f'WHERE pool."{key}" = due.key AND locked.held >= due.quantity AND {self._same} '
                f'RETURNING pool."{key}" AS key) '
                f"SELECT run_id, pool_key, quantity, pool_key{self._keys[:-2]} IN (SELECT shifted.key FROM shifted), "
                "statement_timestamp() FROM ended"
            )
            for into in ("sold", "available")
        }

    @property
    def _others_sql(self) -> tuple[str, str]:
        """Common table expressions that lock more rows than those of the calls' keys, and the one that has them all."""
        return "", "locked"

    def _gain(self, into: str, quantity: str, at: str) -> str:  # noqa: ARG002 - for what spoils
        """The assignments that give a row back what was held of it until a time, or count it as sold."""
        return f"{into} = pool.{into} + {quantity}"

    def _settle(self, calls: Sequence[Call[Any]], state: HoldState, into: str) -> None:
        """End the open holds of the calls, and move their quantities out of ``held``."""
        demanded = [self.demand(call.request) for call in calls]
        rows = self._execute(
            self._settle_sql[into],
            [
                state,
                uuid_array(call.run_id for call in calls),
                calls[0].step,
                HoldState.HELD,
                array(sorted({key for demand in demanded for key in demand})),
            ],
            rows=prepared.ANY,
        )
        settled: dict[UUID, dict[str, int]] = defaultdict(dict)
        left: Counter[Any] = Counter()
        for run_id, key, quantity, is_moved, _ in rows:
            settled[run_id][key] = quantity
            if not is_moved:
                left[self.pool._meta.pk.to_python(key)] += quantity
        unlike = [
            call
            for call, demand in zip(calls, demanded, strict=True)
            if not self._is_of(settled.get(call.run_id, {}), {str(key): quantity for key, quantity in demand.items()})
        ]
        self._check_holds(unlike, state)
        if left:
            self._shift(left, into, rows[0][-1])

    def _shift(self, quantities: Mapping[Any, int], into: str, at: datetime) -> None:
        """Move these quantities out of ``held``, of rows that are locked and that were changed a moment before."""
        keys = sorted(quantities)
        held = self._lock(keys)
        for key, quantity in quantities.items():
            if held.get(key, -1) < quantity:
                there = f"{held[key]} are held of it" if key in held else "there is no such row"
                msg = f"{self.pool._meta.db_table} {key}: {quantity} are to be moved to {into}, and {there}"
                raise PoolInconsistent(msg)
        self._execute(
            f'UPDATE "{self.pool._meta.db_table}" AS pool '
            f"SET held = pool.held - v.quantity, {self._gain(into, 'v.quantity', 'moment.at')} "
            f"FROM unnest(%s{self._keys}, %s::bigint[]) AS v(key, quantity), (SELECT %s::timestamptz AS at) AS moment "
            f'WHERE pool."{self._key}" = v.key',
            [array(keys), array(quantities[key] for key in keys), at],
        )

    def _check_holds(self, calls: Sequence[Call[Any]], state: HoldState) -> None:
        """Raise ``PoolInconsistent`` for calls whose open holds are not what they demand, with two exceptions.

        Their holds may have ended before, all of them and in the same way; or there never were any holds.
        """
        if not calls:
            return
        ids, step = [call.run_id for call in calls], calls[0].step
        known: dict[UUID, dict[str, tuple[int, str]]] = defaultdict(dict)
        for run_id, key, quantity, stands in self._execute(
            f'SELECT run_id, pool_key, quantity, state FROM "{self.hold._meta.db_table}" '
            "WHERE run_id = ANY(%s::uuid[]) AND step = %s",
            [uuid_array(ids), step],
        ):
            known[run_id][key] = quantity, stands
        if state is HoldState.CANCELLED:
            # The log distinguishes a try that never happened from holds that somebody has deleted.
            bare = [run_id for run_id in ids if run_id not in known]
            tried = store.log.with_effect(bare, step, Operation.TRY) if bare else set()
            calls = [call for call in calls if call.run_id in known or call.run_id in tried]
        for call in calls:
            wanted, holds = self._demanded(call), known[call.run_id]
            quantities = {key: quantity for key, (quantity, stands) in holds.items() if stands == state.value}
            if len(quantities) < len(holds) or not self._is_of(quantities, wanted):
                found = {key: f"{quantity} {stands}" for key, (quantity, stands) in holds.items()}
                msg = f"{self.hold._meta.db_table}: run {call.run_id} must hold {wanted} at {step}, and holds {found}"
                raise PoolInconsistent(msg)

    def _is_of(self, holds: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
        """Whether these holds of a run are what it demands."""
        return holds == wanted

    def _demanded(self, call: Call[Any]) -> dict[str, int]:
        return {str(key): quantity for key, quantity in self.demand(call.request).items()}


def _column(pool: type[Pool], name: str) -> str:
    found = next((field for field in pool._meta.concrete_fields if field.name == name), None)
    if not isinstance(found, models.DateTimeField):
        msg = f"{pool._meta.label} has no time {name!r} at which its rows close"
        raise DefinitionError(msg)
    return str(found.column)


def _short(value: object) -> str:
    return repr(value)[:80]
