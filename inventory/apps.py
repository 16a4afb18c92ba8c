"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class InventoryConfig(AppConfig):
    """The inventory domain as an installed app."""

    name = "inventory"
