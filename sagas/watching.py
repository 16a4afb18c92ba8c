"""Have a function called when a run changes: for servers whose clients wait without a thread or a connection each.

One thread of the process listens to Redis for changes of state, and asks the database once a second for all runs that
are watched: for changes that were not announced, for steps, and where there is no Redis. It has the one connection, and
ends when nobody watches any more. An application may have it watch rows of its own besides (``watch_rows``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any
from uuid import UUID

from django.db import Error, connections

from sagas import runtime, store
from sagas.db import after_commit, describe_error, uuid_array
from sagas.redis import changes
from sagas.redis.changes import Announcements

logger = logging.getLogger(__name__)

#: Seconds between two questions to the database. Where changes are not announced, this is how late one may be seen.
ASKED_EVERY = 1.0
#: The longest that the thread does not look whether somebody's time is over, and for which it stays without a watch.
_LOOK_EVERY = 0.1
_LINGER = 5.0
#: Reads, in one statement, what is another text after each change; keys of which there is nothing are left out.
Versions = Callable[[Collection[Any]], Mapping[Any, str]]


class Watch:
    """Something that somebody watches. Moments are those of ``time.monotonic()``.

    Args:
        key: the id of a run, or a key of the application's.
        end: when its time is over.
        call: what is called then, or at a change.
        reads: what together says how it stands.
        version: how it stood when it was last looked at, if that is known.
    """

    __slots__ = ("_called", "_lock", "call", "end", "key", "reads", "version")

    def __init__(
        self,
        key: Hashable,
        end: float,
        call: Callable[[], None],
        reads: tuple[Versions, ...],
        version: str | None = None,
    ) -> None:
        self.key = key
        self.end = end
        self.call = call
        self.reads = reads
        self.version = version
        self._called = False
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Call the function, the first time."""
        with self._lock:
            called, self._called = self._called, True
        if called:
            return
        try:
            self.call()
        except Exception:
            logger.exception("sagas: what was to be done at the change of a run failed")

    def cancel(self) -> None:
        """Call nothing any more."""
        with self._lock:
            self._called = True
        watcher = runtime.own.watcher
        if watcher is not None:
            watcher.forget(self)


def watch(run_id: UUID, timeout: float, call: Callable[[], None], *, besides: Versions | None = None) -> Watch:
    """Have a function called once: when the run has changed, at the latest after ``timeout`` seconds.

    Watch first, then read the run, and then wait: so no change is missed. The function may be called though nothing
    has changed. It is called in a thread that serves all watches of the process, so it must not wait; its errors are
    logged.

    Args:
        run_id: the run; it may be one that is not committed, and one that does not exist.
        timeout: seconds.
        call: the function.
        besides: what else is watched under the run's id, such as what the application does once the run has ended.
            It is asked once a second for all watches that name the same function; ``announce`` makes it faster.

    Raises:
        django.db.Error: the database could not be asked.
    """
    reads = (_of_runs, *([besides] if besides else []))
    watched = Watch(run_id, time.monotonic() + timeout, call, reads)
    watcher = _watcher()
    watcher.add(watched)
    try:
        watched.version = _versions([watched])[watched]
    except BaseException:
        watcher.forget(watched)
        raise
    return watched


def watch_rows(key: Hashable, timeout: float, call: Callable[[], None], *, versions: Versions, seen: str) -> Watch:
    """Have a function called once: when rows of the application's are not as they were seen, or the time is over.

    They are asked for once a second, by the thread that asks for runs. All else is as for ``watch``.

    Args:
        key: what is watched, as ``versions`` knows it.
        timeout: seconds.
        call: the function.
        versions: is asked for all watches that name the same function, in one call.
        seen: the version that the caller has seen.
    """
    watched = Watch(key, time.monotonic() + timeout, call, (versions,), seen)
    _watcher().add(watched)
    return watched


