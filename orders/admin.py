"""The orders in the admin, read-only: only sagas change them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from knox.admin import AuthTokenAdmin
from knox.models import AuthToken

from orders.models import Order, OrderLine
from sagas.admin.lists import ListAdmin
from sagas.models import Run


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


@admin.register(Order)
class OrderAdmin(ListAdmin[Order]):
    """Find an order by its number or its customer."""

    list_display = ["order_no", "customer", "status", "run_state", "total_cents", "slot", "coupon", "created_at"]
    list_filter = ["status", "created_at"]
    list_select_related = ["customer"]
    search_fields = ["order_no", "customer__username", "=run_id"]
    inlines = [OrderLines]
    date_hierarchy = "created_at"
    fields = [
        "order_no",
        "customer",
        "status",
        "total_cents",
        "discount_cents",
        "slot",
        "coupon",
        "created_at",
        "run_state",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        """Read the state of each order's run, too: the status does not show a failure before the first step."""
        state = Run.objects.filter(pk=OuterRef("run_id")).values("state")[:1]
        return super().get_queryset(request).annotate(_run_state=Subquery(state))

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
