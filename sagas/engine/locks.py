"""Semantic locks: runs that must not work on the same business key at the same time.

A run that waits is PENDING and has its place in line in the database. After the commit that ends the run before it, an
``Unlock`` makes it due. That may get lost, so a run that waits is also claimed from time to time: the sooner, the
fewer runs are before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from sagas import store
from sagas.decisions.messages import Unlock
from sagas.definition.locks import LockKeys
from sagas.errors import Locked
from sagas.states import State

#: Seconds after which the next run in line is claimed to look again; the run behind it after twice as many, and so on.
RECHECK = 5.0


def enqueue(run_id: UUID, keys: LockKeys, *, parent: UUID | None) -> float:
    """Put a run that is being started in line at its keys, in the caller's transaction.

    It holds what its family holds: all runs with the same root. A run with a parent is refused instead of waiting:
    its parent would wait for it and keep its own keys, and two such parents would wait for each other.

    Returns:
        Seconds after which it is claimed to look again; 0 if it may begin.

    Raises:
        Locked: a key for which it does not wait is held by another family.
    """
    store.locks.lock_keys(keys.all)
    family = store.locks.family_of(parent) if parent is not None else run_id
    refusing = keys.refusing if parent is None else keys.all
    found = store.locks.find_taken(refusing, family=family) if refusing else None
    if found is not None:
        key, holder = found
        msg = f"{key} is locked by run {holder}"
        raise Locked(msg, key=key, holder=holder)
    return recheck_delay(store.locks.enqueue(run_id, keys.all, family=family))


def recheck_delay(ahead: int) -> float:
    """Seconds until a run with so many others before it is claimed again. So a long line costs little."""
    return RECHECK * ahead


def postpone_in_line(rows: Sequence[store.runs.Row]) -> tuple[list[store.runs.Row], list[Unlock]]:
    """Postpone claimed runs that are in line at a business key behind others.

    Returns:
        The other runs; and messages to the next in line behind the runs that begin now, so that they are claimed soon.
    """
    in_line = [row.id for row in rows if row.locked and row.state is State.PENDING]
    if not in_line:
        return list(rows), []
    ahead = store.locks.count_ahead(in_line)
    waiting = {run_id: recheck_delay(count) for run_id, count in ahead.items() if count}
    if waiting:
        store.runs.be_due_in(waiting)
    begin = [run_id for run_id in in_line if run_id not in waiting]
    return [row for row in rows if row.id not in waiting], _unlock(begin)


def release(rows: Sequence[store.runs.Row]) -> list[Unlock]:
    """Messages for the runs in line behind locked runs that end now. To be asked before these are moved."""
    return _unlock([row.id for row in rows if row.locked])


def _unlock(ids: Sequence[UUID]) -> list[Unlock]:
    return [Unlock(tuple(store.locks.keys_of(ids)))] if ids else []


def wake_next(keys: Sequence[str]) -> bool:
    """Make the first runs in line at these keys due, and have the second ones claimed soon.

    It does no harm to do it twice or too early.

    Returns:
        Whether there is a run that may begin.
    """
    with transaction.atomic():
        # Read without locks, because the holder's run may be locked for long; then locked in the order of the ids.
        ids = store.locks.next_in_line(keys)
        rows = [row.id for row in store.runs.lock(ids) if row.locked and row.state is State.PENDING] if ids else []
        ahead = store.locks.count_ahead(rows) if rows else {}
        if ahead:
            store.runs.be_due_within({run_id: recheck_delay(count) for run_id, count in ahead.items()})
    return 0 in ahead.values()
