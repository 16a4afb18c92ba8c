"""SQL of semantic locks: which runs are in line at which business key.

A run's row in ``sagas_lock`` exists from its start until it is final; a trigger deletes it in the transaction that ends
the run. The run with the lowest ticket at a key holds the key. Tickets are drawn under a lock on the key that lasts
until the commit, so no transaction commits a lower ticket later.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from sagas.db import uuid_array


def lock_keys(keys: Sequence[str]) -> None:
    """Let no other transaction draw a ticket at these keys, until the end of this one.

    The keys are locked in the order of their hashes, so that transactions with several keys do not deadlock.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hash) FROM (SELECT DISTINCT hashtextextended(key, 20041) AS hash "
            "FROM unnest(%s::text[]) AS k(key) ORDER BY 1) AS hashes",
            [list(keys)],
        )


def family_of(parent: UUID) -> UUID:
    """The run at the root of a run's ancestors."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE up AS (SELECT id, parent_id FROM sagas_run WHERE id = %s "
            "UNION ALL SELECT run.id, run.parent_id FROM up JOIN sagas_run AS run ON run.id = up.parent_id) "
            "SELECT id FROM up WHERE parent_id IS NULL",
            [parent],
        )
        (root,) = cursor.fetchone()
    return root  # type: ignore[no-any-return]  # a UUID column


def find_taken(keys: Sequence[str], *, family: UUID) -> tuple[str, UUID] | None:
    """The first of these keys that another family holds, and the run that holds it; ``None`` if all are free.

    A key that this family holds is free for it, though others wait for it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key, run_id FROM sagas_lock AS l WHERE key = ANY(%s) AND NOT EXISTS ("
            "SELECT FROM sagas_lock AS own WHERE own.key = l.key AND own.family = %s) ORDER BY key, ticket LIMIT 1",
            [list(keys), family],
        )
        return cursor.fetchone()  # type: ignore[no-any-return]  # the two columns named above


def enqueue(run_id: UUID, keys: Sequence[str], *, family: UUID) -> int:
    """Put a run in line at keys that this transaction has locked; with its family's ticket where there is one.

    Returns:
        How many runs are before it, at the key where they are most.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sagas_lock (key, run_id, family, ticket, since) SELECT key, %s, %s, COALESCE("
            "(SELECT min(ticket) FROM sagas_lock AS l WHERE l.key = k.key AND l.family = %s), "
            "nextval('sagas_lock_id_seq')), clock_timestamp() FROM unnest(%s::text[]) AS k(key)",
            [run_id, family, family, list(keys)],
        )
    return count_ahead([run_id])[run_id]


#: Rows are counted up to this number only. The count only says when to look again.
FAR = 60


def count_ahead(ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many rows are before each run, at the key where they are most, counted up to ``FAR``; 0: it holds all."""
    found = dict.fromkeys(ids, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT mine.run_id, max(front.count) FROM sagas_lock AS mine CROSS JOIN LATERAL ("
            "SELECT count(*) AS count FROM (SELECT FROM sagas_lock AS other WHERE other.key = mine.key "
            "AND other.ticket < mine.ticket LIMIT %s) AS others) AS front "
            "WHERE mine.run_id = ANY(%s::uuid[]) GROUP BY mine.run_id",
            [FAR, uuid_array(ids)],
        )
        found.update(cursor.fetchall())
    return found


def keys_of(ids: Sequence[UUID]) -> list[str]:
    """The keys at which these runs are in line."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT key FROM sagas_lock WHERE run_id = ANY(%s::uuid[]) ORDER BY key", [uuid_array(ids)]
        )
        return [key for (key,) in cursor.fetchall()]


def next_in_line(keys: Sequence[str]) -> list[UUID]:
    """The runs that have not begun among the first two at each of these keys."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT run.id FROM unnest(%s::text[]) AS k(key) CROSS JOIN LATERAL ("
            "SELECT run_id FROM sagas_lock WHERE key = k.key ORDER BY ticket LIMIT 2) AS l "
            "JOIN sagas_run AS run ON run.id = l.run_id WHERE run.state = 'PENDING'",
            [list(keys)],
        )
        return [run_id for (run_id,) in cursor.fetchall()]
