"""The coupons in the admin. Sagas make and change grants; people see them, and issue coupons to customers."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from coupons import services
from coupons.models import Coupon, Grant
from sagas import Rejected
from sagas.admin.lists import KeptWhileUsedAdmin, ListAdmin

#: The most grants that one request issues.
MOST = 500


class CouponForm(forms.ModelForm[Coupon]):
    """A coupon, and how many grants to add to its budget."""

    more = forms.IntegerField(
        label=_("Add to the budget"),
        required=False,
        min_value=-1_000_000,
        max_value=1_000_000,
        help_text=_("Grants to add to what is available; below 0 takes some away."),
    )

    class Meta:
        """The counts of an existing coupon are not editable."""

        model = Coupon
        fields = [
            "code",
            "customer",
            "kind",
            "discount_cents",
            "percent",
            "cap_cents",
            "minimum_cents",
            "per_customer",
            "on_group_prices",
            "public",
            "starts_at",
            "expires_at",
            "active",
            "available",
        ]

    def clean_more(self) -> int:
        """Refuse to remove more than is available. In a race the database refuses it."""
        more = self.cleaned_data["more"] or 0
        if self.instance.available + more < 0:
            raise forms.ValidationError(
                _("Only %(available)s are available."), params={"available": self.instance.available}
            )
        return cast(int, more)


class IssueForm(forms.Form):
    """To whom coupons are issued, and why."""

    customers = forms.CharField(
        label=_("Customers"),
        widget=forms.Textarea(attrs={"rows": 6, "cols": 40}),
        help_text=_("Names of customers, with blanks, commas or new lines between them."),
    )
    reason = forms.CharField(label=_("Why"), max_length=40)

    def clean_customers(self) -> list[int]:
        """The customers of these names; all of them must be there."""
        names = set(self.cleaned_data["customers"].replace(",", " ").split())
        known = dict(get_user_model()._default_manager.filter(username__in=names).values_list("username", "pk"))
        if missing := sorted(names - set(known)):
            raise forms.ValidationError(_("There is no customer %(names)s."), params={"names": ", ".join(missing[:5])})
        return sorted(known.values())


@admin.register(Coupon)
class CouponAdmin(KeptWhileUsedAdmin[Coupon]):
    """See the coupons, create new ones, and issue them to customers."""

    form = CouponForm
    list_display = [
        "code",
        "customer",
        "kind",
        "discount_cents",
        "percent",
        "expires_at",
        "active",
        "available",
        "sold",
    ]
    list_filter = ["active", "kind", "public", "expires_at"]
    list_select_related = ["customer"]
    search_fields = ["code", "customer__username"]
    autocomplete_fields = ["customer"]
    actions = ["issue"]

    instead = "make it inactive instead"

    def use_of(self, row: Coupon) -> str:
        """What was granted of it."""
        return f"{row.held} being issued, {row.sold} granted" if row.held or row.sold else ""

    def get_readonly_fields(self, _request: HttpRequest, obj: Coupon | None = None) -> list[str]:
        """Fix the code of an existing coupon, because grants refer to it; sagas change its budget."""
        return ["held", "sold", *(["code", "available"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Coupon, form: Any, change: bool) -> None:
        """Write only the edited fields: the counts may have changed since they were read."""
        if change:
            obj.save(update_fields=[name for name in form.changed_data if name != "more"])
        else:
            super().save_model(request, obj, form, change)
        if form.cleaned_data["more"]:
            services.add_budget(code=obj.code, grants=form.cleaned_data["more"])

    @admin.action(description=_("Issue to customers"), permissions=["change"])
    def issue(self, request: HttpRequest, queryset: QuerySet[Coupon]) -> HttpResponse | None:
        """Ask to whom and why; then start a run for each customer and coupon."""
        coupons = list(queryset)
        decided = "decided" in request.POST
        form = IssueForm(request.POST if decided else None)
        if decided and form.is_valid():
            self._issue(request, coupons, form)
            return HttpResponseRedirect(request.get_full_path())
        context = {
            **self.admin_site.each_context(request),
            "title": _("Issue to customers"),
            "coupons": coupons,
            "form": form,
            "opts": self.opts,
            "media": self.media,
            "back_to": reverse("admin:coupons_coupon_changelist"),
            "checkbox": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/coupons/coupon/issue.html", context)

    def _issue(self, request: HttpRequest, coupons: list[Coupon], form: IssueForm) -> None:
        customers, reason = form.cleaned_data["customers"], form.cleaned_data["reason"]
        if not self.has_change_permission(request):
            raise PermissionDenied
        if len(coupons) * len(customers) > MOST:
            messages.error(request, _("That is too many at once; issue at most %(most)s.") % {"most": MOST})
            return
        by = request.user.get_username()
        started = 0
        for coupon in coupons:
            for customer in customers:
                try:
                    services.issue(code=coupon.code, customer_id=customer, by=by, reason=reason)
                except Rejected as refused:
                    messages.error(request, _("Customer %(id)s: %(why)s.") % {"id": customer, "why": refused.detail})
                else:
                    started += 1
            self.log_change(request, coupon, f"issued to {len(customers)} customer(s): {reason}")
        if started:
            said = ngettext("%(n)s grant is being issued.", "%(n)s grants are being issued.", started)
            messages.success(request, said % {"n": started})


@admin.register(Grant)
class GrantAdmin(ListAdmin[Grant]):
    """Find who has a coupon, and what has become of it. Only sagas change it."""

    list_display = ["id", "coupon_id", "customer", "state", "lock_expires_at", "used_at", "order_run"]
    list_filter = ["state", "created_at"]
    list_select_related = ["customer"]
    search_fields = ["=coupon__code", "=customer__username", "=used_by_run", "=issued_by_run"]
    readonly_fields = [
        "coupon",
        "customer",
        "nth",
        "per_customer",
        "state",
        "version",
        "lock_token",
        "lock_expires_at",
        "issued_by",
        "reason",
        "used_by",
        "used_at",
        "discount_cents",
        "refund_calls",
        "refunded_at",
        "replaces",
        "created_at",
    ]
    fields = [*readonly_fields]

    @admin.display(description=_("run"))
    def order_run(self, grant: Grant) -> str:
        """Link to the run that uses it, in short: the list has no room for an id."""
        return _link(grant.used_by_run, str(grant.used_by_run)[-12:])

    @admin.display(description=_("issued by run"))
    def issued_by(self, grant: Grant) -> str:
        """Link to the run that issued it."""
        return _link(grant.issued_by_run)

    @admin.display(description=_("used by run"))
    def used_by(self, grant: Grant) -> str:
        """Link to the run that uses or has used it."""
        return _link(grant.used_by_run)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Refuse: sagas make grants."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: sagas change them."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: they are kept for the record."""
        return False


def _link(run_id: UUID | None, said: str = "") -> str:
    if run_id is None:
        return "-"
    return format_html('<a href="{}">{}</a>', reverse("admin:sagas_run_change", args=[run_id]), said or run_id)
