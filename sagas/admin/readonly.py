"""The base of all admins of the engine's tables: users read them; only the engine writes them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from sagas.admin.lists import ListAdmin, ModelT
from sagas.admin.paging import CappedPaginator


class LookOnly(ListAdmin[ModelT]):
    """Base of a ``ModelAdmin`` without add, change and delete, whose lists never count millions of rows."""

    paginator = CappedPaginator
    show_full_result_count = False
    #: Facets would count the rows of every choice of every filter.
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    def response_action(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse | None:
        """Carry out an action, unless a selected value cannot be a primary key of this list."""
        key: Any = self.model._meta.pk
        for chosen in request.POST.getlist(helpers.ACTION_CHECKBOX_NAME):
            try:
                key.to_python(chosen)
            except ValidationError:
                messages.warning(request, _("What was chosen is not in this list. Nothing was done."))
                return HttpResponseRedirect(request.path)
        return super().response_action(request, *args, **kwargs)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False
