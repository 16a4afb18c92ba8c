"""Finds unfinished runs whose request the code can no longer read, because the request's type has changed.

Only the doctor uses it: every request is loaded as the run's next operation would load it. That is too slow for a
start-up, and may call code of the application.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from sagas import store
from sagas.definition.definition import Definition
from sagas.errors import UnknownSaga

#: The most requests in memory at a time.
BATCH = 1000
#: Shown instead of a name that may be personal data, such as a key of a dict.
_UNTOLD = "…"

#: The partial index on ``due_at`` finds live runs. Escalated runs are not due; their open escalations find them.
_UNFINISHED = """
SELECT id, saga, version, shape, request::text, FALSE FROM sagas_run WHERE due_at IS NOT NULL
UNION ALL
SELECT r.id, r.saga, r.version, r.shape, r.request::text, TRUE FROM sagas_escalation AS e
JOIN sagas_run AS r ON r.id = e.run_id WHERE e.resolved_at IS NULL
"""


@dataclass(slots=True)
class Unreadable:
    """The unfinished runs of one saga and version whose requests cannot be loaded.

    Attributes:
        saga: the saga.
        version: its version.
        live: number of live runs.
        escalated: number of escalated runs.
        first: the oldest run.
        error: what is wrong with the oldest run's request, without its content.
    """

    saga: str
    version: int
    live: int
    escalated: int
    first: UUID
    error: str


def find() -> Sequence[Unreadable]:
    """Load the requests of all unfinished runs, and count those that fail."""
    found: dict[tuple[str, int], Unreadable] = {}
    for run_id, saga, version, shape, request, escalated in _unfinished():
        try:
            definition = store.definitions.find(saga, version, shape)
        except UnknownSaga:
            continue  # ``store.definitions.problems`` reports it
        error = _error(definition, request)
        if error is None:
            continue
        group = found.setdefault((saga, version), Unreadable(saga, version, 0, 0, run_id, error))
        group.escalated += escalated
        group.live += not escalated
        if run_id < group.first:
            group.first, group.error = run_id, error
    return [found[key] for key in sorted(found)]


def _unfinished() -> Iterator[tuple[UUID, str, int, int, str, bool]]:
    """Read through a server-side cursor: all requests together may not fit in memory."""
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(_UNFINISHED)
        while rows := cursor.fetchmany(BATCH):
            yield from rows


def _error(definition: Definition, request: str) -> str | None:
    try:
        definition.load(request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        # Type and location only: the message of the application's validator may quote the customer's input.
        place = ".".join(_told(definition, part) for part in first["loc"])
        return f"{place} {first['type']}".strip()
    except Exception as error:
        return type(error).__name__
    return None


def _told(definition: Definition, part: int | str) -> str:
    return str(part) if isinstance(part, int) or part in _names(definition.requests) else _UNTOLD


@cache
def _names(requests: TypeAdapter[Any]) -> frozenset[str]:
    """List the names of all fields of a type, at any depth."""
    try:
        return frozenset(_properties(requests.json_schema()))
    except (PydanticUserError, PydanticSchemaGenerationError):
        # JSON Schema cannot describe the type: the error is reported without field names.
        return frozenset()


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for part in schema.values():
            yield from _properties(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _properties(part)
