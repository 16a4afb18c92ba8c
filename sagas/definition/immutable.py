"""Whether a value can never change, so that several calls may be given the same. Pure."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

_PLAIN = frozenset({str, int, float, bool, bytes, type(None), Decimal, UUID, date, datetime, time, timedelta})


def is_immutable(value: Any) -> bool:
    """Whether it is plain, or a tuple, a frozen set or a frozen dataclass with slots of such values.

    Without slots an object may have attributes that are no fields.
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_immutable, value))
    names = _fields(kind)
    return names is not None and all(is_immutable(getattr(value, name)) for name in names)


@lru_cache(maxsize=1024)
def _fields(kind: Any) -> tuple[str, ...] | None:
    """The fields of a frozen dataclass with slots; ``None`` for another type."""
    params = getattr(kind, "__dataclass_params__", None)
    if params is None or not params.frozen or kind.__dictoffset__:
        return None
    return tuple(field.name for field in dataclasses.fields(kind))
