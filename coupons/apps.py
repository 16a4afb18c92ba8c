"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class CouponsConfig(AppConfig):
    """The coupons domain as an installed app."""

    name = "coupons"
