"""Lists that answer whatever their URL asks for, and rows that are kept while runs need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import DataError, IntegrityError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from sagas.migration_operations import IN_USE

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


#: The years that a list may be asked for: with those beside them, Python still reads their first and last moments.
_YEARS = range(2, 9999)


class ListAdmin(_ModelAdmin[ModelT]):
    """Base of a ``ModelAdmin`` whose list takes a URL that asks for nonsense as Django takes an unknown filter."""

    class Media:
        """Labels, tables and the timeline, and lists that fit the screen."""

        css = {"all": ["sagas/admin.css"]}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Have the list's view see every error of a filter's value as what it is: a wrong parameter."""
        for name, values in request.GET.lists():
            if name.endswith("__year") and not all(value.isdecimal() and int(value) in _YEARS for value in values):
                raise IncorrectLookupParameters
        try:
            return super().get_changelist_instance(request)
        except (ValueError, OverflowError, DataError) as error:
            raise IncorrectLookupParameters from error


class KeptWhileUsedAdmin(ListAdmin[ModelT]):
    """Base of a ``ModelAdmin`` of rows that runs hold a part of: such a row is not deleted, but made inactive.

    The page refuses what it sees to be in use, in words. What a run takes meanwhile, the table's trigger refuses
    (``sagas.migration_operations``).
    """

    #: For messages: what makes the row inactive.
    instead = "make it inactive instead"

    def use_of(self, row: ModelT) -> str:
        """Say what of the row is in use; "" if nothing is."""
        raise NotImplementedError

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count those in use among the protected: Django's pages then offer no deletion."""
        deleted, counts, permissions, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, permissions, [*protected, *self._used(objs)]

    def _used(self, rows: Iterable[ModelT]) -> list[str]:
        return [f"{row}: {use}; {self.instead}" for row in rows if (use := self.use_of(row))]

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Delete, unless a run was quicker."""
        return self._unless_used(
            request, lambda: super(KeptWhileUsedAdmin, self).delete_view(request, object_id, extra_context)
        )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list, or carry out what is asked of many rows, unless a run was quicker."""
        return self._unless_used(
            request, lambda: super(KeptWhileUsedAdmin, self).changelist_view(request, extra_context)
        )

    def _unless_used(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        try:
            return view()
        except IntegrityError as error:
            if getattr(error.__cause__, "pgcode", None) != IN_USE:
                raise
            messages.error(request, f"Nothing was deleted: {error}; {self.instead}.")
            return HttpResponseRedirect(request.get_full_path())
