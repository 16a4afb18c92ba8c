"""Formats SQL texts that cursors execute. ``sagas.postgresql.statements`` classifies them."""

from __future__ import annotations

from typing import Any

from sagas.postgresql.statements import ends_transaction, writes

__all__ = ["ends_transaction", "short", "text_of", "writes"]


def text_of(value: Any, connection: Any) -> str:
    """Return the SQL text of a cursor's argument: a text, bytes or an object of the driver's ``sql``.

    Args:
        value: the argument.
        connection: the driver's connection, which is needed for quoting.
    """
    if hasattr(value, "as_string"):
        return str(value.as_string(connection))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def short(sql: str) -> str:
    """Shorten a text to one line of at most 80 characters."""
    text = " ".join(sql.split())
    return text if len(text) <= 80 else f"{text[:79]}…"
