"""The invariants of any pool: its counts are the sums of its holds, and each hold stands as its run's log says."""

from __future__ import annotations

from collections.abc import Callable

from sagas.invariants import Invariant, Repair, Walk
from sagas.pool.models import Hold, Pool


def invariants_of(
    pool: type[Pool],
    hold: type[Hold],
    *,
    recount: Callable[..., None],
    release: Callable[..., None],
) -> tuple[Invariant, Invariant]:
    """The invariants of a pool in the engine's database.

    Args:
        pool: the model of its rows.
        hold: the model of its holds.
        recount: sets the counts of a row to what its holds say; a ``Repair.make``.
        release: ends the holds of a run that is undone or gone; a ``Repair.make``.
    """
    key = pool._meta.pk
    column, row_type = str(key.column), _SQL_TYPES.get(key.get_internal_type(), "bigint")
    app = pool._meta.app_label
    counts = Invariant(
        name=f"{app}.{pool._meta.model_name}_counts",
        says=f"Each row of {pool._meta.db_table} counts as held and sold what its holds add up to.",
        walk=Walk(pool._meta.db_table, column, row_type),
        sql=_counts_sql(pool._meta.db_table, column, row_type, hold._meta.db_table),
        found="{key} counts {held} held and {sold} sold by runs that are there, and its holds come to {held_by_holds} "
        "and {sold_by_holds}",
        repair=Repair(
            "set the counts of {key} to what its holds come to: {held_by_holds} held, {sold_by_holds} sold by runs "
            "that are there",
            recount,
        ),
    )
    stands = Invariant(
        name=f"{app}.{hold._meta.model_name}_stands",
        says=f"Each row of {hold._meta.db_table} stands as the log of its run says, and is of a row that is there.",
        walk=Walk(hold._meta.db_table, "run_id", "uuid", grows=True),
        sql=_stands_sql(pool._meta.db_table, column, hold._meta.db_table),
        found="{quantity} of {pool_key} are {state} for a run that is {run}; by its log: {log}",
        advice="Compare the run's log with its holds. What nobody holds is released; a person sees to the rest.",
        repair=Repair(
            "release {quantity} of {pool_key}, if the run is undone or gone; what a run holds or has bought stays",
            release,
        ),
    )
    return counts, stands


_SQL_TYPES = {"CharField": "varchar", "SlugField": "varchar", "UUIDField": "uuid"}


def _counts_sql(pool: str, key: str, row_type: str, hold: str) -> str:
    return (
        f'SELECT pool."{key}"::text AS key, \'{pool} \' || pool."{key}" AS row, NULL::uuid AS run_id, '
        f"jsonb_build_object('key', pool.\"{key}\", 'held', pool.held, 'sold', pool.sold - pool.settled, "
        "'held_by_holds', COALESCE(sums.held, 0), 'sold_by_holds', COALESCE(sums.sold, 0)) AS data "
        f'FROM "{pool}" AS pool LEFT JOIN ('
        "SELECT pool_key, sum(quantity) FILTER (WHERE state = 'HELD') AS held, "
        f"sum(quantity) FILTER (WHERE state = 'CONFIRMED') AS sold FROM \"{hold}\" "
        "WHERE state <> 'CANCELLED' AND pool_key = ANY(%(keys)s::text[]) GROUP BY pool_key"
        f') AS sums ON sums.pool_key = pool."{key}"::text '
        f'WHERE pool."{key}" = ANY(%(keys)s::text[]::{row_type}[]) '
        "AND (pool.held, pool.sold - pool.settled) <> (COALESCE(sums.held, 0), COALESCE(sums.sold, 0))"
    )


def _stands_sql(pool: str, key: str, hold: str) -> str:
    """A run that a person has ended by hand says nothing about its holds, but that they must not be held any more."""
    return (
        f"SELECT hold.run_id::text AS key, '{hold} ' || hold.id AS row, hold.run_id, "
        "jsonb_build_object('pool_key', hold.pool_key, 'quantity', hold.quantity, 'state', hold.state, "
        "'hold', hold.id, 'run', COALESCE(run.state, 'not there'), 'log', CASE WHEN there.yes THEN "
        "concat_ws(', ', CASE WHEN log.tried THEN 'held' END, CASE WHEN log.confirmed THEN 'confirmed' END, "
        "CASE WHEN log.cancelled THEN 'cancelled' END, CASE WHEN log.by_hand THEN 'ended by hand' END) "
        "ELSE 'its row is not there' END) AS data "
        f'FROM "{hold}" AS hold LEFT JOIN sagas_run AS run ON run.id = hold.run_id '
        f'CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM "{pool}" AS pool WHERE pool."{key}"::text = hold.pool_key) '
        "AS yes) AS there CROSS JOIN LATERAL ("
        "SELECT COALESCE(bool_or(step = hold.step AND operation = 'try' AND outcome = 'DONE'), false) AS tried, "
        "COALESCE(bool_or(step = hold.step AND operation = 'confirm' AND outcome = 'DONE'), false) AS confirmed, "
        "COALESCE(bool_or(step = hold.step AND operation = 'cancel' AND outcome = 'DONE'), false) AS cancelled, "
        "COALESCE(bool_or(operation = 'resolve'), false) AS by_hand FROM sagas_log WHERE run_id = hold.run_id"
        ") AS log WHERE hold.run_id = ANY(%(keys)s::text[]::uuid[]) AND ("
        "hold.state <> 'CANCELLED' AND (run.id IS NULL OR NOT there.yes) "
        "OR hold.state = 'HELD' AND run.state IN ('SUCCEEDED', 'FAILED') "
        "OR NOT log.by_hand AND (hold.state = 'HELD' AND (NOT log.tried OR log.confirmed OR log.cancelled) "
        "OR hold.state = 'CONFIRMED' AND (NOT log.confirmed OR log.cancelled OR run.state = 'FAILED') "
        "OR hold.state = 'CANCELLED' AND log.tried AND NOT log.confirmed AND NOT log.cancelled))"
    )
