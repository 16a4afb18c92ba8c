"""Whether the database has the tables of this code: those of an older one, of a newer one, or a migration half done.

``manage.py check --database default`` (a part of ``migrate``) and ``manage.py sagas doctor`` report what no migration
is about to mend. A worker also refuses to start while migrations are missing: all its statements would fail.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder

from sagas.requirements.server_settings import Deviation

_APP = "sagas"


def missing() -> list[Deviation]:
    """Find migrations that the database lacks; of a database that does not answer none are known to be missing."""
    try:
        applied = _applied()
    except DatabaseError:
        return []
    lacks = [name for name in _on_disk() if name not in applied and not (_replaced(name) or {name}) <= applied]
    if not lacks:
        return []
    return [
        Deviation(
            "E032",
            f"The database lacks {len(lacks)} migration(s) of sagas, up to {lacks[-1]}.",
            "Run manage.py migrate before the workers of this code are started.",
        )
    ]


def deviations() -> list[Deviation]:
    """Find what no migration that is about to run would mend.

    Raises:
        DatabaseError: the server does not answer.
    """
    found: list[Deviation] = []
    on_disk = _on_disk()
    latest = max((number for name in on_disk for number in (name, *_replaced(name))), default="9999")
    if newer := sorted(name for name in _applied() if name[:4] > latest[:4]):
        found.append(
            Deviation(
                "W031",
                f"The database has migrations of a newer sagas than this code: {', '.join(newer)}.",
                "Deploy the newer code again. To stay with this code, first have the newer one take them back: "
                f"manage.py migrate sagas {latest}.",
            )
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
            "WHERE NOT i.indisvalid AND c.relname LIKE 'sagas\\_%%' AND pg_table_is_visible(c.oid) ORDER BY 1"
        )
        invalid = [name for (name,) in cursor.fetchall()]
    if invalid:
        found.append(
            Deviation(
                "W032",
                f"A migration was interrupted: the index {', '.join(invalid)} is invalid.",
                "Run manage.py migrate once more; if it has nothing to do, REINDEX INDEX CONCURRENTLY.",
            )
        )
    return found


def _on_disk() -> list[str]:
    """The names of the migrations of this code, in order; none if the project keeps migrations of its own."""
    if _APP in settings.MIGRATION_MODULES:
        return []
    return sorted(module.name for module in pkgutil.iter_modules(import_module("sagas.migrations").__path__))


def _replaced(name: str) -> set[str]:
    """The migrations in place of which a squashed one stands."""
    return {replaced for app, replaced in import_module(f"sagas.migrations.{name}").Migration.replaces if app == _APP}


def _applied() -> set[str]:
    return {name for app, name in MigrationRecorder(connection).applied_migrations() if app == _APP}
