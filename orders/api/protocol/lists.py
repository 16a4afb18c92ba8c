"""Lists: what a client may ask of one, and the pages in which it is answered.

The query of a list is a serializer (`ListQuery`): it says what there is to the document of the API, and refuses what
there is not. A page begins behind a row and not at a number, so rows that come meanwhile shift no later page. What a
list filters within is bounded by an index: a customer's orders, a store's queue.
"""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from orders.api.protocol.problems import Problem
from orders.api.protocol.unknown import StrictSerializer

#: The most rows of a page, and those of a page whose length was not asked for.
MOST, USUAL = 100, 20
#: The longest cursor that is decoded, in characters. Those that are offered have about fifty.
_LONGEST = 400
#: Ids are smaller.
_LARGEST = 2**63


class Query(StrictSerializer):
    """What may stand in the URL of a list: its fields are the query parameters, and there are no others."""

    @classmethod
    def names(cls) -> frozenset[str]:
        """The query parameters."""
        return frozenset(cls().fields)

    @classmethod
    def of(cls, request: Request) -> Mapping[str, Any]:
        """Read them.

        Raises:
            Problem: 400 ``invalid-parameter``; ``errors`` names each.
        """
        given = request._request.GET
        twice = [name for name, values in given.lists() if len(values) > 1]
        if twice:
            raise _invalid(
                {name: [serializers.ErrorDetail(_("It is given more than once."), "twice")] for name in twice}
            )
        query = cls(data=given.dict())
        if not query.is_valid():
            raise _invalid(query.errors)
        asked: Mapping[str, Any] = query.validated_data
        return asked


class ListQuery(Query):
    """The query of a list in pages. A list with filters or orders of its own adds them."""

    cursor = serializers.CharField(
        required=False, max_length=_LONGEST, help_text="From `next` or `previous` of a page."
    )
    limit = serializers.IntegerField(
        required=False, default=USUAL, min_value=1, max_value=MOST, help_text="Rows of a page."
    )


class Id(serializers.IntegerField):
    """The id of a row, as a query parameter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=_LARGEST - 1, **options)


class Moment(serializers.DateTimeField):
    """A time with its zone, as a query parameter: without one it would be the shop's, which a client may not know."""

    def enforce_timezone(self, value: Any) -> Any:
        """Refuse a time without a zone."""
        if value.tzinfo is None:
            raise serializers.ValidationError(_("Say the time zone, such as 2026-12-01T10:00:00Z."), "no-time-zone")
        return super().enforce_timezone(value)


@extend_schema_field({"type": "boolean"})
class Flag(serializers.ChoiceField):
    """``true`` or ``false``, as a query parameter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=["true", "false"], **options)

    def to_internal_value(self, data: Any) -> Any:
        """Read it."""
        return super().to_internal_value(data) == "true"


class Code(serializers.CharField):
    """A code that the shop has given, as a query parameter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=64, **options)


def ordering(usual: str, *others: str) -> serializers.ChoiceField:
    """A query parameter that says in which order a list is; with a minus the largest first."""
    return serializers.ChoiceField(
        choices=[usual, *others], required=False, default=usual, help_text="With a minus, the largest or newest first."
    )


