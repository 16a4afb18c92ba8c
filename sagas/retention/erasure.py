"""Erase the personal data of finished runs for good. What happened, when, and how it ended stays on record.

Erasing is one transaction under the runs' locks. If a run is not finished, and so needs its data, the error names it
and nothing is erased. Barrier rows in other databases are erased before this transaction commits. If the process dies
between the two commits, the erasure must be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import Error, connections, transaction
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
        runs: the runs that were found.
        changed: the runs in which there was something to erase; each has an ``erase`` in its log.
    """

    runs: tuple[UUID, ...]
    changed: tuple[UUID, ...]


def erase(*, business_key: str, by: str) -> Erasure:
    """Erase the personal data in every run of a business key. See ``sagas.erase``."""
    check_person("by", by)
    if not business_key or not by:
        msg = "erase: say which business key, and who erases"
        raise InvalidArgument(msg)
    with transaction.atomic():
        # A key that PostgreSQL cannot store is no run's key.
        rows = store.runs.lock(store.retention.erasures.runs_of(None if why_unstorable(business_key) else business_key))
        if not rows:
            msg = f"there is no run of {business_key!r}"
            raise RunNotFound(msg)
        unfinished = [f"{row.id} is {row.state}" for row in rows if row.state not in FINAL]
        if unfinished:
            msg = f"{business_key!r} cannot be erased yet, for its run {', '.join(unfinished)}"
            raise NotFinished(msg)
        changed = [row for row in rows if _erase_run(row)]
        if changed:
            store.moves.log(store.moves.event_entry("erase", by=by), changed)
    return Erasure(tuple(row.id for row in rows), tuple(row.id for row in changed))


def _erase_run(row: store.runs.Row) -> bool:
    """Erase one locked, finished run. Return whether there was anything to erase."""
    try:
        definition = store.definitions.find(row.saga, row.version, row.shape)
    except UnknownSaga:
        marks, databases = Marks(), frozenset[str]()
    else:
        marks, databases = definition.marks, definition.databases
    barrier_texts = {database: _read_barriers(database, row) for database in sorted(databases) if marks}
    request, results = json.loads(row.request), json.loads(row.results)
    with store.retention.erasures.allowed():
        texts = store.retention.erasures.lock_texts(row.id)
        # Collect all personal values, wherever they stand, before the first of them is overwritten.
        secrets = marks.values(request, results)
        named = [(found.name, found.text) for found in texts]
        named += [(step, text) for copies in barrier_texts.values() for step, _, text in copies]
        for name, text in named:
            secrets |= marks.values(None, {name: json.loads(text)})
        reason = store.retention.erasures.reason_of(row.id)
        before = {"request": request, "results": results, "reason": reason}
        after = {
            "request": _masked(request, marks.request, secrets),
            "results": mask_texts({n: mask(r, marks.of(n), ERASED) for n, r in results.items()}, secrets, ERASED),
            "reason": reason and mask_texts(reason, secrets, ERASED),
        }
        changed = after != before
        if changed:
            store.retention.erasures.overwrite_run(row.id, **after)
        for found in texts:
            data = json.loads(found.text)
            masked = _masked(data, marks.of(found.name), secrets)
            if masked != data:
                store.retention.erasures.overwrite_text(row.id, found, masked)
                changed = True
        for escalation, note in store.retention.erasures.notes_of(row.id):
            masked_note = mask_text(note, secrets, ERASED)
            if masked_note != note:
                store.retention.erasures.overwrite_note(escalation, masked_note)
                changed = True
    for database, copies in barrier_texts.items():
        changed |= _erase_barriers(database, row, copies, marks, secrets)
    return changed


def _read_barriers(database: str, row: store.runs.Row) -> Sequence[tuple[str, str, str]]:
    with _must_answer(database, row):
        return store.barriers.recorded(database, row.id)


def _erase_barriers(
    database: str, row: store.runs.Row, copies: Sequence[tuple[str, str, str]], marks: Marks, secrets: Set[str]
) -> bool:
    """Erase the results in the barrier rows of another database. No delivery of a finished run reads them."""
    changed = False
    with _must_answer(database, row), transaction.atomic(using=database):
        for step, operation, text in copies:
            data = json.loads(text)
            after = _masked(data, marks.of(step), secrets)
            if after != data:
                store.barriers.overwrite(database, row.id, step, operation, json.dumps(after))
                changed = True
    return changed


@contextmanager
def _must_answer(database: str, row: store.runs.Row) -> Iterator[None]:
    try:
        yield
    except (Error, ConnectionDoesNotExist) as error:
        if not isinstance(error, ConnectionDoesNotExist):
            connections[database].close()
        msg = f"the database {database!r} has copies of the data of run {row.id}, and does not answer: {error}".strip()
        raise NotErased(msg) from error


def _masked(data: Any, personal: Paths, secrets: Set[str]) -> Any:
    """A copy without its own personal data, and without values that are personal elsewhere in the run."""
    return mask_texts(mask(data, personal, ERASED), secrets, ERASED)
