"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class CouponsConfig(AppConfig):
    """The coupons domain as an installed app."""

    name = "coupons"

    def ready(self) -> None:
        """Register the metrics."""
        from coupons import metrics  # noqa: F401, PLC0415 - apps must be there first
