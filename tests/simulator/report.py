"""What many schedules came to, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from sagas.states import TRANSITIONS
from tests.simulator.play import Played


@dataclass(slots=True)
class Report:
    """Counts of what was played; two can be added.

    Attributes:
        bugs: by seed, what was wrong and how to see it again.
    """

    schedules: int = 0
    runs: int = 0
    activities: int = 0
    points: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    sagas: Counter[str] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    bugs: dict[int, str] = field(default_factory=dict)

    def count(self, played: Played) -> None:
        """Take a schedule in."""
        self.schedules += 1
        self.activities += played.activities
        self.points += played.points
        self.runs += sum(played.states.values())
        self.faults += played.faults
        self.places += played.places
        self.states += played.states
        self.sagas += played.sagas
        self.transitions += played.transitions

    def add(self, other: Report) -> None:
        """Take another's counts in."""
        for name in ("schedules", "runs", "activities", "points"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("faults", "places", "states", "sagas", "transitions"):
            getattr(self, name).update(getattr(other, name))
        self.bugs |= other.bugs

    def missing(self) -> list[tuple[str, str]]:
        """Transitions of the table that no run has made."""
        return [
            (before.value, after.value)
            for before, following in TRANSITIONS.items()
            for after in sorted(following)
            if not self.transitions[before.value, after.value]
        ]

    def show(self, console: Console, *, seconds: float, jobs: int) -> None:
        """Print it."""
        rate = self.schedules / seconds * 60 if seconds else 0
        console.print(
            f"\n{self.schedules:,} schedules in {seconds / 60:.1f} min on {jobs} process(es): {rate:,.0f} a minute; "
            f"{self.runs:,} runs, {self.activities:,} activities, {self.points:,} points at which a fault could strike"
        )
        for title, counts in (
            ("faults and weather", self.faults),
            ("where processes died", {k: n for k, n in self.places.items() if k.startswith("crash ")}),
            ("sagas", self.sagas),
            ("states at the end", self.states),
            ("transitions", {f"{before} to {after}": n for (before, after), n in self.transitions.items()}),
        ):
            console.print(_table(title, counts))
        if missing := self.missing():
            console.print("never seen: " + ", ".join(f"{before} to {after}" for before, after in missing))
        console.print(f"bugs: {len(self.bugs)}" + "".join(f"\n  seed {seed}" for seed in self.bugs))

    def show_bugs(self, console: Console) -> None:
        """Print what was wrong."""
        for seed, bug in self.bugs.items():
            console.rule(f"seed {seed}", style="red")
            console.print(bug, markup=False, highlight=False)


def _table(title: str, counts: Mapping[str, int]) -> Table:
    table = Table(title, "times", title_justify="left")
    table.columns[1].justify = "right"
    for what, times in sorted(counts.items(), key=lambda pair: -pair[1]):
        table.add_row(what, f"{times:,}")
    return table
