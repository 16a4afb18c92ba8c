"""The coupons in the admin. Sagas change whether one is used."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from coupons.models import Coupon
from sagas.admin.lists import KeptWhileUsedAdmin


@admin.register(Coupon)
class CouponAdmin(KeptWhileUsedAdmin[Coupon]):
    """See the coupons, and create new ones."""

    list_display = ["code", "customer", "discount_cents", "expires_at", "active", "used"]
    list_filter = ["active", "used", "expires_at"]
    list_select_related = ["customer"]
    search_fields = ["code", "customer__username"]
    autocomplete_fields = ["customer"]

    instead = "make it inactive instead"

    def use_of(self, row: Coupon) -> str:
        """Whether an order uses it."""
        return "used by an order" if row.used else ""

    def get_readonly_fields(self, _request: HttpRequest, obj: Coupon | None = None) -> list[str]:
        """Fix the code of an existing coupon, because redemptions refer to it."""
        return ["used", *(["code"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Coupon, form: Any, change: bool) -> None:
        """Write only the edited fields: ``used`` may have changed since it was read."""
        if change:
            obj.save(update_fields=["customer", "discount_cents", "expires_at", "active"])
        else:
            super().save_model(request, obj, form, change)
