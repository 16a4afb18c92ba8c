"""Pages of orders, by a cursor, so that new orders do not shift later pages."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class OrderPagination(CursorPagination):
    """Twenty a page, newest first."""

    page_size = 20
    ordering = "-id"

    def decode_cursor(self, request: Request) -> Any:
        """Refuse a cursor whose position is not an id: the query would fail with a 500."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            position = str(cursor.position)
            if not (position.isascii() and position.isdigit() and len(position) < 19):
                raise NotFound(self.invalid_cursor_message)
        return cursor
