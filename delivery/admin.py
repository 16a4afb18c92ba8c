"""The slots in the admin. Sagas change the counts; the capacity is set once, when a slot is created."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.validators import MaxValueValidator
from django.http import HttpRequest

from delivery.models import MOST_ORDERS, Slot
from sagas.admin.lists import KeptWhileUsedAdmin


class SlotForm(forms.ModelForm[Slot]):
    """A slot, with a plausible capacity."""

    class Meta:
        """The counts are not editable."""

        model = Slot
        fields = ["starts_at", "ends_at", "active", "available"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if (available := self.fields.get("available")) is not None:
            available.validators.append(MaxValueValidator(MOST_ORDERS))


@admin.register(Slot)
class SlotAdmin(KeptWhileUsedAdmin[Slot]):
    """See the slots, and create new ones."""

    form = SlotForm
    list_display = ["id", "starts_at", "ends_at", "active", "available", "held", "sold"]
    list_filter = ["active", "starts_at"]
    search_fields = ["=id"]
    date_hierarchy = "starts_at"

    instead = "make it inactive instead, and no more orders are taken for it"

    def use_of(self, row: Slot) -> str:
        """Orders that have a place in the slot."""
        return f"{row.held} held, {row.sold} sold" if row.held or row.sold else ""

    def get_readonly_fields(self, _request: HttpRequest, obj: Slot | None = None) -> list[str]:
        """Fix the capacity of an existing slot, because runs change its counts."""
        return ["held", "sold", *(["available"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Slot, form: Any, change: bool) -> None:
        """Write only the edited fields: the counts may have changed since they were read."""
        if change:
            obj.save(update_fields=["starts_at", "ends_at", "active"])
        else:
            super().save_model(request, obj, form, change)
