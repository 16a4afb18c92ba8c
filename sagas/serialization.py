"""JSON that the engine stores: a run's request, each step's result, the data that comes with a confirmation.

It is read with every lock of its run and written with its log rows, so one large value slows other runs down. Keep
large values in a table of the domain, and store their keys here.
"""

from __future__ import annotations

import json
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from sagas import limits
from sagas.conf import config
from sagas.errors import DataTooLarge, InvalidArgument
from sagas.validation import check_depth


class _Encoder(DjangoJSONEncoder):
    """Django's encoder, except that it keeps the microseconds."""

    def default(self, value: Any) -> Any:
        """Write what JSON does not know."""
        if isinstance(value, datetime):
            text = value.isoformat()
            return f"{text[:-6]}Z" if text.endswith("+00:00") else text
        if isinstance(value, time) and value.tzinfo is None:
            return value.isoformat()
        return super().default(value)


def dump_json(value: object) -> str:
    """Write a value as JSON.

    Raises:
        TypeError: JSON has no form for a part of it.
        ValueError: JSON, or PostgreSQL's jsonb, cannot hold it: NaN, a NUL character, too many levels.
    """
    text = _dump(value)
    check_depth(text)
    return text


def dump_limited(value: object, what: str) -> str:
    """Write a value that a caller hands in as JSON.

    Args:
        value: the value.
        what: what it is, for the error: "the result of reserve".

    Raises:
        InvalidArgument: JSON, or PostgreSQL's jsonb, cannot hold it.
        DataTooLarge: it has more than ``SAGAS["DATA_LIMIT"]`` bytes.
    """
    try:
        text = _dump(value)
        check_size(text, what)
        check_depth(text)
    except (TypeError, ValueError) as error:
        msg = f"{what} cannot be kept: {error}"
        raise InvalidArgument(msg) from error
    return text


def _dump(value: object) -> str:
    try:
        text = json.dumps(value, cls=_Encoder, allow_nan=False, ensure_ascii=False)
    except RecursionError:
        msg = f"it is nested deeper than {limits.JSON_DEPTH} levels"
        raise ValueError(msg) from None
    text.encode()  # a lone surrogate is refused here, and not by the database for the whole cohort
    # Not the six characters themselves, which JSON writes with a backslash more.
    if "\\u0000" in text.replace("\\\\", ""):
        msg = "a result with a NUL character: PostgreSQL cannot store it"
        raise ValueError(msg)
    return text


def as_stored(text: str) -> Any:
    """Read a JSON text as if PostgreSQL's jsonb had stored it, which orders names and writes numbers in full."""
    return json.loads(text, parse_float=_read_number, object_pairs_hook=_in_order)


def _read_number(text: str) -> int | float:
    # 1e+16 is stored as 10000000000000000. There is no negative zero.
    if "e" in text.lower() and (number := Decimal(text)) == number.to_integral_value():
        return int(number)
    return float(text) or 0.0


def _in_order(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(sorted(pairs, key=lambda pair: (len(pair[0].encode()), pair[0].encode())))


def check_size(text: str, what: str) -> None:
    """Raise ``DataTooLarge`` if a JSON text has more than ``SAGAS["DATA_LIMIT"]`` bytes in UTF-8.

    Args:
        text: the JSON text.
        what: what the text is, for the error: "the request of orders.PlaceOrder".
    """
    limit = config().data_limit
    # Python knows the length in characters, which for ASCII is that in bytes; only other texts are encoded.
    size = len(text) if text.isascii() or len(text) > limit else len(text.encode())
    if size > limit:
        size = len(text.encode())
        msg = (
            f"{what} is {size:,} bytes of JSON; SAGAS['DATA_LIMIT'] is {limit:,}. "
            "Keep what is large in a table of your own, and its key here"
        )
        raise DataTooLarge(msg, size=size, limit=limit)
