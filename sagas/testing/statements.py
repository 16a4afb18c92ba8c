"""What an SQL text does, as far as it can be seen from outside: does it end a transaction, does it write? Pure."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"""
      (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<dollar>(?<![\w$])\$(?:[^\W\d]\w*)?\$)
    | (?P<quoted>(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<end>;)
    """,
    re.X | re.S,
)
_COMMENT = re.compile(r"/\*|\*/")
_ENDS = re.compile(
    r"\s*(COMMIT|ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO)|BEGIN|START\s+TRANSACTION|END|ABORT|PREPARE\s+TRANSACTION)\b",
    re.I,
)
_WRITES = re.compile(
    r"[\s(]*(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|COPY|CREATE|ALTER|DROP|CALL|DO|REFRESH"
    r"|WITH\b.*\b(INSERT\s+INTO|UPDATE\s+\S+|DELETE\s+FROM)|(WITH\b.*)?\bSELECT\b.*\bINTO)\b",
    re.I | re.S,
)


def text_of(said: Any, connection: Any) -> str:
    """What the server is told: ``psycopg2.sql`` put together, bytes as text.

    Args:
        said: what was given to a cursor.
        connection: the driver's, which knows how to quote.
    """
    if hasattr(said, "as_string"):
        return str(said.as_string(connection))
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def ends_transaction(sql: str) -> bool:
    """Whether one of the statements ends a transaction, or begins one."""
    return any(_ENDS.match(part) for part in _parts(sql))


def writes(sql: str) -> bool:
    """Whether one of the statements writes. What a function does that is called in a SELECT is not seen."""
    return any(_WRITES.match(part) for part in _parts(sql))


def short(sql: str) -> str:
    """In one line."""
    text = " ".join(sql.split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def _parts(sql: str) -> list[str]:
    """The statements, without comments, and without what is between quotes: a COMMIT in a text is none.

    What is opened and never closed is read as if it were not opened: PostgreSQL refuses it, and if it does not, a
    COMMIT too many is seen rather than one too few.
    """
    parts, here, position = [], "", 0
    while token := _TOKEN.search(sql, position):
        here += sql[position : token.start()]
        position = token.end()
        match token.lastgroup:
            case "line":
                here += " "
            case "block":
                position = _after_comment(sql, position)
                here += " "
            case "dollar":
                close = sql.find(token.group(), position)
                position = position if close < 0 else close + len(token.group())
                here += "''"
            case "quoted":
                here += "''"
            case _:
                parts.append(here)
                here = ""
    return [*parts, here + sql[position:]]


def _after_comment(sql: str, position: int) -> int:
    """Where a comment that was opened ends; PostgreSQL's may have others in them."""
    depth, after = 1, position
    while depth:
        mark = _COMMENT.search(sql, after)
        if mark is None:
            return position
        depth += 1 if mark.group() == "/*" else -1
        after = mark.end()
    return after
