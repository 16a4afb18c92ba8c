"""Arrays as PostgreSQL writes them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID


def uuids(ids: Iterable[UUID]) -> str:
    """Write an array of UUIDs for ``%s::uuid[]``: adapting them one by one costs more than the statement."""
    return f"{{{','.join(map(str, ids))}}}"
