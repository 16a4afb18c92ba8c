"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """The orders domain as an installed app."""

    name = "orders"
