"""A paginator for lists of millions of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

#: The most rows that are counted. To find an older run, users search.
MOST = 10_000


# At run time Django's classes take no type arguments, unless the project applies django-stubs-ext.
if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator


class CappedPaginator(_Paginator):
    """Counts no further than ``MOST``: a ``count(*)`` over millions of runs takes longer than the page."""

    @cached_property
    def count(self) -> int:
        assert isinstance(self.object_list, QuerySet)
        # The order is kept, so that PostgreSQL reads the index and stops at the limit.
        return self.object_list[:MOST].count()
