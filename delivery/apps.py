"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class DeliveryConfig(AppConfig):
    """The delivery domain as an installed app."""

    name = "delivery"
