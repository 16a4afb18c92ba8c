"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """The orders domain as an installed app."""

    name = "orders"

    def ready(self) -> None:
        """Register the system checks, what is done on a tick, and the links of runs."""
        from orders import checks, run_links  # noqa: F401, PLC0415 - apps must be there first
        from orders.groups import deciding  # noqa: F401, PLC0415 - the same
        from orders.reconciliation import metrics, passes  # noqa: F401, PLC0415 - the same
