"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """The payments domain as an installed app."""

    name = "payments"
