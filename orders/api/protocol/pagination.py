"""Pages of orders, by a cursor, so that new orders do not shift later pages."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

#: Digits that every id of the database has at most.
_LONGEST_ID = 18


class OrderPagination(CursorPagination):
    """Twenty a page, newest first."""

    page_size = 20
    ordering = "-id"

    def decode_cursor(self, request: Request) -> Any:
        """Refuse a cursor that no page has offered.

        Without a position, or with an empty one, the list would silently begin from the start; with a position that is
        no id, the query would fail with a 500.
        """
        cursor = super().decode_cursor(request)
        if cursor is None:
            return None
        position = "" if cursor.position is None else str(cursor.position)
        is_offered = cursor.offset or cursor.reverse if not position else position.isascii() and position.isdigit()
        if not is_offered or len(position) > _LONGEST_ID:
            raise NotFound(self.invalid_cursor_message)
        return cursor
