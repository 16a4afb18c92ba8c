"""Runs that ended long ago, and what is left of runs that were pruned."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

import uuid_utils.compat
from django.db import connection
from pytest_django import Settings

from sagas.models import Confirmation, Escalation, Log, Run, Tombstone

#: For how many days runs are kept in these tests.
KEPT = 30


def keep(settings: Settings, retention: Any = None, **others: Any) -> None:
    """Set for how many days runs are kept, by default all for ``KEPT``; and other keys of ``SAGAS``."""
    settings.SAGAS = {**settings.SAGAS, "RETENTION": {"*": KEPT} if retention is None else retention, **others}


_new_id = uuid_utils.compat.uuid7


def old_id(days: float = 2000) -> UUID:
    """A new id of so many days ago."""
    new = _new_id()
    return UUID(int=new.int - (int(days * 86_400_000) << 80))


def age(ids: Iterable[UUID], days: float = KEPT + 1) -> None:
    """Let these runs have ended so many days earlier."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET created_at = created_at - %s * interval '1 day', "
            "started_at = started_at - %s * interval '1 day', finished_at = finished_at - %s * interval '1 day' "
            "WHERE id = ANY(%s::uuid[])",
            [days, days, days, list(ids)],
        )


def there(ids: Collection[UUID]) -> set[UUID]:
    """Those of the runs that are there."""
    return set(Run.objects.filter(pk__in=ids).values_list("pk", flat=True))


def left_of(ids: Collection[UUID]) -> int:
    """Rows that are left of these runs, in all tables of the engine that have any."""
    of_runs = Run.objects.filter(pk__in=ids).count()
    tables = (Log, Confirmation, Escalation)
    return of_runs + sum(table._default_manager.filter(run_id__in=ids).count() for table in tables)


def is_buried(run_id: UUID) -> bool:
    """Whether there is a tombstone of it."""
    return Tombstone.objects.filter(pk=run_id).exists()
