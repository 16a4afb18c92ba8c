"""Pages of a list that may be endless."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

#: Nobody turns so many pages; who looks for an old run searches for it.
MOST = 10_000


class CappedPaginator(Paginator[Any]):
    """Counts no further than ``MOST``: a ``count(*)`` over millions of runs takes longer than the page."""

    @cached_property
    def count(self) -> int:
        """How many rows there are to turn through."""
        assert isinstance(self.object_list, QuerySet)
        # The order stays, so that PostgreSQL walks the index and stops.
        return self.object_list[:MOST].count()
