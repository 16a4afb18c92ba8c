"""Runs that must not be at the same business key at once: who waits, who is refused, and who is next.

A run that waits is PENDING and stands in line in the database. When the run before it has ended it is told, after
that commit (``Unlock``); the telling may get lost, so it looks by itself too, the sooner the nearer it is.
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

#: Seconds after which the next in line looks by itself; the one behind it after twice that, and so on.
RECHECK = 5.0


def enqueue(run_id: UUID, keys: LockKeys, *, parent: UUID | None) -> float:
    """Put a run that is being started in line at its keys, in the caller's transaction.

    What its family holds, parents and children of one root, it holds as well. It does not wait for what others hold
    if it has a parent: that one would wait for it with what it holds itself, and two of them for each other.

    Returns:
        Seconds after which it looks whether it is its turn; 0 if it may begin.

    Raises:
        Locked: a key for which it does not wait is not free.
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
    """Seconds until a run looks again that has so many before it: all of a long line cost little that way."""
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
    """Say who must be told that locked runs end now: those in line at their keys. Before they are moved."""
    return _unlock([row.id for row in rows if row.locked])


def _unlock(ids: Sequence[UUID]) -> list[Unlock]:
    return [Unlock(tuple(store.locks.keys_of(ids)))] if ids else []


def wake_next(keys: Sequence[str]) -> bool:
    """Let the first in line at these keys begin, and have the second look soon. Twice or too early does nothing.

    Returns:
        Whether there is one that may begin.
    """
    with transaction.atomic():
        # Read without locks, for the holder's may be held for long by what it does; then locked in the order of ids.
        ids = store.locks.next_in_line(keys)
        rows = [row.id for row in store.runs.lock(ids) if row.locked and row.state is State.PENDING] if ids else []
        ahead = store.locks.count_ahead(rows) if rows else {}
        if ahead:
            store.runs.be_due_within({run_id: recheck_delay(count) for run_id, count in ahead.items()})
    return 0 in ahead.values()
