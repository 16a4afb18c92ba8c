"""Pages of a list that may be endless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

#: Nobody turns so many pages; who looks for an old run searches for it.
MOST = 10_000


# Django's classes take type arguments only where django-stubs has patched them, which projects need not do.
if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator


class CappedPaginator(_Paginator):
    """Counts no further than ``MOST``: a ``count(*)`` over millions of runs takes longer than the page."""

    @cached_property
    def count(self) -> int:
        """How many rows there are to turn through."""
        assert isinstance(self.object_list, QuerySet)
        # The order stays, so that PostgreSQL walks the index and stops.
        return self.object_list[:MOST].count()
