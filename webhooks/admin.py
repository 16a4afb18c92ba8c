"""Endpoints and events in the admin: to be looked at. What is sent, the runs of ``webhooks.DeliverEvent`` show."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from sagas.admin.lists import ListAdmin
from webhooks.models import Endpoint, Event


class _ReadOnly(ListAdmin[Any]):
    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Customers register, and what has happened is recorded."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody changes it here."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody deletes it here."""
        return False


@admin.register(Endpoint)
class EndpointAdmin(_ReadOnly):
    """The endpoints, without their secrets."""

    list_display = ["url", "customer", "kinds", "created_at", "delivered_at", "disabled_at", "disabled_reason"]
    list_select_related = ["customer"]
    search_fields = ["url"]
    exclude = ["secret"]


@admin.register(Event)
class EventAdmin(_ReadOnly):
    """What was told."""

    list_display = ["event_id", "kind", "subject", "sequence", "created_at"]
    search_fields = ["=subject"]
    show_full_result_count = False
