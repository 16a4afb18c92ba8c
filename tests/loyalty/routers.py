"""Keeps this app's tables in its own database, and all others out of it: a project's own router looks like this."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

ALIAS = "loyalty"


class LoyaltyRouter:
    """The app ``loyalty`` lives in the database ``loyalty``, and nobody else does."""

    def db_for_read(self, model: type[Model], **_: Any) -> str | None:
        """Where its models are read."""
        return ALIAS if model._meta.app_label == "loyalty" else None

    def db_for_write(self, model: type[Model], **_: Any) -> str | None:
        """Where its models are written."""
        return ALIAS if model._meta.app_label == "loyalty" else None

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
        """Where tables are made."""
        if app_label == "loyalty" or db == ALIAS:
            return (app_label == "loyalty") is (db == ALIAS)
        return None
