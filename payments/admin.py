"""The payments in the admin: read-only, except for noting what a person has returned by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payments import refunds
from payments.models import Payment, PaymentEvent, Refund, RefundSource
from sagas.admin.lists import ListAdmin


class _ReadOnly:
    """An admin without editing: only the gateway and the sagas write these rows."""

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: a payment comes from the gateway."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: payments are kept for the record."""
        return False


class RefundsOfPayment(_ReadOnly, admin.TabularInline[Refund, Payment]):
    """The refunds of a payment."""

    model = Refund
    extra = 0
    can_delete = False
    readonly_fields = ["id", "amount", "state", "source", "reason", "by", "note", "requested_at", "returned_at"]
    fields = [*readonly_fields]

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: the sagas write them."""
        return False


class _WithoutSaving(_ReadOnly):
    """A page of one row, without buttons for saving."""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the row."""
        nothing_to_save = {"show_save": False, "show_save_and_continue": False}
        found: HttpResponse = super().change_view(  # type: ignore[misc]  # of ModelAdmin, which stands behind it
            request, object_id, form_url, {**(extra_context or {}), **nothing_to_save}
        )
        return found


@admin.register(Payment)
class PaymentAdmin(_WithoutSaving, ListAdmin[Payment]):
    """Find a payment by its id or its order; see what is due back, and why."""

    list_display = [
        "payment_id",
        "order_no",
        "amount",
        "currency",
        "state",
        "reason",
        "returned_amount",
        "run",
        "received_at",
    ]
    list_filter = ["state", "reason", "gateway", "currency", "received_at", ("disputed_at", admin.EmptyFieldListFilter)]
    search_fields = ["=payment_id", "=order_no"]
    date_hierarchy = "received_at"
    readonly_fields = [
        "gateway",
        "payment_id",
        "order_no",
        "amount",
        "currency",
        "state",
        "reason",
        "returning_amount",
        "returned_amount",
        "run",
        "review_run",
        "disputed_at",
        "received_at",
        "returned_at",
    ]
    fields = [*readonly_fields]
    inlines = [RefundsOfPayment]
    actions = ["mark_returned"]

    @admin.display(description=gettext_lazy("order's run"))
    def run(self, payment: Payment) -> str:
        """Link to the run that the payment pays."""
        return _link(payment.run_id)

    @admin.display(description=gettext_lazy("review"))
    def review_run(self, payment: Payment) -> str:
        """Link to the run in which a person decides about the payment."""
        return _link(payment.review_run_id)

    @admin.action(description=gettext_lazy("Mark as returned by hand"), permissions=["change"])
    def mark_returned(self, request: HttpRequest, queryset: QuerySet[Payment]) -> None:
        """Note that these were returned in the gateway's console, and end the runs that wait for that."""
        by = request.user.get_username()
        done = [refunds.mark_returned(gateway=p.gateway, payment_id=p.payment_id, by=by) for p in queryset]
        _tell(self, request, done)


@admin.register(Refund)
class RefundAdmin(_WithoutSaving, ListAdmin[Refund]):
    """Every refund, and whose run waits for a person."""

    list_display = ["refund", "of_payment", "amount", "state", "source", "reason", "by", "requested_at", "run"]
    list_filter = ["state", "source", "reason", "requested_at"]
    list_select_related = ["payment"]
    search_fields = ["=id", "=payment__payment_id", "=payment__order_no", "=gateway_refund_id"]
    date_hierarchy = "requested_at"
    readonly_fields = [
        "refund",
        "of_payment",
        "amount",
        "state",
        "source",
        "reason",
        "by",
        "note",
        "gateway_refund_id",
        "requested_at",
        "returned_at",
        "run",
    ]
    fields = [*readonly_fields]
    actions = ["mark_returned"]

    @admin.display(description=gettext_lazy("refund"))
    def refund(self, refund: Refund) -> str:
        """The id, which the gateway knows too."""
        return str(refund.pk)

    @admin.display(description=gettext_lazy("payment"))
    def of_payment(self, refund: Refund) -> str:
        """Link to its payment."""
        url = reverse("admin:payments_payment_change", args=[refund.payment.pk])
        return format_html('<a href="{}">{}</a>', url, refund.payment)

    @admin.display(description=gettext_lazy("run"))
    def run(self, refund: Refund) -> str:
        """Link to the run that returns it, where people write their notes."""
        return _link(refund.pk if refund.source == RefundSource.SHOP else None)

    @admin.action(description=gettext_lazy("Mark as returned by hand"), permissions=["change"])
    def mark_returned(self, request: HttpRequest, queryset: QuerySet[Refund]) -> None:
        """Note that these were made in the gateway's console, and end their runs."""
        by = request.user.get_username()
        _tell(self, request, [refunds.mark_refund_returned(refund_id=refund.pk, by=by) for refund in queryset])


@admin.register(PaymentEvent)
class PaymentEventAdmin(_ReadOnly, ListAdmin[PaymentEvent]):
    """Every signed message of the gateways, as it came."""

    list_display = [
        "received_at",
        "gateway",
        "payment_id",
        "order_no",
        "amount",
        "currency",
        "status",
        "refund_amount",
        "outcome",
        "webhook_id",
    ]
    list_filter = ["outcome", "status", "gateway", "received_at"]
    search_fields = ["=payment_id", "=order_no", "=webhook_id"]
    date_hierarchy = "received_at"

    def has_change_permission(self, _request: HttpRequest, _obj: PaymentEvent | None = None) -> bool:
        """Refuse: the messages are the record."""
        return False


def _tell(page: admin.ModelAdmin[Any], request: HttpRequest, done: list[bool]) -> None:
    if any(done):
        page.message_user(request, _("%(count)d marked as returned.") % {"count": sum(done)}, messages.SUCCESS)
    if not all(done):
        left = len(done) - sum(done)
        text = _("%(count)d were not to be returned by hand, or the gateway is being asked.") % {"count": left}
        page.message_user(request, text, messages.WARNING)


def _link(run_id: Any) -> str:
    if run_id is None:
        return "–"
    return format_html('<a href="{}">{}</a>', reverse("admin:sagas_run_change", args=[run_id]), run_id)
