"""Database sessions: how long they wait for locks, which session holds a lock, and why a session was lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from sagas import runtime

logger = logging.getLogger(__name__)

#: Seconds to wait for a lock, if some session is known to hold such a lock for long.
SHORT = 0.5
#: Seconds to wait for a lock once a wait has failed: the delivery then only finds out which runs need that lock.
BRIEF = 0.05
#: Seconds for which a process remembers that a lock is held for long.
REMEMBERED = 30.0
#: Seconds between two queries for the session that holds a lock.
_LOOK_EVERY = 0.01
#: Seconds within which the session for these queries must be open; otherwise there are no queries.
_CONNECT = 1.0


def is_pooled(database: BaseDatabaseWrapper, pid: int) -> bool:
    """Whether a pooler may give each transaction of a connection another session of the server.

    Then nothing may be set in a session: it is not there in the next transaction, but in one of another program. A
    pooler such as PgBouncer answers for the server, with a process id of its own. One that passes on the server's is
    known by Django's ``DISABLE_SERVER_SIDE_CURSORS``, which it needs as well.

    Args:
        database: Django's, connected.
        pid: what ``pg_backend_pid()`` has answered there.
    """
    declared: bool = database.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS", False)
    session: Any = database.connection
    return declared or session.info.backend_pid != pid


def limit_waits(seconds: float, using: str = DEFAULT_DB_ALIAS) -> int:
    """Set ``lock_timeout`` for this transaction, never above its present value; return the server process's id."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT pg_backend_pid(), set_config('lock_timeout', LEAST(NULLIF(setting::bigint, 0), %s)::text, true) "
            "FROM pg_settings WHERE name = 'lock_timeout'",
            [max(1, round(seconds * 1000))],
        )
        (pid, _) = cursor.fetchone()
    return int(pid)


@dataclass(frozen=True, slots=True)
class Loss:
    """What the server reports about a session that was lost.

    Attributes:
        outlived: whether the server ran all the time, so that only this session was lost.
        idle: whether the server ends sessions that are idle in a transaction for as long as this one lasted.
    """

    outlived: bool = False
    idle: bool = False


def examine_loss(lasted: float, using: str = DEFAULT_DB_ALIAS) -> Loss:
    """Ask the server, in a new session, about a session that was lost after ``lasted`` seconds."""
    connection = connections[using]
    connection.close()
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT clock_timestamp() - pg_postmaster_start_time() > %s * interval '1 second' "
                "AND NOT pg_is_in_recovery(), setting::bigint "
                "FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'",
                [lasted],
            )
            outlived, idle = cursor.fetchone()
    except Error:
        connection.close()
        return Loss()
    return Loss(outlived=outlived, idle=outlived and 0 < idle <= lasted * 1000)


class Patience:
    """How long one delivery waits for locks, and which session it waits for.

    At first a delivery waits as long as ``lock_timeout`` allows. A lock that it did not get in that time is held for
    long. From then on the delivery waits briefly, only to find out which of its runs need that lock. The other runs
    must not wait with them.

    Attributes:
        ran_out: whether a wait for a lock has timed out.
    """

    def __init__(self, operation: str, *, careful: bool) -> None:
        """Begin with short waits if ``careful``, or if this process remembers a held lock of ``operation``."""
        self.ran_out = False
        self._operation = operation
        remembered = runtime.memory.contended.get(operation, 0.0) > time.monotonic()
        self._seconds: float | None = SHORT if careful or remembered else None
        self._watch: _Watch | None = None
        self._since = 0.0

    def limit(self, using: str = DEFAULT_DB_ALIAS) -> None:
        """Limit the waits of the transaction that has just begun on this database."""
        if self._seconds is None:
            return
        pid = limit_waits(self._seconds, using)
        if self._watch is not None and self._watch.using == using:
            self._watch.pid = pid

    def run_out(self, using: str) -> None:
        """Note that a wait for a lock in this database has timed out."""
        self._seconds = BRIEF
        runtime.memory.contended[self._operation] = time.monotonic() + REMEMBERED
        if not self.ran_out:
            self.ran_out = True
            self._since = time.monotonic()
            self._watch = _Watch(using)

    @property
    def spent(self) -> float:
        """Seconds since the first wait timed out."""
        return time.monotonic() - self._since if self.ran_out else 0.0

    def close(self) -> None:
        """Stop looking for the session that holds the lock."""
        if self._watch is not None:
            self._watch.stop()

    @property
    def holder(self) -> str:
        """A description of the session that holds the lock."""
        return (self._watch.found if self._watch is not None else "") or "somebody who is not known"


#: Finds the session that blocks another and is not blocked itself. Its query is left out: it may contain personal data.
_BLOCKING = """
WITH RECURSIVE blocking(pid) AS (
    SELECT unnest(pg_blocking_pids(%s))
    UNION SELECT unnest(pg_blocking_pids(pid)) FROM blocking WHERE pid <> 0
)
SELECT blocking.pid, application_name, usename, state, EXTRACT(EPOCH FROM clock_timestamp() - xact_start)::float8,
       EXTRACT(EPOCH FROM clock_timestamp() - query_start)::float8
FROM blocking LEFT JOIN pg_stat_activity ON pg_stat_activity.pid = blocking.pid
WHERE blocking.pid = 0 OR NOT EXISTS (SELECT FROM unnest(pg_blocking_pids(blocking.pid)))
ORDER BY xact_start NULLS LAST LIMIT 1
"""


class _Watch:
    """A thread that finds out which session blocks another. It uses its own session, because the other one waits."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.pid = 0
        self.found = ""
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sagas-lock-watch", daemon=True)
        self._thread.start()
        self._ready.wait(_CONNECT)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(_CONNECT)

    def _work(self) -> None:
        connection = connections[self.using]
        try:
            connection.ensure_connection()
            self._ready.set()
            while not self.found and not self._stopping.wait(_LOOK_EVERY):
                if self.pid:
                    with connection.cursor() as cursor:
                        cursor.execute(_BLOCKING, [self.pid])
                        row = cursor.fetchone()
                    self.found = _told(row) if row else ""
        except Exception as error:
            logger.debug("sagas: who holds a lock could not be found out: %s", type(error).__name__)
        finally:
            self._ready.set()
            connection.close()


def _told(found: Sequence[Any]) -> str:
    pid, application, user, state, transaction, query = found
    if not pid:
        return "a prepared transaction"
    parts = [f"application {application!r}" if application else "", f"user {user}" if user else "", state or ""]
    parts.append(f"in its transaction for {transaction:.0f} s" if transaction is not None else "")
    parts.append(f"last query {query:.0f} s ago" if query is not None else "")
    return f"process {pid} ({', '.join(part for part in parts if part)})"
