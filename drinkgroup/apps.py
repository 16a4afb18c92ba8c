"""Which admin site the project has."""

from __future__ import annotations

from django.conf import settings
from django.contrib.admin.apps import AdminConfig


class ShopAdminConfig(AdminConfig):
    """Django's admin, on a site that can ask for a second factor."""

    default_site = "drinkgroup.logins.ShopAdminSite"

    def ready(self) -> None:
        """Find the admin's modules, keep the roles, and record spans where there is a collector."""
        super().ready()
        # Django's own models must be there first.
        from drinkgroup import roles  # noqa: PLC0415

        roles.connect()
        if settings.TRACES:
            # OpenTelemetry is loaded only then.
            from drinkgroup import spans  # noqa: PLC0415

            spans.record()
