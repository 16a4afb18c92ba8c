"""Attempts that did not succeed, side by side: what each said, and in what it differs from the one before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice

from sagas.admin import present
from sagas.models import Log, LogOutcome

#: Of each operation the last failures are compared; so many lines of a difference and characters of a text are shown.
_MOST, _LINES, _LETTERS = 6, 30, 1_200
_FAILED = frozenset({LogOutcome.FAULT.value, LogOutcome.REJECTED.value})


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, or several in a row that say the same.

    Attributes:
        attempts: which attempts, such as "2" or "2–5".
        at: when the first was.
        text: its error, as indented JSON.
        difference: from the failure before it, line by line: (how, text), how being "+", "-", " " or "@".
    """

    attempts: str
    at: str
    text: str
    difference: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures of one operation of a step; ``left_out`` were before them."""

    step: str
    operation: str
    found: tuple[Failure, ...]
    left_out: int


def of_log(entries: Sequence[Log]) -> list[Failures]:
    """Group the failures of a log by step and operation, in the order of their first ones."""
    rows: dict[tuple[str, str], list[Log]] = {}
    for entry in entries:
        if entry.outcome in _FAILED:
            rows.setdefault((entry.step, entry.operation), []).append(entry)
    found = []
    for (step, operation), failed in rows.items():
        same = list(_same(failed))
        shown = tuple(_compared(same[-_MOST:]))
        found.append(Failures(step, present.operation(operation), shown, len(same) - len(shown)))
    return found


def _same(failed: Sequence[Log]) -> Iterator[list[Log]]:
    """Failures in a row with the same data."""
    group: list[Log] = []
    for entry in failed:
        if group and group[-1].data != entry.data:
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _compared(groups: Sequence[list[Log]]) -> Iterator[Failure]:
    before = ""
    for group in groups:
        text = present.pretty(group[0].data)
        first, last = group[0].attempt, group[-1].attempt
        yield Failure(
            str(first) if len(group) == 1 else f"{first}–{last}" if last > first else f"{first} (×{len(group)})",
            present.moment(group[0].at),
            present.cut(text, _LETTERS),
            tuple(_difference(before, text)) if before else (),
        )
        before = text


def _difference(before: str, after: str) -> Iterator[tuple[str, str]]:
    lines = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    # The first two lines name files.
    for line in islice(lines, 2, _LINES + 2):
        yield line[:1], line[1:]
