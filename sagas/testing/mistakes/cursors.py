"""Looks at what the driver's cursors are told, on Django's own connections: by Django, and behind its back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from psycopg2.extensions import cursor as Cursor

from sagas.testing.mistakes.statements import ends_transaction, text_of

#: Is told a text before the server is. What it raises keeps the text from the server.
Look = Callable[[str], None]
#: How a cursor of the driver's is told something.
TOLD = frozenset({"execute", "executemany", "callproc", "copy_expert", "copy_from"})


@contextmanager
def looked_at(connection: Any, look: Look) -> Iterator[None]:
    """Look at what the cursors are told that are made of this connection of the driver's inside."""
    before = connection.cursor_factory
    connection.cursor_factory = _looking(before or Cursor, look)
    try:
        yield
    finally:
        connection.cursor_factory = before


def is_looked_at(cursor: Any) -> bool:
    """Whether somebody looks at what it is told already."""
    return hasattr(cursor, "_looked_at")


def text_that_ends(frame: FrameType, connection: Any) -> str:
    """A text in sight of a line that would end a transaction: which one a cursor of the line's own is told is unseen.

    Only of use where nobody looks at the cursor: it is of a class of the caller's, or from before.
    """
    said = [*frame.f_locals.values(), *frame.f_code.co_consts]
    texts = [text_of(one, connection) for one in said if isinstance(one, str | bytes) or hasattr(one, "as_string")]
    return next((text for text in texts if ends_transaction(text)), "")


def _looking(base: type[Any], look: Look) -> type[Any]:
    class Looking(base):  # type: ignore[misc]  # of whatever class the connection's are
        _looked_at = True

        def execute(self, query: Any, *more: Any, **named: Any) -> Any:
            look(_sent(self, query, *more, **named))
            return super().execute(query, *more, **named)

        def executemany(self, query: Any, *more: Any, **named: Any) -> Any:
            look(text_of(query, self.connection))
            return super().executemany(query, *more, **named)

        def copy_expert(self, sql: Any, *more: Any, **named: Any) -> Any:
            look(text_of(sql, self.connection))
            return super().copy_expert(sql, *more, **named)

        def copy_from(self, file: Any, table: str, *more: Any, **named: Any) -> Any:
            look(f"COPY {table}")
            return super().copy_from(file, table, *more, **named)

    return Looking


def _sent(cursor: Any, query: Any, *more: Any, **named: Any) -> str:
    try:
        # With its parameters: one of them may be SQL, too.
        return text_of(cursor.mogrify(query, *more, **named), cursor.connection)
    except Exception:  # what is wrong with it the cursor will say
        return text_of(query, cursor.connection)
