"""Checks of input, before it reaches a lock or a statement. Pure.

Ids, names, texts and JSON come from callers, participants, reports and messages. If PostgreSQL cannot store a value, or
if it would overflow a stack, its sender gets an error, and the transaction goes on.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn
from uuid import UUID

from sagas import limits
from sagas.errors import InvalidArgument, RunNotFound


class InvalidJson(ValueError):
    """Python would read this JSON, and other readers would not. The message quotes nothing but a constant."""


def parse_json(text: str | bytes, *, depth: int = limits.JSON_DEPTH, once: bool = False) -> Any:
    """Parse JSON that comes from outside.

    Args:
        text: the JSON; bytes are UTF-8.
        depth: the largest number of levels of lists and objects.
        once: refuse an object that has a name twice. Some readers take the first value, some the last.

    Raises:
        ValueError: the text is no JSON (RFC 8259 has no NaN), is not UTF-8, or is nested too deeply.
    """
    pairs = _object if once else None
    try:
        said = text.decode() if isinstance(text, bytes) else text
        value = json.loads(said, parse_constant=_refuse, object_pairs_hook=pairs)
    except RecursionError:
        raise _too_deep(depth) from None
    if _is_deeper(value, depth):
        raise _too_deep(depth)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidJson("an object has a name twice")
    return found


def check_depth(text: str) -> None:
    """Raise ``ValueError`` if JSON that the engine wrote is nested too deeply. Counting brackets is mostly enough."""
    if text.count("[") + text.count("{") > limits.JSON_DEPTH:
        parse_json(text)


def _is_deeper(value: object, depth: int) -> bool:
    # Level by level: nothing recurses here.
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(depth):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
    return bool(level)


def why_unstorable(text: str) -> str:
    """Say why PostgreSQL cannot store a text; '' if it can."""
    if "\x00" in text:
        return "a NUL character, which PostgreSQL cannot store"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair, which is no character"
    return ""


def check_person(what: str, value: object) -> None:
    """Raise ``InvalidArgument`` if a value is no text, or is too long to be a person's name. '' is allowed.

    Args:
        what: the argument's name, for the error.
        value: the argument.
    """
    _check_text(what, value, limits.PERSON_NAME)


def check_note(what: str, value: object) -> None:
    """Raise ``InvalidArgument`` if a value is no text, or is too long for a note."""
    _check_text(what, value, limits.NOTE)


def printable(text: str) -> str:
    """Replace what PostgreSQL cannot store in a text. An entry of the log is never refused for a character in it."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def parse_run_id(value: object) -> UUID:
    """Read the id of a run; raise ``RunNotFound`` for a value that cannot be one."""
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    msg = f"there is no run {_quoted(value)}: the id of a run is a UUID"
    raise RunNotFound(msg)


def _check_text(what: str, value: object, limit: int) -> None:
    if not isinstance(value, str):
        msg = f"{what}={_quoted(value)}: give a text"
        raise InvalidArgument(msg)
    if len(value) > limit:
        msg = f"{what} has {len(value):,} characters; give at most {limit:,}"
        raise InvalidArgument(msg)


def _quoted(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str | bytes | int | None) else f"of type {type(value).__name__}"


def _too_deep(depth: int) -> InvalidJson:
    return InvalidJson(f"it is nested deeper than {depth} levels")


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is no number"
    raise InvalidJson(msg)
