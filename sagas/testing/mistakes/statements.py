"""An SQL text as a cursor is given it, and as it is shown. What it does: ``sagas.postgresql.statements``."""

from __future__ import annotations

from typing import Any

from sagas.postgresql.statements import ends_transaction, writes

__all__ = ["ends_transaction", "short", "text_of", "writes"]


def text_of(said: Any, connection: Any) -> str:
    """What the server is told: ``psycopg2.sql`` put together, bytes as text.

    Args:
        said: what was given to a cursor.
        connection: the driver's, which knows how to quote.
    """
    if hasattr(said, "as_string"):
        return str(said.as_string(connection))
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def short(sql: str) -> str:
    """In one line."""
    text = " ".join(sql.split())
    return text if len(text) <= 80 else f"{text[:79]}…"
