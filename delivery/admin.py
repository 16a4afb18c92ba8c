"""The slots in the admin. The counts belong to the engine: capacity is given once, when a slot is made."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from delivery.models import Slot


@admin.register(Slot)
class SlotAdmin(admin.ModelAdmin[Slot]):
    """Look at the slots, and open new ones."""

    list_display = ["id", "starts_at", "ends_at", "available", "held", "sold"]
    list_filter = ["starts_at"]
    search_fields = ["=id"]
    date_hierarchy = "starts_at"

    def get_readonly_fields(self, _request: HttpRequest, obj: Slot | None = None) -> list[str]:
        """Fix the capacity once runs may move it."""
        return ["held", "sold", *(["available"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Slot, form: Any, change: bool) -> None:
        """Write only what was typed: the counts that were read may be old by now."""
        if change:
            obj.save(update_fields=["starts_at", "ends_at"])
        else:
            super().save_model(request, obj, form, change)
