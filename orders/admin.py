"""The orders in the admin, read-only: only sagas change them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from knox.admin import AuthTokenAdmin
from knox.models import AuthToken

from orders.groups.admin import CampaignAdmin
from orders.models import Order, OrderLine, OrderRefund
from orders.reconciliation.admin import FindingAdmin
from orders.refunds import services as refunds
from sagas.admin.lists import ListAdmin
from sagas.models import Run

__all__ = ["CampaignAdmin", "FindingAdmin", "OrderAdmin", "TokenAdmin"]


class OrderLines(admin.TabularInline[OrderLine, Order]):
    """The lines of an order."""

    model = OrderLine
    extra = 0
    can_delete = False

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: an order is placed through the API."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: prices and quantities are fixed when the order is accepted."""
        return False


class OrderRefunds(admin.TabularInline[OrderRefund, Order]):
    """The refunds of an order."""

    model = OrderRefund
    extra = 0
    can_delete = False
    fields = ["amount", "whole", "lines", "reason", "by", "created_at", "run"]
    readonly_fields = ["run", "created_at"]

    @admin.display(description=gettext_lazy("run"))
    def run(self, refund: OrderRefund) -> str:
        """Link to the run that does the work."""
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:sagas_run_change", args=[refund.run_id]), refund.run_id
        )

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: the action refunds."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: a refund that was accepted is fixed."""
        return False


class ReasonForm(ActionForm):
    """Why a person does something about orders."""

    reason = forms.CharField(required=False, max_length=500, label=gettext_lazy("Reason:"))


@admin.register(Order)
class OrderAdmin(ListAdmin[Order]):
    """Find an order by its number or its customer."""

    list_display = ["order_no", "customer", "status", "run_state", "total_cents", "slot", "created_at"]
    list_filter = ["status", "created_at"]
    list_select_related = ["customer"]
    search_fields = ["order_no", "customer__username", "=run_id"]
    inlines = [OrderLines, OrderRefunds]
    action_form = ReasonForm
    actions = ["refund"]
    date_hierarchy = "created_at"
    fields = [
        "order_no",
        "customer",
        "status",
        "total_cents",
        "discount_cents",
        "refunded_cents",
        "slot",
        "coupon",
        "created_at",
        "run_state",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        """Read the state of each order's run, too: the status does not show a failure before the first step."""
        state = Run.objects.filter(pk=OuterRef("run_id")).values("state")[:1]
        return super().get_queryset(request).annotate(_run_state=Subquery(state))

    def has_refund_permission(self, request: HttpRequest) -> bool:
        """Whether this person may refund orders."""
        return request.user.has_perm("orders.refund_order")

    @admin.action(description=gettext_lazy("Refund, with a reason"), permissions=["refund"])
    def refund(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Refund everything that is left of these orders."""
        reason = request.POST.get("reason", "").strip()
        if not reason:
            self.message_user(request, _("Say why, beside the action."), messages.ERROR)
            return
        for order in queryset:
            try:
                refund = refunds.refund_order(
                    order_no=order.order_no, reason=reason, by=request.user.get_username()[:150]
                )
            except refunds.NotRefundable as refused:
                self.message_user(request, f"{order.order_no}: {refused}", messages.WARNING)
            else:
                text = _("%(amount)d of %(order)s (minor units) go back.")
                self.message_user(request, text % {"amount": refund.amount, "order": order.order_no}, messages.SUCCESS)

    @admin.display(description="run")
    def run_state(self, order: Order) -> str:
        """Show the state of the run, with a link to it."""
        url = reverse("admin:sagas_run_change", args=[order.run_id])
        return format_html('<a href="{}">{}</a>', url, getattr(order, "_run_state", None) or order.run_id)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Refuse: an order is placed through the API."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Order | None = None) -> bool:
        """Refuse: the saga's steps change it."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Order | None = None) -> bool:
        """Refuse: orders are kept for the record."""
        return False


# Knox's own list has one column, a digest as wide as the page.
admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class TokenAdmin(ListAdmin[Any], AuthTokenAdmin):  # type: ignore[misc]  # knox has no types
    """See whose tokens there are, issue one, and revoke any."""

    list_display = ["token_key", "user", "created", "expiry"]
    # A token has nothing to change.
    list_display_links = None
    list_select_related = ["user"]
    search_fields = ["=token_key", "user__username"]
