"""The class of the backend. Django expects it in a module of this name."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.utils import debug_transaction

from sagas import runtime
from sagas.postgresql.driver import driver
from sagas.postgresql.watchdog import Watch, within

#: Seconds within which a persistent session must answer; otherwise Django opens a new one.
USABLE_WITHIN = 2.0
#: Seconds without a statement after which a persistent session is asked whether it answers (``CONN_HEALTH_CHECKS``).
IDLE = 5.0


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's class, but a wait for the server that is longer than ``patience`` ends with a lost connection."""

    @property
    def patience(self) -> float | None:
        """Seconds to wait for the answer to a statement; ``None`` for no limit."""
        said: float | None = self.settings_dict["OPTIONS"].get("patience")
        return said

    def get_connection_params(self) -> dict[str, Any]:
        """Make the driver create watched cursors."""
        params: dict[str, Any] = super().get_connection_params()
        patience = params.pop("patience", None)
        # A pooler refuses ``options``, and nothing is prepared through it.
        if params.pop("prepares", False) and not self.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            # What is prepared is about a few rows, of which the plan is the same whatever the values. They are found by
            # an index: by default PostgreSQL rather reads a table of a thousand rows than ten of them.
            planner = "-c plan_cache_mode=force_generic_plan -c random_page_cost=1.1"
            params["options"] = f"{params.get('options') or ''} {planner}".strip()
        params["cursor_factory"] = _watched(params["cursor_factory"], self, patience)
        return params

    health_check_done: bool
    #: When the last cursor was made, by ``time.monotonic()``.
    _used_at = 0.0

    def close_if_health_check_failed(self) -> None:
        """Close a persistent session that does not answer; ask only one that was idle, or whose server has spoken.

        Django asks before the first statement of every request, which costs a round trip. A server that ends a session
        writes to its socket, or closes it, and both are seen without asking.
        """
        now = time.monotonic()
        if not self.health_check_done and now < self._used_at + IDLE and not self._has_word():
            self.health_check_done = True
        super().close_if_health_check_failed()
        self._used_at = now

    def _cursor(self, name: str | None = None) -> Any:
        """Make a cursor. In a transaction Django need not ask each time whether the session is open and healthy."""
        if not self.in_atomic_block or self.connection is None:
            return super()._cursor(name)  # type: ignore[misc]  # private, but the same in every supported Django
        self._used_at = time.monotonic()
        try:
            return self._prepare_cursor(self.create_cursor(name))  # type: ignore[attr-defined]  # see above
        except Exception:
            with self.wrap_database_errors:
                raise

    def _has_word(self) -> bool:
        """Whether the idle session's socket is closed, or has something to read; a healthy one has nothing."""
        if self.connection is None or self.connection.closed:
            return True
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def is_usable(self) -> bool:
        """Whether a persistent session answers within ``USABLE_WITHIN``."""
        with within(USABLE_WITHIN):
            return bool(super().is_usable())

    def _commit(self) -> None:
        with Watch(self.connection, self.alias, self.patience):
            if not self._end("COMMIT"):
                super()._commit()  # type: ignore[misc]  # private, but the same in every supported Django

    def _rollback(self) -> None:
        with Watch(self.connection, self.alias, self.patience):
            if not self._end("ROLLBACK"):
                super()._rollback()  # type: ignore[misc]  # see above

    # -- BEGIN with the first statement -----------------------------------------------------------------------------
    #
    # psycopg2 sends BEGIN by itself, and waits for its answer, before it sends the first statement of a transaction.
    # Here the driver stays in autocommit, and both are one message. Django has a place for a transaction in autocommit,
    # which SQLite needs. Only blocks that ask for it begin so (``sagas.postgresql.transactions``): a participant, which
    # may use the driver directly, always finds a transaction that has begun.

    #: Whether the next outermost ``atomic`` block begins with its first statement.
    _begins_late = False
    #: Whether the block under way has begun so, or will.
    _is_late = False
    #: Whether BEGIN has yet to be sent.
    _is_begin_due = False

    @contextmanager
    def beginning_late(self) -> Iterator[None]:
        """Have an outermost ``atomic`` block that is entered here send BEGIN with its first statement."""
        self._begins_late = driver.keeps_last_result
        try:
            yield
        finally:
            self._begins_late = False

    def _start_transaction_under_autocommit(self) -> None:
        with debug_transaction(self, "BEGIN"):
            # Only cursors of ours send it.
            if self._begins_late and getattr(self.connection.cursor_factory, "is_watched", False):
                self._is_late = self._is_begin_due = True
            else:
                self._set_autocommit(autocommit=False)

    def _set_autocommit(self, autocommit: bool) -> None:
        if self._is_late and not self._is_begin_due and self.connection.get_transaction_status():
            # An exception has come between the end of the block and COMMIT. What follows must not be part of it.
            self.connection.close()
        self._is_late = self._is_begin_due = False
        # In a block that has begun late the driver has stayed in autocommit. A new session may have come since.
        if self.connection.autocommit is not autocommit:
            super()._set_autocommit(autocommit)  # type: ignore[misc]  # see above

    def execute_first(self, cursor: Any, execute: Callable[..., Any], query: Any, *more: Any, **named: Any) -> Any:
        """Execute the first statement of a transaction that begins with it, on a cursor of the driver's."""
        self._is_begin_due = False
        try:
            if cursor.name is None and isinstance(query, str):
                return execute(f"BEGIN; {query}", *more, **named)
            with self.connection.cursor() as beginning:
                beginning.execute("BEGIN")
            return execute(query, *more, **named)
        finally:
            # A text that is no SQL is refused as a whole.
            self._is_begin_due = not self.connection.closed and not self.connection.get_transaction_status()

    def _end(self, command: str) -> bool:
        """End a transaction that has begun with its first statement; return whether it was one."""
        if not self._is_late or self.connection is None:
            return False
        if not self._is_begin_due:
            with debug_transaction(self, command), self.wrap_database_errors, self.connection.cursor() as cursor:
                cursor.execute(command)
        return True


def _watched(factory: Any, database: DatabaseWrapper, patience: float | None) -> type[Any]:
    """Derive a cursor class whose waits for the server are watched, also where code uses the driver directly."""
    alias = database.alias

    class Cursor(factory):  # type: ignore[misc]  # the driver's class
        is_watched = True

        def execute(self, *args: Any, **kwargs: Any) -> Any:
            with Watch(self.connection, alias, patience):
                if database._is_begin_due:
                    return database.execute_first(self, super().execute, *args, **kwargs)
                return super().execute(*args, **kwargs)

        def executemany(self, *args: Any, **kwargs: Any) -> Any:
            with Watch(self.connection, alias, patience):
                return super().executemany(*args, **kwargs)

        def callproc(self, *args: Any, **kwargs: Any) -> Any:
            with Watch(self.connection, alias, patience):
                return super().callproc(*args, **kwargs)

    return Cursor


def _leave_pools_to_parent() -> None:
    """Begin without Django's pools of psycopg 3: a forked child has their sockets, and not their threads."""
    pools = base.DatabaseWrapper._connection_pools  # type: ignore[attr-defined]  # the same in every supported Django
    # Kept, because the destructor of a pool waits for its threads.
    runtime.own.pools_of_parent.extend(pools.values())
    pools.clear()


os.register_at_fork(after_in_child=_leave_pools_to_parent)
