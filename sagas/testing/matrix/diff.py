"""Compares calls of a participant: their answers, and the rows that they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS

from sagas.definition.participants import Accepted, Done
from sagas.engine.invocation import Answer, Fault
from sagas.errors import Rejected
from sagas.testing.matrix.snapshot import Columns, Snapshot, differences, merged_columns, volatile_columns

#: The most lines of a difference that are shown.
MAX_SHOWN = 2


@dataclass(frozen=True, slots=True)
class CallEffects:
    """The answers of a participant, and the tables after it."""

    answers: Sequence[Answer]
    rows: Snapshot

    @property
    def failure(self) -> str:
        """The reason if the operation was not done; '' if it was."""
        return next((why for answer in self.answers if (why := failure_reason(answer))), "")


def failure_reason(answer: Answer) -> str:
    """The reason if the operation was not done; '' if it was."""
    if isinstance(answer, Fault):
        return f"{type(answer.error).__name__}: {answer.error}".partition("\n")[0]
    return f"{answer.code}: {answer}" if isinstance(answer, Rejected) else ""


def format_answer(answer: Answer) -> str:
    """Format an answer in one line."""
    return f"Rejected({answer.code})" if isinstance(answer, Rejected) else repr(answer)


def answers_differ(answer: Answer, repeated: Answer, other: Answer) -> bool:
    """Whether ``other`` differs from ``answer``, apart from parts that differ at each call, such as a serial number."""
    first, repeated_parts, found = _plain(answer), _plain(repeated), _plain(other)
    varying = {key for key, value in repeated_parts.items() if first.get(key) != value}
    return bool({key for key in {*first, *found} if first.get(key) != found.get(key)} - varying)


def _plain(answer: Answer) -> dict[str, object]:
    """Split an answer into parts that are compared one by one."""
    match answer:
        case Done(result=dict() as result):
            return {"": "Done", **{f".{key}": value for key, value in result.items()}}
        case Done(result=result):
            return {"": "Done", ".": result}
        case Accepted():
            return {"": "Accepted"}
        case Rejected():
            return {"": "Rejected", "code": answer.code}
        case Fault():
            # Without its class: a fault of one call may cause other faults in the calls beside it.
            return {"": "Fault"}


def describe_changes(wanted: Snapshot, found: Snapshot, ignored: Columns) -> str:
    """Describe how the rows differ; "" if they do not."""
    lines = differences(wanted, found, ignored)
    more = f"; and {len(lines) - MAX_SHOWN} more" if len(lines) > MAX_SHOWN else ""
    return f"{'; '.join(lines[:MAX_SHOWN])}{more}"


def varying_columns(one: CallEffects, other: CallEffects, ignored: Columns) -> Columns:
    """Return the columns that differ between two equal calls, and the ignored ones."""
    return merged_columns(volatile_columns(one.rows, other.rows), ignored)


def auto_now_columns(databases: Sequence[str]) -> dict[str, set[str]]:
    """Map each table to its ``auto_now`` columns, which Django sets at every save."""
    found: dict[str, set[str]] = {}
    for model in apps.get_models():
        columns = {str(field.column) for field in model._meta.concrete_fields if getattr(field, "auto_now", False)}
        for database in databases if columns else ():
            table = model._meta.db_table
            found[table if database == DEFAULT_DB_ALIAS else f"{database}: {table}"] = set(columns)
    return found
