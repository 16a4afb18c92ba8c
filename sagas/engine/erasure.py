"""Erase personal data of finished runs, once and for all. What happened, when, and how it ended stays on record.

One transaction under the runs' locks. A run that is not finished needs its data; it is named, and nothing is erased.
Barrier rows of other databases are erased before this transaction commits: whatever dies, it is to be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import Error, connection, connections, transaction
from django.utils.connection import ConnectionDoesNotExist

from sagas import store
from sagas.definition.personal_data import ERASED, Marks, Paths, mask, mask_text, mask_texts
from sagas.errors import InvalidArgument, NotErased, NotFinished, RunNotFound, UnknownSaga
from sagas.states import FINAL
from sagas.validation import check_person, why_unstorable


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did.

    Attributes:
        runs: the runs it found.
        changed: those of them in which something was left to erase; each has an ``erase`` in its log.
    """

    runs: tuple[UUID, ...]
    changed: tuple[UUID, ...]


def erase(*, business_key: str, by: str) -> Erasure:
    """Erase what is personal in every run of a business key. See ``sagas.erase``."""
    check_person("by", by)
    if not business_key or not by:
        msg = "erase: say which business key, and who erases"
        raise InvalidArgument(msg)
    with transaction.atomic():
        with connection.cursor() as cursor:
            # What cannot be stored is no run's key.
            cursor.execute(_RUNS, [None if why_unstorable(business_key) else business_key])
            ids = [run_id for (run_id,) in cursor.fetchall()]
        rows = store.runs.lock(ids)
        if not rows:
            msg = f"there is no run of {business_key!r}"
            raise RunNotFound(msg)
        unfinished = [f"{row.id} is {row.state}" for row in rows if row.state not in FINAL]
        if unfinished:
            msg = f"{business_key!r} cannot be erased yet, for its run {', '.join(unfinished)}"
            raise NotFinished(msg)
        changed = [row for row in rows if _erase(row)]
        if changed:
            store.moves.log(store.moves.event_entry("erase", by=by), changed)
    return Erasure(tuple(row.id for row in rows), tuple(row.id for row in changed))


#: With those that are steps of others: what they hold, they have from them.
_RUNS = """
WITH RECURSIVE wanted AS (
    SELECT id FROM sagas_run WHERE business_key = %s
    UNION SELECT child.id FROM sagas_run AS child JOIN wanted ON child.parent_id = wanted.id
)
SELECT id FROM wanted
"""

#: Every other column that holds what participants, customers or people wrote of a run: the table, its key within a run,
#: the column, and how its rows are named. ``sagas_log`` is append-only but for this: its trigger lets ``data`` of a
#: finished run be rewritten where the transaction says that it erases.
_TEXTS = (
    ("sagas_log", "id", "data", "step"),
    ("sagas_confirmation", "id", "data", "name"),
    ("sagas_escalation", "id", "error", "''"),
    # What is not published yet. It waits for who is publishing it, who locks the first of a run before the others.
    ("sagas_outbox", "position", "data", "step"),
)


def _erase(row: store.runs.Row) -> bool:
    """Erase one locked, finished run; whether there was anything to erase."""
    try:
        definition = store.definitions.find(row.saga, row.version, row.shape)
    except UnknownSaga:
        marks, databases = Marks(), frozenset[str]()
    else:
        marks, databases = definition.marks, definition.databases
    elsewhere = {database: _read_there(database, row) for database in sorted(databases) if marks}
    request, results = json.loads(row.request), json.loads(row.results)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('sagas.erase', 'on', true)")
        texts = {
            (table, key, column): _select(
                cursor,
                f"SELECT {key}, {name}, {column}::text FROM {table} WHERE run_id = %s ORDER BY {key} FOR UPDATE",
                row,
            )
            for table, key, column, name in _TEXTS
        }
        # All that is to go, from wherever it stands, before the first of it is gone.
        secrets = marks.values(request, results)
        named = [(name, text) for found in texts.values() for _, name, text in found]
        named += [(step, text) for copies in elsewhere.values() for step, _, text in copies]
        for name, text in named:
            secrets |= marks.values(None, {name: json.loads(text)})
        ((reason,),) = _select(cursor, "SELECT reason::text FROM sagas_run WHERE id = %s", row)
        changed = _rewrite(
            cursor,
            "UPDATE sagas_run SET request = %s::jsonb, results = %s::jsonb, reason = %s::jsonb WHERE id = %s",
            [
                (request, _without(request, marks.request, secrets)),
                (results, mask_texts({n: mask(r, marks.of(n), ERASED) for n, r in results.items()}, secrets, ERASED)),
                (reason and json.loads(reason), reason and mask_texts(json.loads(reason), secrets, ERASED)),
            ],
            row.id,
        )
        for (table, key, column), found in texts.items():
            for number, name, text in found:
                data = json.loads(text)
                after = _without(data, marks.of(name), secrets)
                changed |= _rewrite(
                    cursor,
                    f"UPDATE {table} SET {column} = %s::jsonb WHERE run_id = %s AND {key} = %s",
                    [(data, after)],
                    row.id,
                    number,
                )
        for key, note in _select(cursor, "SELECT id, note FROM sagas_escalation WHERE run_id = %s", row):
            after = mask_text(note, secrets, ERASED)
            if after != note:
                cursor.execute("UPDATE sagas_escalation SET note = %s WHERE id = %s", [after, key])
                changed = True
        # No longer than needed: the same transaction may be a caller's, and go on.
        cursor.execute("SELECT set_config('sagas.erase', '', true)")
    for database, copies in elsewhere.items():
        changed |= _erase_there(database, row, copies, marks, secrets)
    return changed


def _read_there(database: str, row: store.runs.Row) -> Sequence[tuple[str, str, str]]:
    with _reaching(database, row):
        return store.barriers.recorded(database, row.id)


def _erase_there(
    database: str, row: store.runs.Row, copies: Sequence[tuple[str, str, str]], marks: Marks, secrets: Set[str]
) -> bool:
    """Erase what the barrier rows of another database have recorded. A finished run is not delivered any more."""
    changed = False
    with _reaching(database, row), transaction.atomic(using=database):
        for step, operation, text in copies:
            data = json.loads(text)
            after = _without(data, marks.of(step), secrets)
            if after != data:
                store.barriers.overwrite(database, row.id, step, operation, json.dumps(after))
                changed = True
    return changed


@contextmanager
def _reaching(database: str, row: store.runs.Row) -> Iterator[None]:
    try:
        yield
    except (Error, ConnectionDoesNotExist) as error:
        if not isinstance(error, ConnectionDoesNotExist):
            connections[database].close()
        msg = f"the database {database!r} has copies of what {row.id} knows, and cannot be asked: {error}".strip()
        raise NotErased(msg) from error


def _without(data: Any, personal: Paths, secrets: Set[str]) -> Any:
    """A copy without what is personal in it, and without what was personal somewhere else."""
    return mask_texts(mask(data, personal, ERASED), secrets, ERASED)


def _select(cursor: Any, sql: str, row: store.runs.Row) -> Sequence[Any]:
    cursor.execute(sql, [row.id])
    return [found for found in cursor.fetchall() if len(found) < 3 or found[2] is not None]


def _rewrite(cursor: Any, sql: str, pairs: Sequence[tuple[Any, Any]], *key: Any) -> bool:
    """Write the second of each pair, unless all are as they were."""
    if all(before == after for before, after in pairs):
        return False
    cursor.execute(sql, [*(None if after is None else json.dumps(after) for _, after in pairs), *key])
    return True
