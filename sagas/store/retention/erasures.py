"""SQL of erasures: everything that participants, customers or people wrote of a run, to be read and written anew.

Every function runs in its caller's transaction, under the lock of the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from sagas.store.runs import execute

#: The runs of a business key, and those that are steps of them: what these hold, they have from their parents.
_FAMILY = """
WITH RECURSIVE wanted AS (
    SELECT id FROM sagas_run WHERE business_key = %s
    UNION SELECT child.id FROM sagas_run AS child JOIN wanted ON child.parent_id = wanted.id
)
SELECT id FROM wanted
"""

#: Every column that holds such a text outside ``sagas_run``: the table, its key within a run, the column, and how its
#: rows are named.
_TEXTS = (
    ("sagas_log", "id", "data", "step"),
    ("sagas_confirmation", "id", "data", "name"),
    ("sagas_escalation", "id", "error", "''"),
    # Events that are not published yet. A relay that publishes them is waited for: it locks the first event first.
    ("sagas_outbox", "position", "data", "step"),
    ("sagas_queuedevent", "position", "data", "step"),
)


class Text(NamedTuple):
    """A JSON text of a run: where it stands, the name of the step or confirmation that it is of, and the text."""

    table: str
    key: str
    column: str
    number: int
    name: str
    text: str


def runs_of(business_key: str | None) -> list[UUID]:
    """The runs of a business key, and those that are steps of them; none for ``None``."""
    return [run_id for (run_id,) in _select(_FAMILY, [business_key])]


@contextmanager
def allowed() -> Iterator[None]:
    """Let this transaction change the log and the confirmations of finished runs, which their triggers refuse else."""
    execute("SELECT set_config('sagas.erase', 'on', true)", [])
    yield
    # No longer than needed: the transaction may be a caller's, and go on.
    execute("SELECT set_config('sagas.erase', '', true)", [])


def lock_texts(run_id: UUID) -> list[Text]:
    """Lock and read all such texts of a run, outside the run itself."""
    return [
        Text(table, key, column, number, name, text)
        for table, key, column, of in _TEXTS
        for number, name, text in _select(
            f"SELECT {key}, {of}, {column}::text FROM {table} WHERE run_id = %s ORDER BY {key} FOR UPDATE", [run_id]
        )
        if text is not None
    ]


def overwrite_text(run_id: UUID, text: Text, data: Any) -> None:
    """Write something else in the place of a text."""
    execute(
        f"UPDATE {text.table} SET {text.column} = %s::jsonb WHERE run_id = %s AND {text.key} = %s",
        [json.dumps(data), run_id, text.number],
    )


def reason_of(run_id: UUID) -> Mapping[str, Any] | None:
    """Why a run was undone; ``None`` if it was not."""
    ((reason,),) = _select("SELECT reason::text FROM sagas_run WHERE id = %s", [run_id])
    return json.loads(reason) if reason else None


def overwrite_run(run_id: UUID, *, request: Any, results: Any, reason: Any) -> None:
    """Write something else as a run's request, results and reason."""
    execute(
        "UPDATE sagas_run SET request = %s::jsonb, results = %s::jsonb, reason = %s::jsonb WHERE id = %s",
        [*(None if data is None else json.dumps(data) for data in (request, results, reason)), run_id],
    )


def notes_of(run_id: UUID) -> Sequence[tuple[int, str]]:
    """The notes that people wrote of a run's escalations, with the ids of these."""
    return [(key, note) for key, note in _select("SELECT id, note FROM sagas_escalation WHERE run_id = %s", [run_id])]


def overwrite_note(escalation: int, note: str) -> None:
    """Write something else as the note of an escalation."""
    execute("UPDATE sagas_escalation SET note = %s WHERE id = %s", [note, escalation])


def _select(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
