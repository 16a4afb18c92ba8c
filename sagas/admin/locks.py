"""The page of locks: which run holds a business key, and which runs wait for it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.admin import present
from sagas.admin.readonly import LookOnly
from sagas.models import Lock


@admin.register(Lock)
class LockAdmin(LookOnly[Lock]):
    """Lists locks, read-only. The next run in line holds the key when the run before it has ended."""

    list_display = ["key", "stands", "run_link", "came"]
    list_display_links = None
    ordering = ["key", "ticket", "id"]
    sortable_by = ["key"]
    search_fields = ["=key", "=run_id"]
    search_help_text = _("A business key or the id of a run, whole.")

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        """Allow users with the permission to view runs, too: the list leads to runs."""
        return super().has_view_permission(request) or request.user.has_perm("sagas.view_run")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lock]:
        """Annotate each lock with whether an earlier one has the same key."""
        before = Lock.objects.filter(key=OuterRef("key"), ticket__lt=OuterRef("ticket"))
        return super().get_queryset(request).annotate(waits=Exists(before))

    @admin.display(description=_("Stands"))
    def stands(self, lock: Lock) -> str:
        return gettext("waits") if getattr(lock, "waits", False) else gettext("holds it")

    @admin.display(description=_("Run"))
    def run_link(self, lock: Lock) -> SafeString:
        url = reverse(f"{self.admin_site.name}:sagas_run_change", args=[lock.run_id])
        return format_html('<a href="{}">{}</a>', url, lock.run_id)

    @admin.display(description=_("Since"))
    def came(self, lock: Lock) -> str:
        return present.second(lock.since)
