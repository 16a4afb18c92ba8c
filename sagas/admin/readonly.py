"""What the engine has written is looked at, never typed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from sagas.admin.paging import CappedPaginator

ModelT = TypeVar("ModelT", bound=Model)


# As in paging.py: no type arguments for Django's own classes at run time.
if TYPE_CHECKING:

    class _ModelAdmin(admin.ModelAdmin[ModelT]):
        """Django's, of a model."""

else:

    class _ModelAdmin(admin.ModelAdmin):
        """Django's, that takes a type argument and forgets it."""

        def __class_getitem__(cls, _model):
            return cls


class LookOnly(_ModelAdmin[ModelT]):
    """Base of a ``ModelAdmin``: no add, no change, no delete, and lists that never count millions."""

    paginator = CappedPaginator
    show_full_result_count = False
    #: Facets count every choice of every filter.
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    class Media:
        """Labels, tables and the timeline."""

        css = {"all": ["sagas/admin.css"]}

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Refuse: the engine writes."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: the engine writes."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: it is the audit trail."""
        return False
