"""The payments in the admin: read-only, except for marking one as returned by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from payments import services
from payments.models import Payment, PaymentEvent
from sagas.admin.lists import ListAdmin


class _ReadOnly:
    """An admin without editing: only the gateway and the sagas write these rows."""

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Refuse: a payment comes from the gateway."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: payments are kept for the record."""
        return False


@admin.register(Payment)
class PaymentAdmin(_ReadOnly, ListAdmin[Payment]):
    """Find a payment by its id or its order; see what is due back, and why."""

    list_display = [
        "payment_id",
        "order_no",
        "amount",
        "currency",
        "state",
        "reason",
        "run",
        "return_run",
        "received_at",
    ]
    list_filter = ["state", "reason", "currency", "received_at"]
    search_fields = ["=payment_id", "=order_no"]
    date_hierarchy = "received_at"
    readonly_fields = [
        "payment_id",
        "order_no",
        "amount",
        "currency",
        "state",
        "reason",
        "run",
        "return_run",
        "received_at",
        "returned_at",
    ]
    fields = [*readonly_fields]
    actions = ["mark_returned"]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the payment without buttons for saving."""
        nothing_to_save = {"show_save": False, "show_save_and_continue": False}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **nothing_to_save})

    @admin.display(description="order's run")
    def run(self, payment: Payment) -> str:
        """Link to the run that the payment pays."""
        return _link(payment.run_id)

    @admin.display(description="return")
    def return_run(self, payment: Payment) -> str:
        """Link to the run that returns the payment, where people write their notes."""
        return _link(payment.return_run_id)

    @admin.action(description="Mark as returned by hand", permissions=["change"])
    def mark_returned(self, request: HttpRequest, queryset: QuerySet[Payment]) -> None:
        """Note that these were returned in the gateway's console, and end their runs."""
        by = request.user.get_username()
        done = [services.mark_returned(payment_id=payment.payment_id, by=by) for payment in queryset]
        if any(done):
            self.message_user(request, f"{sum(done)} marked as returned.", messages.SUCCESS)
        if not all(done):
            self.message_user(request, f"{len(done) - sum(done)} were not to be returned.", messages.WARNING)


@admin.register(PaymentEvent)
class PaymentEventAdmin(_ReadOnly, ListAdmin[PaymentEvent]):
    """Every signed message of the gateway, as it came."""

    list_display = ["received_at", "payment_id", "order_no", "amount", "currency", "status", "outcome", "webhook_id"]
    list_filter = ["outcome", "status", "received_at"]
    search_fields = ["=payment_id", "=order_no", "=webhook_id"]
    date_hierarchy = "received_at"

    def has_change_permission(self, _request: HttpRequest, _obj: PaymentEvent | None = None) -> bool:
        """Refuse: the messages are the record."""
        return False


def _link(run_id: Any) -> str:
    if run_id is None:
        return "–"
    return format_html('<a href="{}">{}</a>', reverse("admin:sagas_run_change", args=[run_id]), run_id)
