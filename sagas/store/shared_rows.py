"""Locks on rows of the application that several participants of one transaction lock, taken before they are called.

They are the only rows outside the engine's own tables that the engine locks.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model

from sagas.db import array, uuid_array
from sagas.postgresql import prepared


def lock(
    keys: Mapping[type[Model], Set[Hashable]], confirmed: Sequence[UUID] | None = None
) -> dict[UUID, set[str]] | None:
    """Lock rows in the one order of all transactions: by table, then by primary key. Rows that are missing are not.

    Args:
        keys: primary keys of the rows.
        confirmed: locked runs whose confirmations the same statement reads.

    Returns:
        The names of the confirmations that have come, by run; ``None`` if they were not asked for.
    """
    models = sorted((model for model in keys if keys[model]), key=lambda model: model._meta.db_table)
    parts, params = [_locking(model) for model in models], [array(keys[model]) for model in models]
    if confirmed is not None:
        parts.append("SELECT run_id, name FROM sagas_confirmation WHERE run_id = ANY(%s::uuid[])")
        params.append(uuid_array(confirmed))
    if not parts:
        return None
    found: list[tuple[Any, ...]]
    # PostgreSQL executes the parts of a UNION ALL in their order, for rows that are locked in one process.
    with connection.cursor() as cursor:
        rows = max(map(len, (*keys.values(), confirmed or ())))
        prepared.execute(cursor, " UNION ALL ".join(parts), params, rows=rows)
        found = cursor.fetchall()
    if confirmed is None:
        return None
    came: dict[UUID, set[str]] = {run_id: set() for run_id in confirmed}
    for run_id, name in found:
        if run_id is not None:
            came[run_id].add(name)
    return came


def _locking(model: type[Model]) -> str:
    # Table and column names come from the models, never from a request.
    column = model._meta.pk.column
    return (
        f'SELECT NULL::uuid, count(*)::text FROM (SELECT FROM "{model._meta.db_table}" WHERE "{column}" = ANY(%s) '
        f'ORDER BY "{column}" FOR NO KEY UPDATE) AS locked'
    )
