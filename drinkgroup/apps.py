"""Which admin site the project has."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class ShopAdminConfig(AdminConfig):
    """Django's admin, on a site that can ask for a second factor."""

    default_site = "drinkgroup.logins.ShopAdminSite"
