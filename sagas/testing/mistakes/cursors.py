"""Observes the SQL that cursors of Django's connections execute, also where code bypasses Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sagas.postgresql.driver import driver
from sagas.testing.mistakes.statements import ends_transaction, text_of

#: Called with each text before it is sent. If the function raises, the text is not sent.
OnStatement = Callable[[str], None]


@contextmanager
def observed_cursors(connection: Any, on_statement: OnStatement) -> Iterator[None]:
    """Observe the cursors that this connection of the driver makes inside the block."""
    before = connection.cursor_factory
    connection.cursor_factory = _observing_class(before or driver.cursor, on_statement)
    try:
        yield
    finally:
        connection.cursor_factory = before


def is_observed(cursor: Any) -> bool:
    """Whether a cursor is observed."""
    return hasattr(cursor, "_sagas_observed")


def transaction_ending_text(frame: FrameType, connection: Any) -> str:
    """Find a text among a frame's variables and constants that would end a transaction; "" if there is none.

    It is used for cursors that are not observed, because of their own class or because they are older: what such a
    cursor executes cannot be seen.
    """
    values = [*frame.f_locals.values(), *frame.f_code.co_consts]
    texts = [text_of(one, connection) for one in values if isinstance(one, str | bytes) or hasattr(one, "as_string")]
    return next((text for text in texts if ends_transaction(text)), "")


def _observing_class(base: type[Any], on_statement: OnStatement) -> type[Any]:
    class ObservingCursor(base):  # type: ignore[misc]  # the class of the connection's cursors
        _sagas_observed = True

        def execute(self, query: Any, *more: Any, **named: Any) -> Any:
            on_statement(_rendered(self, query, *more, **named))
            return super().execute(query, *more, **named)

        def executemany(self, query: Any, *more: Any, **named: Any) -> Any:
            on_statement(text_of(query, self.connection))
            return super().executemany(query, *more, **named)

        def copy_expert(self, sql: Any, *more: Any, **named: Any) -> Any:
            on_statement(text_of(sql, self.connection))
            return super().copy_expert(sql, *more, **named)

        def copy(self, statement: Any, *more: Any, **named: Any) -> Any:
            on_statement(_rendered(self, statement, *more, **named))
            return super().copy(statement, *more, **named)

        def stream(self, query: Any, *more: Any, **named: Any) -> Any:
            on_statement(_rendered(self, query, *more, **named))
            return super().stream(query, *more, **named)

        def copy_from(self, file: Any, table: str, *more: Any, **named: Any) -> Any:
            on_statement(f"COPY {table}")
            return super().copy_from(file, table, *more, **named)

    return ObservingCursor


def _rendered(cursor: Any, query: Any, *more: Any, **named: Any) -> str:
    try:
        # Including parameters, which may contain SQL as well.
        return text_of(cursor.mogrify(query, *more, **named), cursor.connection)
    except Exception:  # the cursor itself will report the error
        return text_of(query, cursor.connection)
