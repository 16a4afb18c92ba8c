"""Base classes of admins: lists that survive any URL, and rows that cannot be deleted while runs use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.db import sqlstate
from sagas.postgresql.operations import IN_USE

ModelT = TypeVar("ModelT", bound=Model)


# At run time Django's ``ModelAdmin`` takes no type arguments, as in paging.py.
if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise

    class _ModelAdmin(admin.ModelAdmin[ModelT]):
        """Django's class, for type checkers."""

else:

    class _ModelAdmin(admin.ModelAdmin):
        """Django's class, which ignores its type argument at run time."""

        def __class_getitem__(cls, _model):
            return cls


#: Years that a filter accepts. Django also computes the moments just outside a year, which Python must be able to hold.
_YEARS = range(2, 9999)


class ListAdmin(_ModelAdmin[ModelT]):
    """Base of a ``ModelAdmin`` whose list treats an invalid value in the URL as Django treats an unknown filter."""

    class Media:
        css = {"all": ["sagas/admin.css"]}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Turn every error in a filter's value into ``IncorrectLookupParameters``, which Django's view handles."""
        for name, values in request.GET.lists():
            if name.endswith("__year") and not all(value.isdecimal() and int(value) in _YEARS for value in values):
                raise IncorrectLookupParameters
        try:
            return super().get_changelist_instance(request)
        except (ValueError, OverflowError, DataError) as error:
            raise IncorrectLookupParameters from error

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Refuse before the row is looked for: Django's view tells anyone in the admin whether there is such a row."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)


class KeptWhileUsedAdmin(ListAdmin[ModelT]):
    """Base of a ``ModelAdmin`` of rows that runs use: such a row is made inactive instead of deleted.

    The page refuses to delete a row in use and says why. If a run starts to use the row after that check, the table's
    trigger refuses (``sagas.postgresql.operations``).
    """

    #: The end of the message: how to make the row inactive.
    instead: StrOrPromise = _("make it inactive instead")

    def use_of(self, row: ModelT) -> str:
        """Describe what of the row is in use; "" if nothing is in use."""
        raise NotImplementedError

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Add rows in use to the protected objects: then Django's pages offer no deletion."""
        deleted, counts, permissions, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, permissions, [*protected, *self._used(objs)]

    def _used(self, rows: Iterable[ModelT]) -> list[str]:
        return [f"{row}: {use}; {self.instead}" for row in rows if (use := self.use_of(row))]

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Delete the row, unless a run has begun to use it."""
        return self._unless_used(
            request, lambda: super(KeptWhileUsedAdmin, self).delete_view(request, object_id, extra_context)
        )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list or carry out an action. A deletion is refused if a run has begun to use a row."""
        return self._unless_used(
            request, lambda: super(KeptWhileUsedAdmin, self).changelist_view(request, extra_context)
        )

    def _unless_used(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        try:
            return view()
        except IntegrityError as error:
            if sqlstate(error) != IN_USE:
                raise
            told = gettext("Nothing was deleted: %(error)s; %(instead)s.")
            messages.error(request, told % {"error": error, "instead": self.instead})
            return HttpResponseRedirect(request.get_full_path())
