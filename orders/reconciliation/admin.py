"""The page of what reconciliation has found: read-only, but for repairs, each with a reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders.reconciliation import findings, incidents
from orders.reconciliation.invariants import BY_NAME
from orders.reconciliation.models import Finding
from sagas.admin.lists import ListAdmin
from sagas.invariants import RepairRefused


class RepairForm(forms.Form):
    """Why a finding is repaired."""

    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=150, strip=True)


class OpenFilter(admin.SimpleListFilter):
    """Open findings, unless others are asked for."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, Any]]:
        return [("resolved", gettext_lazy("resolved")), ("all", gettext_lazy("all"))]

    def choices(self, changelist: Any) -> Any:
        """The first choice is that of no parameter."""
        first, *others = super().choices(changelist)
        yield {**first, "display": _("open")}
        yield from others

    def queryset(self, _request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "all":
                return queryset
            case "resolved":
                return queryset.filter(resolved_at__isnull=False)
            case _:
                return queryset.filter(resolved_at=None)


@admin.register(Finding)
class FindingAdmin(ListAdmin[Finding]):
    """See what contradicts itself, with its row and its run, and repair it."""

    list_display = ["invariant", "row", "run", "first_seen", "last_seen", "resolved_at"]
    list_filter = [OpenFilter, "invariant"]
    search_fields = ["=invariant", "=row", "=run_id", "=key"]
    fields = [
        *("invariant", "says", "row", "run", "found", "advice", "first_seen", "last_seen", "resolved_at"),
        *("repaired_by", "reason"),
    ]
    change_form_template = "admin/orders/finding/change_form.html"

    @admin.display(description=gettext_lazy("run"))
    def run(self, finding: Finding) -> str:
        """Link to the run that the row belongs to."""
        if finding.run_id is None:
            return "-"
        url = reverse("admin:sagas_run_changelist") + f"?q={finding.run_id}"
        return format_html('<a href="{}">{}</a>', url, finding.run_id)

    @admin.display(description=gettext_lazy("what must hold"))
    def says(self, finding: Finding) -> str:
        """The invariant, in a sentence."""
        invariant = BY_NAME.get(finding.invariant)
        return invariant.says if invariant else "-"

    @admin.display(description=gettext_lazy("found"))
    def found(self, finding: Finding) -> str:
        """What was found when it was last seen."""
        return findings.describe(finding)[0]

    @admin.display(description=gettext_lazy("what to do"))
    def advice(self, finding: Finding) -> str:
        """What a person does about it."""
        invariant = BY_NAME.get(finding.invariant)
        return (invariant.advice if invariant else "") or "-"

    def get_urls(self) -> list[URLPattern]:
        """Add the page that repairs a finding."""
        view = self.admin_site.admin_view(self.repair)
        return [path("<int:number>/repair/", view, name="orders_finding_repair"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Offer the repair, where there is one and this person may make it."""
        finding = self.get_object(request, object_id)
        invariant = BY_NAME.get(finding.invariant) if finding else None
        repairable = finding is not None and finding.resolved_at is None and invariant is not None and invariant.repair
        context = {"may_repair": bool(repairable) and self._may_repair(request)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    def repair(self, request: HttpRequest, number: int) -> HttpResponse:
        """Show what would be done; do it where the page is sent back with a reason."""
        if not self._may_repair(request):
            raise PermissionDenied
        finding = Finding.objects.filter(pk=number).first()
        invariant = BY_NAME.get(finding.invariant) if finding else None
        if finding is None or invariant is None or invariant.repair is None:
            raise Http404
        page = reverse("admin:orders_finding_change", args=[finding.pk])
        form = RepairForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                findings.repair(
                    finding_id=finding.pk, reason=form.cleaned_data["reason"], by=request.user.get_username()
                )
            except RepairRefused as refused:
                messages.error(request, str(refused))
            else:
                incidents.close_resolved()
                messages.success(request, _("It is right now."))
            return HttpResponseRedirect(page)
        found, proposed = findings.describe(finding)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Repair %(row)s") % {"row": finding.row},
            "opts": self.model._meta,
            "finding": finding,
            "found": found,
            "proposed": proposed,
            "form": form,
            "page": page,
        }
        return TemplateResponse(request, "admin/orders/finding/repair.html", context)

    def _may_repair(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and request.user.has_perm("orders.repair_finding")

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Refuse: reconciliation finds."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Finding | None = None) -> bool:
        """Refuse: what was found is not edited."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Finding | None = None) -> bool:
        """Refuse: findings are kept for the record."""
        return False