def filters(asked: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The lookups of a queryset: of each parameter that was given, by its name, what it is for the table."""
    return {lookup: asked[name] for name, lookup in names.items() if name in asked}


def paged(
    request: Request,
    asked: Mapping[str, Any],
    rows: QuerySet[Any],
    *,
    by: str,
    write: Callable[[list[Any]], Any],
) -> dict[str, Any]:
    """Answer one page.

    Args:
        request: with the cursor.
        asked: what `ListQuery.of` has read.
        rows: all rows of the list, in any order.
        by: the field that orders them, ``id`` or a time that is never null; with a minus the largest or newest first.
            The id decides between equals.
        write: makes of the page's rows what is answered.

    Raises:
        Problem: 400 ``invalid-cursor``.
    """
    found, following, previous = _Pages(request, by, asked["limit"]).read(rows, asked.get("cursor"))
    return {"next": following, "previous": previous, "results": write(found)}


def page_of(row: type[serializers.Serializer[Any]], name: str) -> type[serializers.Serializer[Any]]:
    """The serializer of a page of such rows, for the document."""
    fields = {
        "next": serializers.URLField(allow_null=True, help_text="The page behind this one; null if this is the last."),
        "previous": serializers.URLField(allow_null=True),
        "results": row(many=True),
        "__doc__": "A page.",
    }
    return type(name, (serializers.Serializer,), fields)


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A place in a list: behind this row, or before it.

    Attributes:
        by: the order, for which alone the cursor is good.
        value: of the row's ordering field.
        row: its id, which decides between rows of the same value.
        back: whether the page is the one before the row.
    """

    by: str
    value: Any
    row: int
    back: bool = False

    def link(self, request: Request) -> str:
        """The URL of the page: that of this request, with the cursor."""
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        text = json.dumps([self.by, int(self.back), value, self.row], separators=(",", ":"))
        encoded = urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return str(replace_query_param(request.build_absolute_uri(), "cursor", encoded))

    @classmethod
    def read(cls, text: str, by: str) -> _Cursor:
        """Read one that a page of this order has offered.

        Raises:
            ValueError: it is none, or of another order.
        """
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        match json.loads(b64decode(padded, b"-_", validate=True)):
            case [str() as order, 0 | 1 as back, (int() | str()) as value, int() as row] if order == by:
                pass
            case _:
                msg = "no page has offered this cursor"
                raise ValueError(msg)
        moment = None if by.lstrip("-") == "id" else datetime.fromisoformat(str(value))
        if not 0 <= row < _LARGEST or (moment is None and value != row) or (moment and moment.tzinfo is None):
            msg = "no page has offered this cursor"
            raise ValueError(msg)
        return cls(by, row if moment is None else moment, row, bool(back))


class _Pages:
    """The pages of a list in one order: those of ids, or of times with ids."""

    def __init__(self, request: Request, by: str, limit: int) -> None:
        self._request, self._by, self._limit = request, by, limit
        self._field = by.lstrip("-")

    def read(self, rows: QuerySet[Any], text: str | None) -> tuple[list[Any], str | None, str | None]:
        """Read a page.

        Returns:
            Its rows, and the URLs of the next and of the previous page.
        """
        cursor = None if text is None else self._cursor(text)
        back = cursor is not None and cursor.back
        # The way in which is read: of a page back against the order.
        falls = self._by.startswith("-") is not back
        sign = "-" if falls else ""
        order = [f"{sign}id"] if self._field == "id" else [f"{sign}{self._field}", f"{sign}id"]
        if cursor is not None:
            rows = rows.filter(self._behind(cursor, "lt" if falls else "gt"))
        found = list(rows.order_by(*order)[: self._limit + 1])
        more, found = len(found) > self._limit, found[: self._limit]
        if back:
            found.reverse()
        first, last = (found[0], found[-1]) if found else (None, None)
        has_next, has_previous = (True, more) if back else (more, cursor is not None)
        following = self._link(last, cursor) if has_next else None
        return found, following, self._link(first, cursor, back=True) if has_previous else None

    def _cursor(self, text: str) -> _Cursor:
        try:
            return _Cursor.read(text, self._by)
        except (ValueError, RecursionError):
            raise Problem(400, "invalid-cursor", _("`cursor` is what a page of this list has in `next`.")) from None

    def _behind(self, cursor: _Cursor, way: str) -> Q:
        """Rows behind the cursor's. The first condition is for the index."""
        if self._field == "id":
            return Q((f"id__{way}", cursor.row))
        value = cursor.value
        return Q((f"{self._field}__{way}e", value)) & (
            Q((f"{self._field}__{way}", value)) | Q((f"id__{way}", cursor.row))
        )

    def _link(self, row: Any, cursor: _Cursor | None, *, back: bool = False) -> str | None:
        """The URL of the page behind a row, or before it; of an empty page behind, or before, where it began."""
        if row is not None:
            return _Cursor(self._by, getattr(row, self._field), row.pk, back).link(self._request)
        if cursor is None:
            return None
        # The page began beside this row, and the row itself is on the page that the link leads to.
        number = cursor.row + (1 if back is not self._by.startswith("-") else -1)
        value = number if self._field == "id" else cursor.value
        return replace(cursor, value=value, row=number, back=back).link(self._request)


def _invalid(errors: Mapping[str, Any]) -> Problem:
    """The problem of query parameters that do not fit."""
    found = [
        {"parameter": name, "code": getattr(error, "code", "invalid"), "detail": str(error)}
        for name, each in errors.items()
        for error in each
    ]
    detail = " ".join(f"{one['parameter']}: {one['detail']}" for one in found)
    return Problem(400, "invalid-parameter", detail, errors=found)
