"""Escalations: the runs that wait for a person, and how those before them were resolved."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sagas.admin import present
from sagas.admin.filters import OpenFilter
from sagas.admin.readonly import LookOnly
from sagas.models import Escalation


@admin.register(Escalation)
class EscalationAdmin(LookOnly[Escalation]):
    """See who needs help. Help is given on the run's own page, or to many in the list of runs."""

    list_display = ["run_link", "saga", "at", "error_text", "raised", "resolution", "resolved_by", "note"]
    list_display_links = None
    list_filter = [OpenFilter, "created_at"]
    list_select_related = ["run"]
    ordering = ["-id"]
    sortable_by = ["raised"]
    search_fields = ["=run__business_key"]
    search_help_text = "Order number or any other business key, whole."

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        """Allow to whoever may see runs too: a list without what it leads to helps nobody."""
        return super().has_view_permission(request) or request.user.has_perm("sagas.view_run")

    @admin.display(description="Run")
    def run_link(self, escalation: Escalation) -> SafeString:
        """The run, a click away."""
        url = reverse(f"{self.admin_site.name}:sagas_run_change", args=[escalation.run_id])
        return format_html('<a href="{}">{}</a>', url, escalation.run.business_key or escalation.run_id)

    @admin.display(description="Saga")
    def saga(self, escalation: Escalation) -> str:
        """Its saga."""
        return escalation.run.saga

    @admin.display(description="Stopped at")
    def at(self, escalation: Escalation) -> str:
        """The step and operation that broke."""
        return f"{escalation.step} {escalation.operation}".strip() or escalation.state

    @admin.display(description="Error")
    def error_text(self, escalation: Escalation) -> str:
        """What broke, in one line."""
        error = escalation.error if isinstance(escalation.error, dict) else {}
        return f"{error.get('code', '')}: {error.get('detail', '')}".strip(": ")[:200] or present.NONE

    @admin.display(description="Raised", ordering="id")
    def raised(self, escalation: Escalation) -> str:
        """When."""
        return present.second(escalation.created_at)
