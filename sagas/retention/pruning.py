"""Delete old runs, with all that goes with them: whole families, in batches, each in one transaction.

A family is a run and the runs that are its steps, or steps of those: a child that was deleted under a live parent would
be started again. It goes when all of it ended long enough ago, and nobody needs it: no event is to be published, no
escalation is open, nothing is held, and no other transaction has locked a run of it. Else it is left to the next pass.

A pass goes along the runs' ids, which are in order of time, and stores how far it has come. So it can be stopped at any
point, and several processes can do it together. Ids that are no UUIDv7 are a second part of the pass: they are not in
order of time, and would hold up the first.

What belongs to a run in another database is deleted there first: if this process dies between the two commits, the run
is still found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.utils.connection import ConnectionDoesNotExist

from sagas import hooks, runtime, store
from sagas.conf import MOST_PRUNED, Misconfigured, config
from sagas.db import describe_error
from sagas.definition import registry
from sagas.errors import UnknownSaga
from sagas.hooks import PrunedRun
from sagas.retention import ages
from sagas.retention.resources import Prunable, all_prunable
from sagas.store.retention import pruning as rows
from sagas.store.retention.pruning import Cutoffs, Ended

logger = logging.getLogger(__name__)

#: Runs that one batch looks at, in search of old ones.
LOOK = 10_000
#: Seconds after which a tick begins the next pass, and tries again what has failed.
PAUSE = 60.0

#: The parts of a pass: ids that are in order of time, and all others.
BY_TIME, OTHER_IDS = "by time", "other ids"
PARTS = (BY_TIME, OTHER_IDS)

_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)

#: Takes runs that are about to be deleted, inside the transaction that deletes them.
Sink = Callable[[Sequence[Ended]], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction has done.

    Attributes:
        runs: number of runs that it has deleted.
        left: number of old runs that it had to leave.
        more: whether the part of the pass is not at its end.
        resumed: whether it did not begin at the start of the part.
    """

    runs: int = 0
    left: int = 0
    more: bool = False
    resumed: bool = False


def prune_batch(part: str, *, limit: int, wait: bool = True, pause: float = 0.0, sink: Sink | None = None) -> Batch:
    """Delete the next old runs in a part of the pass, at most ``limit``, in one transaction.

    Args:
        part: one of ``PARTS``.
        limit: runs at most; a family that alone has more is deleted all the same.
        wait: wait for another process at the same part, and do not care when the next tick is due.
        pause: seconds until a tick goes on.
        sink: takes the runs before they are deleted. If it raises, none of them is.

    Raises:
        Misconfigured: runs would be kept for too short a time.
    """
    with transaction.atomic(durable=True):
        after = rows.take_part(part, wait=wait)
        if after is None:
            return Batch()
        now = store.runs.clock()
        cutoffs = ages.cutoffs(now)
        first, before = _range(part, now, cutoffs)
        seen = rows.look(max(after, first), before, cutoffs, limit=min(limit, MOST_PRUNED), look=LOOK)
        families, last = _within(limit, rows.families(seen.roots) if seen.roots else {})
        going = _ready(families, cutoffs)
        doomed = [run for family in going for run in family]
        if doomed:
            _delete(doomed, cutoffs, sink)
        more = last is not None or len(seen.roots) == limit or seen.looked == LOOK
        stop = last or (seen.roots[-1] if len(seen.roots) == limit else seen.last)
        if not more:
            store.performers.prune(now)
            store.shared_decisions.prune(LOOK)
        rows.leave_part(part, stop if more and stop else _FIRST, pause=pause if more else PAUSE)
    old = sum(len(family) for family in families.values())
    return Batch(len(doomed), old - len(doomed), more, resumed=after > first)


def _range(part: str, now: datetime, cutoffs: Cutoffs) -> tuple[UUID, UUID]:
    """The ids of a part. Ids of a time after the last cutoff are left out: their runs cannot be old enough."""
    if part == BY_TIME:
        return _FIRST, rows.floor_of(max(cutoff for cutoff in cutoffs.values() if cutoff is not None))
    return rows.floor_of(now + timedelta(days=1)), _LAST


def _within(limit: int, families: Mapping[UUID, list[UUID]]) -> tuple[dict[UUID, list[UUID]], UUID | None]:
    """The first families that have no more than ``limit`` runs, and the last of these if others are left over."""
    found: dict[UUID, list[UUID]] = {}
    count = 0
    for root, family in families.items():
        if found and count + len(family) > limit:
            return found, next(reversed(found))
        found[root] = family
        count += len(family)
    return found, None


def _ready(families: Mapping[UUID, list[UUID]], cutoffs: Cutoffs) -> list[list[Ended]]:
    """Lock the families that can go, and delete what they have in other databases."""
    locked = {run.id: run for run in rows.lock_ended(run_id for ids in families.values() for run_id in ids)}
    kept = rows.unfinished(list(locked))
    whole: list[list[Ended]] = []
    for root, ids in families.items():
        family = [locked[run_id] for run_id in ids if run_id in locked and run_id not in kept]
        if len(family) == len(ids) and all(run.finished_at < _cutoff(locked[root], cutoffs) for run in family):
            whole.append(family)
    databases = {run.id: _databases(run) for family in whole for run in family}
    resources = all_prunable()
    for resource in resources:
        whole = _without(whole, databases, resource.database, resource.find_held)
    for alias in sorted({alias for aliases in databases.values() for alias in aliases} - {DEFAULT_DB_ALIAS}):
        mine = [resource for resource in resources if resource.database == alias]
        whole = _without(whole, databases, alias, partial(_delete_there, alias, mine))
    return whole