def _of_runs(run_ids: Collection[UUID]) -> Mapping[UUID, str]:
    return store.runs.find_versions(run_ids)


def _watcher() -> Watcher:
    with runtime.own.lock:
        if runtime.own.watcher is None:
            runtime.own.watcher = Watcher()
        return runtime.own.watcher


def announce(run_ids: Collection[UUID]) -> None:
    """Have those look who watch something besides these runs, once the transaction is committed. It may be lost."""
    after_commit(changes.announce, uuid_array(run_ids))


def _versions(watches: Collection[Watch]) -> dict[Watch, str]:
    """How everything stands that these watch."""
    told: defaultdict[Watch, list[str]] = defaultdict(list)
    # In the order in which each watch names them.
    for read in dict.fromkeys(read for watched in watches for read in watched.reads):
        of_it = [watched for watched in watches if read in watched.reads]
        found = read({watched.key for watched in of_it})
        for watched in of_it:
            told[watched].append(found.get(watched.key, ""))
    return {watched: " ".join(parts) for watched, parts in told.items()}


class Watcher:
    """All watches of a process, and the thread that serves them while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._came = threading.Condition(self._lock)
        self._watches: defaultdict[Hashable, set[Watch]] = defaultdict(set)
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int:
        """How many watches there are."""
        with self._lock:
            return sum(map(len, self._watches.values()))

    def add(self, watched: Watch) -> None:
        """Serve a watch."""
        with self._lock:
            self._watches[watched.key].add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sagas-watching", daemon=True)
                self._thread.start()
            self._came.notify()

    def forget(self, watched: Watch) -> None:
        """Serve it no more."""
        with self._lock:
            watches = self._watches.get(watched.key)
            if watches is not None:
                watches.discard(watched)
                if not watches:
                    del self._watches[watched.key]

    def _run(self) -> None:
        announcements = Announcements()
        asked_at = time.monotonic()
        try:
            while self._are_any():
                self._wake(announcements.listen(_LOOK_EVERY, time.sleep))
                now = time.monotonic()
                self._wake_late(now)
                if now >= asked_at + ASKED_EVERY:
                    asked_at = now
                    self._ask()
        finally:
            announcements.close()
            connections.close_all()
            with self._lock:
                # Who comes after _are_any() has seen nobody has found this thread, and it is gone now.
                self._thread = None
                if self._watches:
                    self._thread = threading.Thread(target=self._run, name="sagas-watching", daemon=True)
                    self._thread.start()

    def _are_any(self) -> bool:
        with self._lock:
            if self._watches:
                return True
        # Who waits for somebody who may never come holds no connection.
        connections.close_all()
        with self._lock:
            return bool(self._watches) or bool(self._came.wait_for(lambda: self._watches, _LINGER))

    def _wake(self, ids: set[UUID]) -> None:
        if ids:
            self._wake_all([watched for run_id in ids for watched in self._of(run_id)])

    def _of(self, run_id: UUID) -> list[Watch]:
        with self._lock:
            return list(self._watches.get(run_id, ()))

    def _all(self) -> list[Watch]:
        with self._lock:
            return [watched for watches in self._watches.values() for watched in watches]

    def _wake_late(self, now: float) -> None:
        self._wake_all([watched for watched in self._all() if now >= watched.end])

    def _ask(self) -> None:
        watches = self._all()
        try:
            versions = _versions(watches)
        except Error as error:
            logger.warning("sagas: what is watched was not looked at: %s", describe_error(error))
            connections.close_all()
            return
        except Exception:
            # Not expected, and no reason to end what others wait for.
            logger.exception("sagas: what is watched was not looked at")
            connections.close_all()
            return
        # Those without a version are about to read it, and then their run.
        self._wake_all([w for w in watches if w.version is not None and versions[w] != w.version])

    def _wake_all(self, watches: list[Watch]) -> None:
        for watched in watches:
            self.forget(watched)
            watched.wake()
