"""Holds move from a batch that is recalled to others of its item, for runs that are not decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction

from sagas import store
from sagas.db import array, uuid_array
from sagas.errors import Rejected
from sagas.pool.batches import BatchResource, item_of
from sagas.pool.models import HoldState
from sagas.states import State

#: Before all runs.
FIRST = UUID(int=0)
#: Of a run in one of these states the hold ends by itself, or has ended.
_ENDING = frozenset({State.COMPENSATING, State.FAILED, State.SUCCEEDED})


class Relocated(NamedTuple):
    """What one transaction has done.

    Attributes:
        last: the last run that was looked at; ``None`` if there was none.
        moved: how many runs hold cups of other batches now.
        stuck: runs for which no other batch has enough that is good for long enough. They hold what they held.
    """

    last: UUID | None
    moved: int
    stuck: Sequence[UUID]


class _Move(NamedTuple):
    run_id: UUID
    step: str
    quantity: int
    held_at: datetime | None
    shares: dict[str, int]


def relocate(resource: BatchResource[Any], key: str, *, after: UUID = FIRST, most: int = 100) -> Relocated:
    """Move the holds of some runs from a recalled batch to other batches, in one transaction. Runs are locked first.

    Args:
        resource: the resource of the batch.
        key: the batch, which is recalled and not the item's own.
        after: look at runs behind this one.
        most: how many runs at most.
    """
    hold = resource.hold._meta.db_table
    with transaction.atomic(using=resource.database):
        found = resource.execute(
            f'SELECT DISTINCT run_id FROM "{hold}" WHERE pool_key = %s AND state = %s AND run_id > %s '
            "ORDER BY run_id LIMIT %s",
            [key, HoldState.HELD, after, most],
        )
        ids = [run_id for (run_id,) in found]
        if not ids:
            return Relocated(None, 0, ())
        runs = {row.id: row for row in store.runs.lock(ids)}
        resource.lock_items([key])
        item = item_of(key)
        batches = resource.read_good([item])
        moves: list[_Move] = []
        stuck: list[UUID] = []
        for run_id, step, quantity, held_at in resource.execute(
            f'SELECT run_id, step, quantity, held_at FROM "{hold}" WHERE run_id = ANY(%s::uuid[]) AND pool_key = %s '
            "AND state = %s ORDER BY run_id, step",
            [uuid_array(ids), key, HoldState.HELD],
        ):
            row = runs.get(run_id)
            if row is None or row.state in _ENDING:
                continue
            request = store.definitions.find(row.saga, row.version, row.shape).load(row.request)
            shares = resource.share(batches, {item: quantity}, resource.moment(request))
            if isinstance(shares, Rejected):
                stuck.append(run_id)
            else:
                moves.append(_Move(run_id, step, quantity, held_at, shares))
        if moves:
            _write(resource, key, moves)
        return Relocated(ids[-1], len(moves), stuck)


def _write(resource: BatchResource[Any], key: str, moves: Sequence[_Move]) -> None:
    """Write the moves into holds, batches, and the days by which the ledger explains both.

    For the ledger the old hold has ended now, in a batch that is recalled. One that is enlarged has ended, too, and its
    cups were available for no time.
    """
    hold, pool = resource.hold._meta.db_table, resource.pool._meta.db_table
    ended = [(move.run_id, move.step, key) for move in moves]
    enlarged = [(move.run_id, move.step, share) for move in moves for share in move.shares]
    for keys, column in ((ended, "lost"), (enlarged, "returned")):
        _note_days(resource, keys, column)
    resource.execute(
        f'DELETE FROM "{hold}" WHERE (run_id, step, pool_key) IN '
        "(SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]))",
        _columns(ended),
    )
    shares = [(move.run_id, move.step, share, quantity) for move in moves for share, quantity in move.shares.items()]
    resource.execute(
        f'INSERT INTO "{hold}" AS hold (run_id, step, pool_key, quantity, state, held_at) '
        "SELECT v.run_id, v.step, v.pool_key, v.quantity, %s, statement_timestamp() "
        "FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[]) AS v(run_id, step, pool_key, quantity) "
        "ON CONFLICT (run_id, step, pool_key) DO UPDATE SET quantity = hold.quantity + EXCLUDED.quantity, "
        "held_at = EXCLUDED.held_at",
        [HoldState.HELD, *_columns([row[:3] for row in shares]), array(row[3] for row in shares)],
    )
    taken: Counter[str] = Counter()
    for _, _, share, quantity in shares:
        taken[share] += quantity
    resource.execute(
        f'UPDATE "{pool}" AS pool SET available = pool.available - v.quantity, held = pool.held + v.quantity '
        "FROM unnest(%s::text[], %s::bigint[]) AS v(key, quantity) WHERE pool.key = v.key",
        [array(taken), array(taken.values())],
    )
    gone = sum(move.quantity for move in moves)
    resource.execute(
        f'UPDATE "{pool}" SET held = held - %s, written_off = written_off + %s WHERE key = %s', [gone, gone, key]
    )


def _note_days(resource: BatchResource[Any], keys: Sequence[tuple[UUID, str, str]], column: str) -> None:
    """Add the holds of these keys, where there are any, to their days: taken then, and ended now."""
    hold, days = resource.hold._meta.db_table, resource.days._meta.db_table
    resource.execute(
        f'WITH old AS (SELECT hold.pool_key, hold.quantity, hold.held_at FROM "{hold}" AS hold '
        "JOIN unnest(%s::uuid[], %s::text[], %s::text[]) AS v(run_id, step, pool_key) USING (run_id, step, pool_key)), "
        "event AS (SELECT pool_key, held_at AS at, quantity AS taken, 0 AS ended FROM old WHERE held_at IS NOT NULL "
        "UNION ALL SELECT pool_key, statement_timestamp(), 0, quantity FROM old) "
        f'INSERT INTO "{days}" AS kept (pool_key, day, taken, sold, returned, lost) '
        "SELECT pool_key, (at AT TIME ZONE 'UTC')::date, sum(taken), 0, "
        f"{'sum(ended), 0' if column == 'returned' else '0, sum(ended)'} FROM event GROUP BY 1, 2 ORDER BY 1, 2 "
        "ON CONFLICT (pool_key, day) DO UPDATE SET taken = kept.taken + EXCLUDED.taken, "
        "returned = kept.returned + EXCLUDED.returned, lost = kept.lost + EXCLUDED.lost",
        _columns(keys),
    )


def _columns(keys: Sequence[tuple[UUID, str, str]]) -> list[Any]:
    return [uuid_array(key[0] for key in keys), array(key[1] for key in keys), array(key[2] for key in keys)]