def _cutoff(root: Ended, cutoffs: Cutoffs) -> datetime:
    found = cutoffs.get((root.saga, root.state), cutoffs.get((rows.OTHERS, root.state)))
    # It was found to be old enough before it was locked, and a final state does not change.
    assert found is not None
    return found


def _databases(run: Ended) -> frozenset[str]:
    """The databases in which a run may have something."""
    try:
        return store.definitions.find(run.saga, run.version, run.shape).databases | {DEFAULT_DB_ALIAS}
    except UnknownSaga:
        every = {alias for definition in registry.all_definitions() for alias in definition.databases}
        return frozenset({*every, DEFAULT_DB_ALIAS})


def _without(
    families: list[list[Ended]],
    databases: Mapping[UUID, frozenset[str]],
    alias: str,
    act: Callable[[Sequence[UUID]], Collection[UUID]],
) -> list[list[Ended]]:
    """Act on the runs that may have something in a database, and leave out the families of those that must stay.

    All of them must, if it is another database and cannot be worked with.
    """
    ids = [run.id for family in families for run in family if alias in databases[run.id]]
    if not ids:
        return families
    try:
        stay = act(ids)
    except (Error, ConnectionDoesNotExist) as error:
        if alias == DEFAULT_DB_ALIAS:
            raise
        if not isinstance(error, ConnectionDoesNotExist):
            connections[alias].close()
        logger.warning("sagas: %d old run(s) stay: the database %r: %s", len(ids), alias, describe_error(error))
        stay = ids
    return [family for family in families if not any(run.id in stay for run in family)]


def _delete_there(alias: str, resources: Sequence[Prunable], ids: Sequence[UUID]) -> Sequence[UUID]:
    """Delete what belongs to these runs in another database, and commit there."""
    with transaction.atomic(using=alias):
        if store.barriers.exists(alias):
            store.barriers.delete(alias, ids)
        for resource in resources:
            resource.forget(ids)
    return ()


def _delete(runs: Sequence[Ended], cutoffs: Cutoffs, sink: Sink | None) -> None:
    """Delete locked runs and what belongs to them in this database."""
    if sink is not None:
        sink(runs)
    ids = [run.id for run in runs]
    known = {run.id for run in runs}
    horizons: dict[str, datetime] = {}
    for run in runs:
        if run.parent_id not in known:
            horizons[run.saga] = max(_cutoff(run, cutoffs), horizons.get(run.saga, _cutoff(run, cutoffs)))
    rows.move_horizons(horizons)
    buried = [run.id for run in runs if run.parent_id is not None or not rows.is_behind(run.id, horizons.get(run.saga))]
    if buried:
        rows.bury(buried)
    hooks.call_before_pruning(
        [PrunedRun(run.id, run.saga, run.business_key, run.state, run.finished_at) for run in runs]
    )
    rows.delete(ids)
    # Last, because they lock rows that the orders of the moment want.
    for resource in all_prunable():
        if resource.database == DEFAULT_DB_ALIAS:
            resource.forget(ids)


# Whole passes, and ticks ----------------------------------------------------------------------------------------------


def prune(*, limit: int, rate: float, sink: Sink | None = None, told: Callable[[Batch], None] | None = None) -> Batch:
    """Delete all old runs, batch after batch, at most ``rate`` runs a second; return the sum.

    Args:
        limit: the most runs of one batch.
        rate: runs a second.
        sink: as for ``prune_batch``.
        told: is called after each batch.
    """
    runs = left = 0
    for part in PARTS:
        # A part that is resumed in the middle is begun once more: before the middle there may be old runs by now.
        passes = 0
        while True:
            began = time.monotonic()
            batch = prune_batch(part, limit=limit, sink=sink)
            passes = passes or 1 + batch.resumed
            runs, left = runs + batch.runs, left + batch.left
            if told is not None:
                told(batch)
            passes -= not batch.more
            if not passes:
                break
            time.sleep(max(0.0, batch.runs / rate - (time.monotonic() - began)))
    return Batch(runs, left)


def prune_on_tick() -> None:
    """Delete a few old runs, if the settings say so and no other process is at it. Never raises."""
    limit, now = config().prune, time.monotonic()
    if not limit or now < runtime.memory.prune_after:
        return
    runtime.memory.prune_after = now + config().tick
    try:
        for part in PARTS:
            if prune_batch(part, limit=limit, wait=False, pause=config().tick * 0.9).more:
                break
    except Misconfigured as error:
        logger.error("sagas: no old runs are deleted: %s", error)  # noqa: TRY400 - says it all
        runtime.memory.prune_after = now + PAUSE
    except Exception:
        logger.exception("sagas: old runs could not be deleted; the next try is in %g s", PAUSE)
        runtime.memory.prune_after = now + PAUSE
