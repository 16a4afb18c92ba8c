"""The page of escalations: runs that wait for a person, and how earlier ones were resolved."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.admin import present
from sagas.admin.decisions import ACKNOWLEDGE, ASSIGN, FAIL, RESUME, SUCCEED, Decision, decide
from sagas.admin.filters import OpenFilter, RaisedFilter
from sagas.admin.readonly import LookOnly
from sagas.admin.runs import RunAdmin
from sagas.models import Escalation, Run


@admin.register(Escalation)
class EscalationAdmin(LookOnly[Escalation]):
    """Lists escalations. Users decide about several of them here, or about one on the run's own page."""

    list_display = ["run_link", "saga", "at", "error_text", "to_do", "taken_by", "raised"]
    list_display_links = None
    list_filter = [OpenFilter, ("created_at", RaisedFilter)]
    list_select_related = ["run"]
    ordering = ["-id"]
    sortable_by = ["raised"]
    search_fields = ["=run__business_key"]
    search_help_text = _("Order number or any other business key, whole.")
    actions = ["assign_runs", "acknowledge_runs", "resume_runs", "fail_runs", "succeed_runs"]

    def get_list_display(self, request: HttpRequest) -> Any:
        """Show how an escalation was resolved, or, for open ones, what to do."""
        if request.GET.get(OpenFilter.parameter_name) in {"resolved", "all"}:
            shown = ["run_link", "saga", "at", "error_text", "taken_by", "raised", "resolved"]
        else:
            shown = [*map(str, self.list_display)]
        if not self._runs().has_view_permission(request):
            # The link would lead to a 403.
            shown[0] = "run_name"
        return shown

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        """Allow users with the permission to view runs, too: the list leads to runs."""
        return super().has_view_permission(request) or request.user.has_perm("sagas.view_run")

    @admin.display(description=_("Run"))
    def run_link(self, escalation: Escalation) -> SafeString:
        url = reverse(f"{self.admin_site.name}:sagas_run_change", args=[escalation.run_id])
        return format_html('<a href="{}">{}</a>', url, escalation.run.business_key or escalation.run_id)

    @admin.display(description=_("Run"))
    def run_name(self, escalation: Escalation) -> str:
        """Name the run without a link, for users who may not open it."""
        return escalation.run.business_key or str(escalation.run_id)

    @admin.display(description=_("Saga"))
    def saga(self, escalation: Escalation) -> str:
        return escalation.run.saga

    @admin.display(description=_("Stopped at"))
    def at(self, escalation: Escalation) -> str:
        """Name the step and operation that failed, or else the state in which the run was."""
        return present.place(escalation.step, escalation.operation) or present.word(escalation.state)

    @admin.display(description=_("Error"))
    def error_text(self, escalation: Escalation) -> str:
        error = escalation.error if isinstance(escalation.error, dict) else {}
        return present.short(f"{error.get('code', '')}: {error.get('detail', '')}".strip(": ")) or present.NONE

    @admin.display(description=_("Raised"), ordering="id")
    def raised(self, escalation: Escalation) -> str:
        return present.second(escalation.created_at)

    @admin.display(description=_("What to do"))
    def to_do(self, escalation: Escalation) -> str:
        """Give the engine's suggestion."""
        return escalation.suggestion or present.NONE

    @admin.display(description=_("Taken by"))
    def taken_by(self, escalation: Escalation) -> str:
        return present.taken(escalation)

    @admin.display(description=_("Resolved"))
    def resolved(self, escalation: Escalation) -> str:
        """Give the resolution, the user and the user's note."""
        if escalation.resolved_at is None:
            return present.NONE
        told = gettext("%(resolution)s by %(person)s: %(note)s") % {
            "resolution": present.word(escalation.resolution),
            "person": escalation.resolved_by,
            "note": escalation.note,
        }
        return present.short(told)

    # Decisions: about the runs, by the admin of runs ------------------------------------------------------

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return self._runs().has_acknowledge_permission(request)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return self._runs().has_resume_permission(request)

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return self._runs().has_resolve_permission(request)

    @admin.action(description=_("Assign to me: I see to it"), permissions=["acknowledge"])
    def assign_runs(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> HttpResponse | None:
        return self._decide(ASSIGN, request, queryset)

    @admin.action(description=_("Acknowledge: send no more notices"), permissions=["acknowledge"])
    def acknowledge_runs(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> HttpResponse | None:
        return self._decide(ACKNOWLEDGE, request, queryset)

    @admin.action(description=_("Resume: try again where it was escalated"), permissions=["resume"])
    def resume_runs(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> HttpResponse | None:
        return self._decide(RESUME, request, queryset)

    @admin.action(description=_("Resolve as FAILED: undone by hand"), permissions=["resolve"])
    def fail_runs(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> HttpResponse | None:
        return self._decide(FAIL, request, queryset)

    @admin.action(description=_("Resolve as SUCCEEDED: confirmed by hand"), permissions=["resolve"])
    def succeed_runs(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> HttpResponse | None:
        return self._decide(SUCCEED, request, queryset)

    def _decide(self, decision: Decision, request: HttpRequest, queryset: QuerySet[Escalation]) -> HttpResponse | None:
        runs = Run.objects.filter(pk__in=queryset.values("run_id"))
        read = list(queryset.values_list("pk", flat=True))
        return decide(decision, self._runs(), request, runs, read=read, back_to="escalation")

    def _runs(self) -> RunAdmin:
        return RunAdmin(Run, self.admin_site)
