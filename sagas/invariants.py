"""Invariants as data: what must hold between tables at every commit, and the query that finds what breaks it.

An invariant is one statement, so what it compares is of one moment: a transaction that is under way is seen wholly or
not at all. It is asked about some keys at a time, so a table is checked part by part, or only where it has changed.
Whoever has tables declares the invariants about them; an application puts the lists together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Walk:
    """The rows of a table in the order of an indexed column, whose values are the keys of invariants.

    Attributes:
        table: the table.
        column: the column; several rows may have the same value.
        type: its SQL type.
        grows: whether keys of new rows are greater than those of older ones: a UUIDv7, or a number that counts up.
    """

    table: str
    column: str
    type: str
    grows: bool = False

    @property
    def name(self) -> str:
        """By which its position is stored."""
        return f"{self.table}.{self.column}"


#: All runs.
RUNS = Walk("sagas_run", "id", "uuid", grows=True)


@dataclass(frozen=True, slots=True)
class Violation:
    """A place at which an invariant does not hold.

    Attributes:
        invariant: its name.
        key: the key that was asked about.
        row: the row that breaks it: its table, and what it is found by there.
        run_id: the run that it belongs to; ``None`` if it belongs to none.
        data: what was found, by name, as JSON has it; ``transaction``, which one did it, if that is known.
    """

    invariant: str
    key: str
    row: str
    run_id: UUID | None
    data: Mapping[str, Any] = field(default_factory=dict)


class RepairRefused(Exception):
    """The repair would be wrong as things stand now. Nothing was written; the text says why."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What puts a violation right.

    Attributes:
        proposes: what it would do, in one sentence; ``str.format`` fills in the violation's data.
        make: do it, in the caller's transaction, with ``reason=`` and ``by=``. It takes its own locks, and believes
            only what it reads behind them. It raises ``RepairRefused``.
    """

    proposes: str
    make: Callable[..., None]


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that holds at every commit.

    Attributes:
        name: its stored name: the app, a dot, and a word.
        says: what holds, in one sentence.
        walk: what its keys are.
        sql: one statement that lists the violations among the keys ``%(keys)s`` (``text[]``), as ``key text, row text,
            run_id uuid, data jsonb``.
        found: what a violation says, in one sentence; ``str.format`` fills in its data.
        advice: what a person does about it.
        repair: what puts it right; ``None``: only a person can know what is right.
    """

    name: str
    says: str
    walk: Walk
    sql: str
    found: str
    advice: str = ""
    repair: Repair | None = None

    def describe(self, violation: Violation) -> str:
        """Say what was found."""
        by = f" (transaction {violation.data['transaction']})" if "transaction" in violation.data else ""
        return self.found.format(**violation.data) + by

    def propose(self, violation: Violation) -> str:
        """Say what would put it right: the repair, or what a person does."""
        return self.repair.proposes.format(**violation.data) if self.repair else self.advice
