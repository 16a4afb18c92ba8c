"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class InventoryConfig(AppConfig):
    """The inventory domain as an installed app."""

    name = "inventory"

    def ready(self) -> None:
        """Register the metrics."""
        from inventory import metrics  # noqa: F401, PLC0415 - apps must be there first
