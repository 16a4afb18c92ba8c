"""A database router that keeps the tables of the engine where they belong."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS

#: The only table of the engine in other databases.
BARRIER = "barrier"


class BarrierRouter:
    """Let ``migrate`` make the barrier table in all other databases, and the other tables in the engine's database.

    The barrier table is made in every other database, whether or not a step uses it today: ``migrate`` records a
    migration as applied even if a router kept its tables out, and would never make them later. Put the router first in
    ``DATABASE_ROUTERS``. If a database must not have this table, put a router of your own before it.
    """

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **_: Any) -> bool | None:
        """Decide for the app ``sagas`` only."""
        if app_label != "sagas":
            return None
        # An operation without a model is SQL for the engine's tables.
        return (db == DEFAULT_DB_ALIAS) is not (model_name == BARRIER)
