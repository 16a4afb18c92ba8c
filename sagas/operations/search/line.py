"""The line by which runs are found: ``state:compensating age:>5m step:apply_coupon "ORD 1"``.

Pure. A term is a qualifier with a value, perhaps with ``>`` or ``<`` before it, or a word alone. Quotes keep blanks
together. Every mistake has its place in the line, so that a reader finds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.definition import registry
from sagas.errors import InvalidArgument
from sagas.states import State

#: The longest line that is read, and the most terms of one, in characters and terms.
LONGEST, MOST = 1000, 20

_TERM = re.compile(r"""\s*(?:([a-z_]+):)?([<>])?(?:"([^"]*)"|(\S+))""")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LENGTH = re.compile(r"([0-9]{1,6})([smhd])")


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the line.

    Attributes:
        name: the qualifier; "" of a word alone, which is a business key or the id of a run.
        order: ``">"``, ``"<"``, or "" where the value is to be equal.
        value: as the qualifier has it: a `State`, a text, a number, a length of time, a moment, or an id.
        start: where in the line it begins, in characters.
        end: where it ends, exclusive.
    """

    name: str
    order: str
    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a part of the line."""

    says: str
    start: int
    end: int


class BadLine(InvalidArgument):
    """The line cannot be read. ``mistakes`` have their places in it."""

    def __init__(self, line: str, mistakes: Sequence[Mistake]) -> None:
        super().__init__(" ".join(mistake.says for mistake in mistakes))
        self.line = line
        self.mistakes = tuple(mistakes)


def parse(line: str) -> tuple[Term, ...]:
    """Read a line; an empty one finds everything.

    Raises:
        BadLine: with all mistakes.
    """
    if len(line) > LONGEST:
        raise BadLine(line, [Mistake(_("The line is longer than %d characters.") % LONGEST, LONGEST, len(line))])
    if "\0" in line:
        raise BadLine(line, [Mistake(_("There is a NUL in the line."), line.index("\0"), line.index("\0") + 1)])
    terms, mistakes = [], []
    for found in _terms(line):
        if isinstance(found, Mistake):
            mistakes.append(found)
        else:
            terms.append(found)
    if len(terms) > MOST:
        mistakes.append(Mistake(_("There are more than %d terms.") % MOST, terms[MOST].start, len(line)))
    if mistakes:
        raise BadLine(line, mistakes)
    return tuple(terms)


def completions() -> list[str]:
    """What a line may have, with the values that are known: states, sagas, steps."""
    sagas = sorted({definition.name for definition in registry.all_definitions()})
    steps = sorted({step.name for definition in registry.all_definitions() for step in definition.all_steps})
    return [
        *(f"state:{state.value.lower()}" for state in State),
        *(f"saga:{saga}" for saga in sagas),
        *(f"step:{step}" for step in steps),
        *("age:>5m", "attempts:>2", "error:timeout", "key:", "trace:", "version:", "started:>2026-12-01"),
    ]


def _terms(line: str) -> Iterator[Term | Mistake]:
    position = 0
    while line[position:].strip():
        match = _TERM.match(line, position)
        assert match is not None  # a character that is no blank is a term at least
        start = match.start() + len(match[0]) - len(match[0].lstrip())
        position = match.end()
        name, order, quoted, bare = match[1] or "", match[2] or "", match[3], match[4]
        text = bare if quoted is None else quoted
        if not name and quoted is None and text.endswith(":") and text[:-1] in _QUALIFIERS:
            # A qualifier without a value would be taken for a key.
            name, text = text[:-1], ""
        yield _term(name, order, text, start, position)


def _term(name: str, order: str, text: str, start: int, end: int) -> Term | Mistake:
    if name not in _QUALIFIERS:
        meant = get_close_matches(name, [known for known in _QUALIFIERS if known], n=1)
        hint = _(" Is %s: meant?") % meant[0] if meant else _(' Quote it, if it is a part of a key: "%s".') % text
        return Mistake(_("There is no qualifier %s:.") % name + hint, start, end)
    read, ordered, wants = _QUALIFIERS[name]
    if order and not ordered:
        return Mistake(_("%(name)s: takes no %(order)s.") % {"name": name or text, "order": order}, start, end)
    try:
        value = read(text)
    except (ValueError, OverflowError):
        return Mistake(_("%(name)s: wants %(what)s.") % {"name": name, "what": wants}, start, end)
    return Term(name, order, value, start, end)


def _state(text: str) -> State:
    return State(text.upper())


def _length(text: str) -> timedelta:
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text):
        raise ValueError(text)
    return int(text)


def _word(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


#: By name: how the value is read, whether it may be compared, and what a reader is told that it wants.
_QUALIFIERS: dict[str, tuple[Any, bool, Any]] = {
    "": (_word, False, gettext_lazy("a business key or the id of a run")),
    "state": (_state, False, gettext_lazy("a state, such as compensating")),
    "saga": (_word, False, gettext_lazy("the name of a saga")),
    "step": (_word, False, gettext_lazy("the name of a step")),
    "key": (_word, False, gettext_lazy("a whole business key")),
    "error": (_word, False, gettext_lazy("a part of an error's text or class")),
    "trace": (UUID, False, gettext_lazy("a trace id of 32 hexadecimal digits")),
    "version": (_number, False, gettext_lazy("the number of a version")),
    "attempts": (_number, True, gettext_lazy("a number, such as >2")),
    "age": (_length, True, gettext_lazy("a length of time, such as >5m, >2h or <1d")),
    "started": (_moment, True, gettext_lazy("a day or a time, such as >2026-12-01T10:00+08:00")),
}
