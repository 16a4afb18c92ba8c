"""A ready-made TCC resource: something countable, of which runs hold, take and give back a quantity.

The stock of a SKU, the capacity of a delivery slot, a presale quota and a coupon budget are pools. Beside the table of
a ``Pool`` is a table of its holds, which says how much each run holds. At every commit, for every row of a pool::

    held = sum of its HELD holds        sold = sum of its CONFIRMED holds

It is set-based: a cohort costs two or three statements, however many runs and pool rows it has. Rows are locked in the
order of their keys, after the locks of the runs, so two cohorts cannot deadlock here.

Counts are checked. If the holds are not those that the calls must have, or a pool row is missing or counts less than
its holds, the operation is a fault (``PoolInconsistent``) and changes nothing.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import Q

from sagas import limits, store
from sagas.definition.participants import Call, Done, Operation, Outcome, set_based
from sagas.errors import DefinitionError, InvalidDemand, PoolInconsistent, Rejected
from sagas.validation import why_unstorable


class Pool(models.Model):
    """Something countable, in whole pieces. A subclass adds the primary key and other columns.

    ``available + held + sold`` changes only when a person adds or removes stock.
    """

    available = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0, editable=False)
    sold = models.BigIntegerField(default=0, editable=False)

    class Meta:
        """The database refuses negative counts."""

        abstract = True
        constraints = [
            models.CheckConstraint(name="%(app_label)s_%(class)s_available_ge_0", condition=Q(available__gte=0)),
            models.CheckConstraint(name="%(app_label)s_%(class)s_held_ge_0", condition=Q(held__gte=0)),
            models.CheckConstraint(name="%(app_label)s_%(class)s_sold_ge_0", condition=Q(sold__gte=0)),
        ]


class HoldState(models.TextChoices):
    """The state of a hold."""

    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"


class Hold(models.Model):
    """The quantity that a step of a run holds of a pool row. It has no foreign keys: it is on the hot path."""

    run_id = models.UUIDField()
    step = models.CharField(max_length=limits.STEP_NAME)
    pool_key = models.CharField(max_length=limits.POOL_KEY)
    quantity = models.PositiveIntegerField()
    state = models.CharField(max_length=limits.HOLD_STATE, choices=HoldState.choices, default=HoldState.HELD)

    class Meta:
        """A step of a run has one hold of a row."""

        abstract = True
        constraints = [
            models.UniqueConstraint(name="%(app_label)s_%(class)s_once", fields=["run_id", "step", "pool_key"]),
        ]


Demand = Callable[[Any], Mapping[Any, int]]


class PoolResource:
    """A ``TccResource`` over a ``Pool`` and its ``Hold`` table.

    Args:
        pool: the pool's model.
        hold: the model of its holds.
        demand: a function of the request that returns ``{primary key of the pool row: quantity}``. Quantities are whole
            numbers, 0 to 2,147,483,647; keys have at most 64 characters (``InvalidDemand``). It must always return the
            same for a run, because the holds of the run are compared with it.
        rejection: the exception class that is raised when a call asks for more than is available. A call gets
            everything that it asks for, or nothing.
        database: the alias of the database in which both tables are, the same as that of the step.

    Raises:
        DefinitionError: the pool's keys may be longer than the holds' column for them.
    """

    def __init__(
        self,
        *,
        pool: type[Pool],
        hold: type[Hold],
        demand: Demand,
        rejection: type[Rejected] = Rejected,
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
        self.database = database

    @set_based
    def try_(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Hold what each call asks for, in the order of the calls, while enough is available.

        Raises:
            InvalidDemand: a hold cannot store what a call asks for.
        """
        demands = [self._asked(call) for call in calls]
        locked = self._lock({key for demand in demands for key in demand})
        available = {key: left for key, (left, _) in locked.items()}
        outcomes: list[Outcome] = []
        taken: Counter[Any] = Counter()
        holds: list[tuple[Call[Any], Any, int]] = []
        for call, demand in zip(calls, demands, strict=True):
            missing = [key for key, quantity in demand.items() if available.get(key, 0) < quantity]
            if missing:
                outcomes.append(self.rejection(self._refusal(missing, available, demand)))
                continue
            for key, quantity in demand.items():
                self._check_quantity(key, quantity)
                available[key] -= quantity
                taken[key] += quantity
                holds.append((call, key, quantity))
            outcomes.append(Done())
        self._hold(holds, taken)
        return outcomes

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
        kind = self.hold._meta.get_field("quantity").get_internal_type()
        most = connections[self.database].ops.integer_field_range(kind)[1]
        if quantity > most:
            msg = f"{self.pool._meta.db_table} {_short(key)}: {quantity:,} is demanded; a hold has at most {most:,}"
            raise InvalidDemand(msg)

    @set_based
    def confirm(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Turn the holds of the calls into sales. A repeat changes nothing.

        Raises:
            PoolInconsistent: the holds of a call are not what it demands.
        """
        self._settle(calls, HoldState.CONFIRMED, "sold")
        return [Done() for _ in calls]

    @set_based
    def cancel(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
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

    def _execute(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        # Table and column names come from the models, never from a request. The connection is the step's, whatever a
        # router says: in the engine's database, effect, log and state are one commit.
        with connections[self.database].cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall()) if cursor.description else []

    def _lock(self, keys: set[Any]) -> dict[Any, tuple[int, int]]:
        """Lock the pool rows of these keys, in order; return what is available and what is held of each."""
        if not keys:
            return {}
        rows = self._execute(
            f'SELECT "{self._key}", available, held FROM "{self.pool._meta.db_table}" '
            f'WHERE "{self._key}" = ANY(%s) ORDER BY "{self._key}" FOR NO KEY UPDATE',
            [sorted(keys)],
        )
        return {key: (available, held) for key, available, held in rows}

    def _hold(self, holds: Sequence[tuple[Call[Any], Any, int]], taken: Mapping[Any, int]) -> None:
        """Insert the holds, and move their quantities from ``available`` to ``held``, in one statement."""
        if not holds:
            return
        noted = (
            f'INSERT INTO "{self.hold._meta.db_table}" (run_id, step, pool_key, quantity, state) '
            "SELECT v.run_id, v.step, v.pool_key, v.quantity, %s "
            "FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[]) AS v(run_id, step, pool_key, quantity)"
        )
        self._shift(
            taken,
            "available",
            "held",
            noted,
            [
                HoldState.HELD,
                [call.run_id for call, _, _ in holds],
                [call.step for call, _, _ in holds],
                [str(key) for _, key, _ in holds],
                [quantity for _, _, quantity in holds],
            ],
        )

    def _settle(self, calls: Sequence[Call[Any]], state: HoldState, into: str) -> None:
        """End the open holds of the calls, and move their quantities out of ``held``.

        The holds need no lock of their own: each belongs to one run, and the run is locked.
        """
        rows = self._execute(
            f'UPDATE "{self.hold._meta.db_table}" SET state = %s WHERE run_id = ANY(%s::uuid[]) AND step = %s '
            "AND state = %s RETURNING run_id, pool_key, quantity",
            [state, [call.run_id for call in calls], calls[0].step, HoldState.HELD],
        )
        settled: dict[UUID, dict[str, int]] = defaultdict(dict)
        moved: Counter[Any] = Counter()
        to_python = self.pool._meta.pk.to_python
        for run_id, key, quantity in rows:
            settled[run_id][key] = quantity
            moved[to_python(key)] += quantity
        self._check_holds([call for call in calls if settled.get(call.run_id, {}) != self._demanded(call)], state)
        if not moved:
            return
        held = {key: count for key, (_, count) in self._lock(set(moved)).items()}
        for key, quantity in moved.items():
            if held.get(key, -1) < quantity:
                there = f"{held[key]} are held of it" if key in held else "there is no such row"
                msg = f"{self.pool._meta.db_table} {key}: {quantity} are to be moved to {into}, and {there}"
                raise PoolInconsistent(msg)
        self._shift(moved, "held", into)

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
            [ids, step],
        ):
            known[run_id][key] = quantity, stands
        if state is HoldState.CANCELLED:
            # The log distinguishes a try that never happened from holds that somebody has deleted.
            bare = [run_id for run_id in ids if run_id not in known]
            tried = store.log.with_effect(bare, step, Operation.TRY) if bare else set()
            calls = [call for call in calls if call.run_id in known or call.run_id in tried]
        for call in calls:
            wanted = self._demanded(call)
            if known[call.run_id] != {key: (quantity, state.value) for key, quantity in wanted.items()}:
                found = {key: f"{quantity} {stands}" for key, (quantity, stands) in known[call.run_id].items()}
                msg = f"{self.hold._meta.db_table}: run {call.run_id} must hold {wanted} at {step}, and holds {found}"
                raise PoolInconsistent(msg)

    def _demanded(self, call: Call[Any]) -> dict[str, int]:
        return {str(key): quantity for key, quantity in self.demand(call.request).items()}

    def _shift(
        self,
        quantities: Mapping[Any, int],
        source: str,
        target: str,
        besides: str = "",
        params: Sequence[Any] = (),
    ) -> None:
        """Move quantities of locked rows from one count to another; ``besides`` is more SQL for the same statement.

        Each key has one quantity, because UPDATE … FROM applies only one row for a key.
        """
        keys = sorted(quantities)
        with connections[self.database].cursor() as cursor:
            cursor.execute(
                f"{f'WITH besides AS ({besides}) ' if besides else ''}"
                f'UPDATE "{self.pool._meta.db_table}" AS pool '
                f"SET {source} = pool.{source} - v.quantity, {target} = pool.{target} + v.quantity "
                f'FROM unnest(%s, %s::bigint[]) AS v(key, quantity) WHERE pool."{self._key}" = v.key',
                [*params, keys, [quantities[key] for key in keys]],
            )
            met = cursor.rowcount
        if met != len(keys):
            msg = f"{self.pool._meta.db_table}: {met} of {len(keys)} rows were met that are locked"
            raise PoolInconsistent(msg)

    def _refusal(self, missing: Sequence[Any], available: Mapping[Any, int], demand: Mapping[Any, int]) -> str:
        parts = [f"{key}: {demand[key]} wanted, {available.get(key, 0)} left" for key in missing]
        return "; ".join(parts)


def _short(value: object) -> str:
    return repr(value)[:80]
