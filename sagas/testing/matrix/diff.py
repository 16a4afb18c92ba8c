"""What of a participant's calls is compared: its answers in parts, and the rows that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS

from sagas.definition.participants import Accepted, Done
from sagas.engine.invocation import Answer, Fault
from sagas.errors import Rejected
from sagas.testing.matrix.snapshot import Columns, Picture, differences, joined, volatile

#: Lines of a difference that are shown.
SHOWN = 2


@dataclass(frozen=True, slots=True)
class Left:
    """What a participant has answered, and what the tables said then."""

    answers: Sequence[Answer]
    rows: Picture

    @property
    def broken(self) -> str:
        """Why it was not done, if it was not."""
        return next((why for answer in self.answers if (why := why_not(answer))), "")


def why_not(answer: Answer) -> str:
    """Why it was not done, if it was not."""
    if isinstance(answer, Fault):
        return f"{type(answer.error).__name__}: {answer.error}".partition("\n")[0]
    return f"{answer.code}: {answer}" if isinstance(answer, Rejected) else ""


def show(answer: Answer) -> str:
    """In short."""
    return f"Rejected({answer.code})" if isinstance(answer, Rejected) else repr(answer)


def disagreement(answer: Answer, repeated: Answer, other: Answer) -> bool:
    """Whether another answer says something else; what is another at each call, such as a serial, is not compared."""
    said, again, found = _plain(answer), _plain(repeated), _plain(other)
    chance = {key for key, value in again.items() if said.get(key) != value}
    return bool({key for key in {*said, *found} if said.get(key) != found.get(key)} - chance)


def _plain(answer: Answer) -> dict[str, object]:
    """An answer in parts that can be compared one by one."""
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
            # Of which class is no matter: one that breaks may break the others in another way.
            return {"": "Fault"}


def changed(wanted: Picture, found: Picture, ignored: Columns) -> str:
    """Say what is left otherwise, if anything is."""
    lines = differences(wanted, found, ignored)
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"{'; '.join(lines[:SHOWN])}{more}"


def by_chance(one: Left, other: Left, ignored: Columns) -> Columns:
    """The columns that differ although the same was asked, and those that are not compared at all."""
    return joined(volatile(one.rows, other.rows), ignored)


def touched(databases: Sequence[str]) -> dict[str, set[str]]:
    """By table, the columns that Django writes at every save with its own clock."""
    found: dict[str, set[str]] = {}
    for model in apps.get_models():
        columns = {str(field.column) for field in model._meta.concrete_fields if getattr(field, "auto_now", False)}
        for database in databases if columns else ():
            table = model._meta.db_table
            found[table if database == DEFAULT_DB_ALIAS else f"{database}: {table}"] = set(columns)
    return found
