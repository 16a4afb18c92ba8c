"""Logs as they would be written, moment by moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sagas.decisions.ahead import Ahead
from sagas.diagrams.timeline import Facts
from sagas.states import State

BEGIN = datetime(2026, 12, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A moment, in seconds since the run was accepted."""
    return BEGIN + timedelta(seconds=seconds)


@dataclass
class Row:
    """A row of a log."""

    step: str
    operation: str
    outcome: str
    at: datetime
    attempt: int = 1
    duration_us: int = 0
    performed_by: str = ""


@dataclass
class History:
    """A log that grows."""

    rows: list[Row] = field(default_factory=list)

    def row(self, seconds: float, place: str, outcome: str = "DONE", *, took: float = 0.0, attempt: int = 1) -> None:
        """An operation has ended, or was begun; ``place`` is "step operation"."""
        step, _, operation = place.partition(" ")
        self.rows.append(Row(step, operation, outcome, at(seconds), attempt, int(took * 1_000_000)))

    def event(self, seconds: float, name: str, step: str = "", *, by: str = "") -> None:
        """Something happened to the run."""
        self.rows.append(Row(step, name, "EVENT", at(seconds), performed_by=by))


def facts(state: State, now: float, *, ended: bool = False, ahead: tuple[str, ...] = (), **more: Any) -> Facts:
    """What is known of a run with the steps a and b, at a time."""
    states = {"compensate": State.COMPENSATING, "cancel": State.COMPENSATING, "confirm": State.CONFIRMING}
    left = [each.partition(" ")[::2] for each in ahead]
    return Facts(
        state=state,
        created_at=BEGIN,
        finished_at=at(now) if ended else None,
        now=at(now),
        steps=("a", "b"),
        before_pivot=frozenset({"a", "b"}),
        ahead=tuple(Ahead(step, operation, states.get(operation, State.EXECUTING)) for step, operation in left),
        **more,
    )
