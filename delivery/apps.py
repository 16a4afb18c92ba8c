"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class DeliveryConfig(AppConfig):
    """The delivery domain as an installed app."""

    name = "delivery"

    def ready(self) -> None:
        """Register the metrics."""
        from delivery import metrics  # noqa: F401, PLC0415 - apps must be there first
