"""A ready-made TCC resource: something countable, of which calls hold, take and give back a part.

Stock of a SKU, capacity of a delivery slot, a presale quota, a coupon budget: each is a ``Pool``, with
a ``Hold`` table beside it that says which run holds how much. At every commit, for every pool row::

    held = sum of its HELD holds        sold = sum of its CONFIRMED holds

Set-based: a cohort costs two or three statements, however many runs and pools it touches. Rows are locked in
the order of their key, after the runs' own locks, so two cohorts cannot deadlock here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import Q

from sagas.errors import Rejected
from sagas.participant import Call, Done, Outcome, many
from sagas.steps import NAME_LIMIT


class Pool(models.Model):
    """Something countable. A subclass adds its primary key and what it is.

    Units: whole pieces. ``available + held + sold`` changes only when a person adds or removes stock.
    """

    available = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0, editable=False)
    sold = models.BigIntegerField(default=0, editable=False)

    class Meta:
        """The counts are never negative, whatever the code believes."""

        abstract = True
        constraints = [
            models.CheckConstraint(name="%(app_label)s_%(class)s_available_ge_0", condition=Q(available__gte=0)),
            models.CheckConstraint(name="%(app_label)s_%(class)s_held_ge_0", condition=Q(held__gte=0)),
            models.CheckConstraint(name="%(app_label)s_%(class)s_sold_ge_0", condition=Q(sold__gte=0)),
        ]


class HoldState(models.TextChoices):
    """What became of a hold."""

    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"


class Hold(models.Model):
    """What one step of one run holds of one pool row. No foreign keys: it is written on the hot path."""

    run_id = models.UUIDField()
    step = models.CharField(max_length=NAME_LIMIT)
    pool_key = models.CharField(max_length=64)
    quantity = models.PositiveIntegerField()
    state = models.CharField(max_length=9, choices=HoldState.choices, default=HoldState.HELD)

    class Meta:
        """A step holds a row once."""

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
        demand: from a request to ``{primary key of the pool row: quantity}``; quantities above 0.
        rejection: raised, with a sentence, when a call asks for more than is available. A call gets all
            it asks for, or nothing.
        database: alias of the database in which both are; the same as the step's.
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
        self.pool = pool
        self.hold = hold
        self.demand = demand
        self.rejection = rejection
        self.database = database

    @many
    def try_(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Hold what each call asks for, in the order of the calls, as far as it goes."""
        demands = [dict(self.demand(call.request)) for call in calls]
        available = self._lock({key for demand in demands for key in demand})
        outcomes: list[Outcome] = []
        taken: Counter[Any] = Counter()
        holds: list[tuple[Call[Any], Any, int]] = []
        for call, demand in zip(calls, demands, strict=True):
            missing = [key for key, quantity in demand.items() if available.get(key, 0) < quantity]
            if missing:
                outcomes.append(self.rejection(self._refusal(missing, available, demand)))
                continue
            for key, quantity in demand.items():
                available[key] -= quantity
                taken[key] += quantity
                holds.append((call, key, quantity))
            outcomes.append(Done())
        self._hold(holds, taken)
        return outcomes

    @many
    def confirm(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Turn the holds of the calls into sales."""
        self._settle(calls, HoldState.CONFIRMED, "sold")
        return [Done() for _ in calls]

    @many
    def cancel(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        """Give back what the calls hold; nothing, where they hold nothing (a null compensation)."""
        self._settle(calls, HoldState.CANCELLED, "available")
        return [Done() for _ in calls]

    # -- SQL ------------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        return str(self.pool._meta.pk.column)

    def _execute(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        # Table and column names come from the models, never from a request.
        # The step's connection, whatever a router says: the engine's own, where effect, log and state are one commit.
        with connections[self.database].cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall()) if cursor.description else []

    def _lock(self, keys: set[Any]) -> dict[Any, int]:
        """Lock the pool rows of these keys, in order, and say what is available in each."""
        if not keys:
            return {}
        rows = self._execute(
            f'SELECT "{self._key}", available FROM "{self.pool._meta.db_table}" '
            f'WHERE "{self._key}" = ANY(%s) ORDER BY "{self._key}" FOR NO KEY UPDATE',
            [sorted(keys)],
        )
        return dict(rows)

    def _hold(self, holds: Sequence[tuple[Call[Any], Any, int]], taken: Mapping[Any, int]) -> None:
        """Write the holds, and move what they take out of ``available``, in one statement."""
        if not holds:
            return
        noted = (
            f'INSERT INTO "{self.hold._meta.db_table}" (run_id, step, pool_key, quantity, state) '
            "SELECT v.run_id, v.step, v.pool_key, v.quantity, %s "
            "FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::int[]) AS v(run_id, step, pool_key, quantity)"
        )
        shift, params = self._shift(taken, "available", "held")
        self._execute(
            f"WITH noted AS ({noted}) {shift}",
            [
                HoldState.HELD,
                [call.run_id for call, _, _ in holds],
                [call.step for call, _, _ in holds],
                [str(key) for _, key, _ in holds],
                [quantity for _, _, quantity in holds],
                *params,
            ],
        )

    def _settle(self, calls: Sequence[Call[Any]], state: HoldState, into: str) -> None:
        """End the open holds of the calls, and move their quantities out of ``held``.

        The holds may be read without a lock of their own: each belongs to one run, and the run is locked.
        """
        table = self.hold._meta.db_table
        rows = self._execute(
            f'UPDATE "{table}" SET state = %s WHERE run_id = ANY(%s::uuid[]) AND step = %s AND state = %s '
            "RETURNING pool_key, quantity",
            [state, [call.run_id for call in calls], calls[0].step, HoldState.HELD],
        )
        moved: Counter[Any] = Counter()
        to_python = self.pool._meta.pk.to_python
        for key, quantity in rows:
            moved[to_python(key)] += quantity
        if moved:
            self._lock(set(moved))
            self._execute(*self._shift(moved, "held", into))

    def _shift(self, quantities: Mapping[Any, int], source: str, target: str) -> tuple[str, list[Any]]:
        """SQL that moves quantities between two counts. One row a key: UPDATE … FROM applies only one of two."""
        keys = sorted(quantities)
        return (
            f'UPDATE "{self.pool._meta.db_table}" AS pool '
            f"SET {source} = pool.{source} - v.quantity, {target} = pool.{target} + v.quantity "
            f'FROM unnest(%s, %s::bigint[]) AS v(key, quantity) WHERE pool."{self._key}" = v.key',
            [keys, [quantities[key] for key in keys]],
        )

    def _refusal(self, missing: Sequence[Any], available: Mapping[Any, int], demand: Mapping[Any, int]) -> str:
        parts = [f"{key}: {demand[key]} wanted, {available.get(key, 0)} left" for key in missing]
        return "; ".join(parts)
