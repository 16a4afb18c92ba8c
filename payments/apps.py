"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """The payments domain as an installed app."""

    name = "payments"

    def ready(self) -> None:
        """Register what is done on a tick."""
        from payments import sweeping  # noqa: F401, PLC0415 - apps must be there first
