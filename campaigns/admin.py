"""Members and changes in the admin, read-only. Campaigns themselves are in ``orders.groups.admin``."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from campaigns.models import Change, Member
from sagas.admin.lists import ListAdmin


class ReadOnly:
    """An admin without editing."""

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: services write these rows."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: services write these rows."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Refuse: they are the record."""
        return False


@admin.register(Member)
class MemberAdmin(ReadOnly, ListAdmin[Member]):
    """Find a member by its order, its customer or its campaign."""

    list_display = ["order_no", "campaign", "customer", "quantity", "state", "joined_at", "paid_at", "left_at"]
    list_filter = ["state", "joined_at"]
    list_select_related = ["campaign", "customer"]
    search_fields = ["=order_no", "customer__username", "=campaign__slug", "=run_id"]


@admin.register(Change)
class ChangeAdmin(ReadOnly, ListAdmin[Change]):
    """What people have done to campaigns, and why."""

    list_display = ["at", "campaign", "kind", "by", "reason"]
    list_filter = ["kind", "at"]
    list_select_related = ["campaign"]
    search_fields = ["=campaign__slug", "by", "reason"]
