"""Whether a request is the same after it is stored and read again. Pure.

A request is written as JSON and read in another process. Some values change on the way: a field with an alias, an
excluded field, a secret that is written as stars, a NaN, a derived class. Comparing with ``==`` does not find all:
it leaves out ``field(compare=False)``, and an object without ``__eq__`` equals only itself.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import repeat
from typing import Any

from pydantic import BaseModel

#: The path to a field of a request: names, positions, and ``*`` for a key of a mapping, which may be personal.
FieldPath = tuple[str, ...]

_PLAIN = frozenset({str, int, bool, type(None), bytes})
_SEQUENCES = (list, tuple, deque)


def first_difference(given: Any, read: Any) -> FieldPath | None:
    """Return the path at which two values differ; ``None`` if they are the same.

    A list and a tuple with the same elements are the same, and so are numbers of one value (``True``, 1 and 1.0): the
    declared type says which of them is read. -0.0 is the same as 0.0.
    """
    kind: Any = type(given)
    if kind in _PLAIN and kind is type(read):
        return None if given == read else ()
    if (names := _attributes(kind)) is not None:
        if kind is not type(read):
            return ()
        return _first(names, [getattr(given, name) for name in names], [getattr(read, name) for name in names])
    if kind is type(read) and issubclass(kind, BaseModel):
        return _of_model(given, read)
    if isinstance(given, _SEQUENCES) and isinstance(read, _SEQUENCES):
        if len(given) != len(read) or hasattr(given, "_fields") is not hasattr(read, "_fields"):
            return ()
        return _first(map(str, range(len(given))), given, read)
    if isinstance(given, Mapping) and isinstance(read, Mapping):
        if len(given) != len(read) or any(key not in read for key in given):
            return ()
        return _first(repeat("*"), given.values(), [read[key] for key in given])
    return None if _are_equal(given, read) else ()


@lru_cache(maxsize=1024)
def _attributes(kind: Any) -> tuple[str, ...] | None:
    """The fields of a dataclass; ``None`` for another type. It is computed once for each type, because it is slow."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def _of_model(given: BaseModel, read: BaseModel) -> FieldPath | None:
    # Without private attributes: they are not written, and each instance makes its own.
    extra = set(given.__pydantic_extra__ or {})
    if extra != set(read.__pydantic_extra__ or {}):
        return ()
    names = (*type(given).model_fields, *sorted(extra))
    return _first(names, [getattr(given, name, None) for name in names], [getattr(read, name, None) for name in names])


def _first(names: Iterable[str], given: Iterable[Any], read: Iterable[Any]) -> FieldPath | None:
    for name, one, other in zip(names, given, read, strict=False):
        if type(one) in _PLAIN and type(one) is type(other) and one == other:
            continue
        place = first_difference(one, other)
        if place is not None:
            return (name, *place)
    return None


def _are_equal(given: Any, read: Any) -> bool:
    try:
        if given == read:
            return True
        if given != given and read != read:  # noqa: PLR0124 - NaN, of whatever type
            return True
    except Exception:
        return False  # such as arrays, whose == returns no bool
    if isinstance(given, datetime) and isinstance(read, datetime):
        # In the hour that is repeated in autumn, a time with a named zone does not equal a time with an offset.
        aware = given.utcoffset() is not None and read.utcoffset() is not None
        return aware and given.astimezone(UTC) == read.astimezone(UTC)
    if type(given) is type(read) and _has_no_equality(type(given)):
        # Compare the attributes, if it has any.
        state = given.__getstate__()
        return state is not None and first_difference(state, read.__getstate__()) is None
    return False


def _has_no_equality(kind: Any) -> bool:
    return bool(kind.__eq__ is object.__eq__)
