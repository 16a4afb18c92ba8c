"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """The campaigns domain as an installed app."""

    name = "campaigns"
