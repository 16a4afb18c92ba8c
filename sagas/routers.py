"""A database router that keeps the tables of the engine where they belong."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS

#: The one table that other databases have.
BARRIER = "barrier"


class BarrierRouter:
    """Have ``migrate`` make the barrier table in every database but the engine's own, and all others only there.

    Every other one, and not only those that some step names today: ``migrate`` notes a migration as applied also where
    a router kept its tables out, and would never make them later. Put it first in ``DATABASE_ROUTERS``; a database
    that shall not even have this empty table needs a router of the project's own before it.
    """

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **_: Any) -> bool | None:
        """Decide for the app ``sagas``; of the others nothing is known here."""
        if app_label != "sagas":
            return None
        # What has no model is SQL for the engine's tables.
        return (db == DEFAULT_DB_ALIAS) is not (model_name == BARRIER)
