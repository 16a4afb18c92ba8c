"""The pages of runs: the list, and the page of one run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sagas.admin import heat_map, overview, present, service_levels
from sagas.admin.decisions import (
    ACKNOWLEDGE,
    ASSIGN,
    CANCEL,
    CONFIRM,
    FAIL,
    OF_ESCALATIONS,
    OF_RUNS,
    PAUSE,
    RERUN,
    RESUME,
    RETRY,
    SUCCEED,
    UNPAUSE,
    Decision,
    decide,
)
from sagas.admin.filters import CreatedFilter, SagaFilter, StateFilter
from sagas.admin.readonly import LookOnly
from sagas.admin.run_page.export import as_json
from sagas.admin.run_page.page import PERSONAL, make_context
from sagas.admin.waits import waits_of
from sagas.models import Escalation, Run
from sagas.operations import actions, inspection
from sagas.operations.search.line import BadLine
from sagas.operations.search.runs import LATEST, find
from sagas.states import UNDECIDED, State


@admin.register(Run)
class RunAdmin(LookOnly[Run]):
    """Users find a run by its business key, see its steps and log, and cancel, resume or resolve it."""

    class Media:
        css = {"all": ["sagas/run.css"]}

    list_display = ["known_as", "saga", "state_label", "stands_at", "accepted", "age", "confirm_by"]
    list_filter = [StateFilter, SagaFilter, ("created_at", CreatedFilter)]
    #: Ids are UUIDv7: their order is that of time, and they have an index.
    ordering = ["-id"]
    sortable_by = ["accepted"]
    search_fields = ["business_key"]
    search_help_text = _(
        "Business keys or ids of runs, whole; or qualifiers: state:compensating age:>5m attempts:>2 step:apply_coupon "
        "error:timeout saga:… version:… key:… trace:… started:>2026-12-01"
    )
    actions = [
        "retry_runs",
        "confirm_runs",
        "pause_runs",
        "unpause_runs",
        "cancel_runs",
        "rerun_runs",
        "assign_runs",
        "acknowledge_runs",
        "resume_runs",
        "fail_runs",
        "succeed_runs",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Prefetch the open escalations: one query for the whole page."""
        still_open = Escalation.objects.filter(resolved_at__isnull=True)
        return super().get_queryset(request).prefetch_related(Prefetch("escalations", still_open, "open_escalations"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """Find the runs that the line describes; say what is wrong with it, or how far was looked."""
        if not search_term.strip():
            return queryset, False
        try:
            found = find(search_term, queryset)
        except BadLine as bad:
            for mistake in bad.mistakes:
                where = {"where": bad.line[mistake.start : mistake.end][:80], "why": mistake.says}
                messages.error(request, _("“%(where)s”: %(why)s") % where)
            return queryset.none(), False
        if found.bounded:
            messages.info(request, _("Only the newest %s runs were looked at.") % f"{LATEST:,}")
        return found.runs, False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Add to each run of the page what holds it up."""
        changelist = super().get_changelist_instance(request)
        held_up = waits_of(changelist.result_list)
        for run in changelist.result_list:
            run.held_up = held_up.get(run.pk, "")
        return changelist

    @admin.display(description=_("Business key"))
    def known_as(self, run: Run) -> str:
        """Give the business key, or else the id."""
        return run.business_key or str(run.pk)

    @admin.display(description=_("State"))
    def state_label(self, run: Run) -> SafeString:
        return present.label(run.state)

    @admin.display(description=_("Stands at"))
    def stands_at(self, run: Run) -> str:
        """Name the next step, and what the run waits for."""
        return "; ".join(filter(None, [present.standing(run, _open_escalations(run)), getattr(run, "held_up", "")]))

    @admin.display(description=_("Accepted"), ordering="id")
    def accepted(self, run: Run) -> str:
        return present.second(run.created_at)

    @admin.display(description=_("Age"))
    def age(self, run: Run) -> str:
        return present.age(run)

    @admin.display(description=_("Deadline"))
    def confirm_by(self, run: Run) -> str:
        """Give the deadline of the next confirmation, as long as the run is undecided."""
        return present.second(run.deadline) if run.state in UNDECIDED else present.NONE

    def get_urls(self) -> list[URLPattern]:
        """Add the overview, the board of service levels, the heat map, and the export of a run."""
        export = self.admin_site.admin_view(self.export_view)
        return [
            *overview.urls(self),
            *service_levels.urls(self),
            *heat_map.urls(self),
            path("<uuid:run_id>/export/", export, name="sagas_run_export"),
            *super().get_urls(),
        ]

    # One run ----------------------------------------------------------------------------------------

    def get_fieldsets(self, _request: HttpRequest, _obj: Run | None = None) -> list[Any]:
        """Return no fieldsets: the page's template shows the run."""
        return []

    def render_change_form(  # noqa: PLR0917 - Django's signature
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Run | None = None,
    ) -> HttpResponse:
        """Add what the template shows of the run."""
        assert obj is not None  # there is no page to add a run
        context |= {
            "run": obj,
            "title": str(obj),
            "subtitle": None,
            **make_context(request, obj, site=self.admin_site.name),
            "decisions": self._open_to(request, obj),
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def export_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """Give one run as a file of JSON, without what is personal unless the user may see it and asks for it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, str(run_id))
        if run is None:
            raise Http404
        shows_personal = request.user.has_perm(PERSONAL) and request.GET.get("personal") == "shown"
        found = inspection.inspect(run, shows_personal=shows_personal)
        name = f"attachment; filename=run-{run.pk}.json"
        dumps = {"indent": 1, "ensure_ascii": False}
        return JsonResponse(as_json(found), json_dumps_params=dumps, headers={"Content-Disposition": name})

    # Decisions ---------------------------------------------------------------------------------------

    def _open_to(self, request: HttpRequest, run: Run) -> list[Decision]:
        """List the decisions that the run's state and the user's permissions allow."""
        if run.state == State.ESCALATED:
            acknowledged = all(escalation.acknowledged_at for escalation in _open_escalations(run))
            open_now = [d for d in OF_ESCALATIONS if d is not ACKNOWLEDGE or not acknowledged]
        else:
            applying = actions.applying([decision.of for decision in OF_RUNS], run.pk)
            open_now = [decision for decision in OF_RUNS if decision.of in applying]
        return [decision for decision in open_now if request.user.has_perm(decision.permission)]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Require the permission to change runs, which they do who cancel, pause or retry."""
        return request.user.has_perm(CANCEL.permission)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        """Require the permission to change escalations: to resume a run resolves its escalation."""
        return request.user.has_perm(RESUME.permission)

    def has_rerun_permission(self, request: HttpRequest) -> bool:
        """Require the permission to add runs: there is a new one."""
        return request.user.has_perm(RERUN.permission)

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        """Require the permission to acknowledge, for people on call: it changes nothing of the run."""
        return request.user.has_perm(ACKNOWLEDGE.permission)

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        """Require the permission to resolve, for the few who may vouch for effects that the engine has not seen."""
        return request.user.has_perm(FAIL.permission)

    @admin.action(description=_("Cancel: undo every step"), permissions=["cancel"])
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(CANCEL, self, request, queryset)

    @admin.action(description=_("Retry now: do not wait for the next attempt"), permissions=["cancel"])
    def retry_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(RETRY, self, request, queryset)

    @admin.action(description=_("Confirm by hand"), permissions=["resolve"])
    def confirm_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(CONFIRM, self, request, queryset)

    @admin.action(description=_("Pause: perform nothing more for now"), permissions=["cancel"])
    def pause_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(PAUSE, self, request, queryset)

    @admin.action(description=_("Unpause: go on"), permissions=["cancel"])
    def unpause_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(UNPAUSE, self, request, queryset)

    @admin.action(description=_("Run again: a new run with the same request"), permissions=["rerun"])
    def rerun_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(RERUN, self, request, queryset)

    @admin.action(description=_("Resume: try again where it was escalated"), permissions=["resume"])
    def resume_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(RESUME, self, request, queryset)

    @admin.action(description=_("Assign to me: I see to it"), permissions=["acknowledge"])
    def assign_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(ASSIGN, self, request, queryset)

    @admin.action(description=_("Acknowledge: send no more notices"), permissions=["acknowledge"])
    def acknowledge_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(ACKNOWLEDGE, self, request, queryset)

    @admin.action(description=_("Resolve as FAILED: undone by hand"), permissions=["resolve"])
    def fail_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(FAIL, self, request, queryset)

    @admin.action(description=_("Resolve as SUCCEEDED: confirmed by hand"), permissions=["resolve"])
    def succeed_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        return decide(SUCCEED, self, request, queryset)


def _open_escalations(run: Run) -> list[Escalation]:
    found: list[Escalation] = getattr(run, "open_escalations", [])
    return found
