"""Stores, slots and what is made for orders, in the admin. A slot's capacity is set once; sagas change its counts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.validators import MaxValueValidator
from django.http import HttpRequest
from django.utils.timezone import localtime

from delivery import services
from delivery.models import MOST_ORDERS, Closure, Fulfilment, FulfilmentMove, OpeningHours, Slot, Store
from sagas.admin.lists import KeptWhileUsedAdmin, ListAdmin


class SlotForm(forms.ModelForm[Slot]):
    """A slot, with a plausible capacity."""

    class Meta:
        """The counts are not editable."""

        model = Slot
        fields = ["store", "starts_at", "ends_at", "closes_at", "active", "available"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if (available := self.fields.get("available")) is not None:
            available.validators.append(MaxValueValidator(MOST_ORDERS))


@admin.register(Slot)
class SlotAdmin(KeptWhileUsedAdmin[Slot]):
    """See the slots, and create new ones."""

    form = SlotForm
    list_display = ["id", "store", "starts_at", "until", "closes_at", "active", "available", "held", "sold"]
    list_select_related = ["store"]
    list_filter = ["active", "store", "starts_at"]
    search_fields = ["=id"]
    date_hierarchy = "starts_at"

    instead = "make it inactive instead, and no more orders are taken for it"

    @admin.display(ordering="ends_at")
    def until(self, row: Slot) -> str:
        """The time of day at which it ends, for the list is as wide as a screen."""
        return f"{localtime(row.ends_at):%H:%M}"

    def use_of(self, row: Slot) -> str:
        """Orders that have a place in the slot."""
        return f"{row.held} held, {row.sold} sold" if row.held or row.sold else ""

    def get_readonly_fields(self, _request: HttpRequest, obj: Slot | None = None) -> list[str]:
        """Fix the capacity of an existing slot, because runs change its counts."""
        # Who has booked a place has booked it in this store.
        return ["held", "sold", *(["available", "store"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Slot, form: Any, change: bool) -> None:
        """Write only the edited fields: the counts may have changed since they were read."""
        if change:
            obj.save(update_fields=["starts_at", "ends_at", "closes_at", "active"])
        else:
            super().save_model(request, obj, form, change)


class HoursInline(admin.TabularInline[OpeningHours, Store]):
    """The opening hours of a store."""

    model = OpeningHours
    extra = 0


@admin.register(Store)
class StoreAdmin(ListAdmin[Store]):
    """Open stores, and set their hours."""

    list_display = ["code", "name", "timezone", "cut_off_minutes", "active"]
    search_fields = ["code", "name"]
    inlines = [HoursInline]

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: a store has slots and orders; make it inactive."""
        return False


@admin.register(Closure)
class ClosureAdmin(ListAdmin[Closure]):
    """Close a store for a time."""

    list_display = ["store", "starts_at", "ends_at", "reason", "closed_by"]
    list_select_related = ["store"]
    fields = ["store", "starts_at", "ends_at", "reason"]

    def has_change_permission(self, request: HttpRequest, obj: Closure | None = None) -> bool:
        """Refuse changes: slots were switched off for it."""
        return obj is None and super().has_change_permission(request)

    def save_model(self, request: HttpRequest, obj: Closure, _form: Any, _change: bool) -> None:
        """Close the store, with its slots."""
        obj.pk = services.close(
            store=obj.store_id,
            starts_at=obj.starts_at,
            ends_at=obj.ends_at,
            reason=obj.reason,
            by=request.user.get_username(),
        ).pk


class MoveInline(admin.TabularInline[FulfilmentMove, Fulfilment]):
    """Who did what for an order."""

    model = FulfilmentMove
    extra = 0
    can_delete = False

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: a trigger writes them."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: they stay on record."""
        return False


@admin.register(Fulfilment)
class FulfilmentAdmin(ListAdmin[Fulfilment]):
    """See how far an order has come; staff moves it in the store's queue."""

    list_display = ["order_no", "store", "kind", "due_at", "state", "changed_by", "changed_at"]
    list_select_related = ["store"]
    list_filter = ["state", "kind", "store"]
    search_fields = ["=order_no"]
    inlines = [MoveInline]

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Refuse: the commit that confirms an order makes it."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: staff moves it in the store's queue."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: it stays on record."""
        return False
