"""The log of a run as its page shows it: filtered by what the URL says, in groups or row by row, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.http import QueryDict
from django.utils.safestring import SafeString

from sagas.admin import present
from sagas.admin.run_page import words
from sagas.models import Log, LogOutcome, Run
from sagas.serialization import dump_json

#: Rows on one page: with their data they are most of what is sent.
PAGE = 50
#: The most characters of a row's data that a page shows, and of all rows on it; the export has all.
MOST_DATA, MOST_OF_ALL = 4_000, 36_000


@dataclass(frozen=True, slots=True)
class Query:
    """What the reader wants to see of the log.

    Attributes:
        is_raw: each row, in place of groups.
        step: of this step only.
        outcome: with this outcome only.
        text: with this text in names, people or data, in either case of letters.
        page: which page, from 1.
        personal: "shown" if the reader has asked for what is personal; links keep it.
    """

    is_raw: bool = False
    step: str = ""
    outcome: str = ""
    text: str = ""
    page: int = 1
    personal: str = ""

    @classmethod
    def read(cls, given: QueryDict) -> Query:
        """Read it off a URL. What makes no sense is left out."""
        page = given.get("page", "")
        return cls(
            is_raw=given.get("log") == "raw",
            step=given.get("step", ""),
            outcome=given.get("outcome", ""),
            text=given.get("text", "").strip(),
            personal="shown" if given.get("personal") == "shown" else "",
            page=max(int(page), 1) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.step or self.outcome or self.text)

    def matches(self, entry: Log) -> bool:
        """Whether a row is wanted."""
        if (self.step and entry.step != self.step) or (self.outcome and entry.outcome != self.outcome):
            return False
        if not self.text:
            return True
        data = "" if entry.data is None else dump_json(entry.data)
        said = f"{entry.step} {entry.operation} {entry.outcome} {entry.performed_by} {data}"
        return self.text.casefold() in said.casefold()

    def url(self, **changes: object) -> str:
        """The query of a link that changes something of it; leads to the first page, unless it says which."""
        wanted: dict[str, object] = {
            "log": "raw" if self.is_raw else "",
            "step": self.step,
            "outcome": self.outcome,
            "text": self.text,
            "personal": self.personal,
            **changes,
        }
        query = QueryDict(mutable=True)
        query.update({name: str(value) for name, value in wanted.items() if value})
        return f"?{query.urlencode()}#log"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the log, or several rows of one operation, for people.

    Attributes:
        at: the time of day of the first; the page has the date.
        exact: the moment of the first, as a machine reads it.
        since: how long after the run's start.
        step: the step, or "".
        what: the operation, or the event.
        outcome: that of the last, as a label.
        attempt: its attempt, or how many there were.
        took: time in the participant, in all.
        who: worker or person; of a group the last.
        data: of the last as indented JSON; not longer than can be read.
        is_cut: whether it was longer.
    """

    at: str
    exact: str
    since: str
    step: str
    what: str
    outcome: SafeString
    attempt: str
    took: str
    who: str
    data: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the log.

    Attributes:
        query: what was asked for.
        lines: on it.
        count: of all lines that match.
        pages: their number.
        steps: names of steps in the log.
        outcomes: the outcomes that there are, with their words.
    """

    query: Query
    lines: Sequence[Line]
    count: int
    pages: int
    steps: Sequence[str]
    outcomes: Sequence[tuple[str, str]]

    @property
    def links(self) -> Mapping[str, str]:
        """Where the page's links lead."""
        query = self.query
        links = {
            "grouped": query.url(log=""),
            "raw": query.url(log="raw"),
            "all": replace(query, step="", outcome="", text="").url(),
        }
        if query.page > 1:
            links["previous"] = query.url(page=query.page - 1)
        if query.page < self.pages:
            links["next"] = query.url(page=query.page + 1)
        return links


def make_page(run: Run, entries: Sequence[Log], query: Query) -> Page:
    """Filter, group, and cut out the page."""
    found = [entry for entry in entries if query.matches(entry)]
    groups = [[entry] for entry in found] if query.is_raw else _groups(found)
    pages = max(-(-len(groups) // PAGE), 1)
    query = replace(query, page=min(query.page, pages))
    first = (query.page - 1) * PAGE
    shown = groups[first : first + PAGE]
    room = min(MOST_OF_ALL // max(len(shown), 1), MOST_DATA)
    return Page(
        query,
        [_line(run, group, room) for group in shown],
        len(groups),
        pages,
        list(dict.fromkeys(entry.step for entry in entries if entry.step)),
        [(outcome.value, present.word(outcome.value)) for outcome in LogOutcome],
    )


def _groups(entries: Sequence[Log]) -> list[list[Log]]:
    """Rows that follow each other and are of one operation of one step belong together; an event is one of its own."""
    groups: list[list[Log]] = []
    for entry in entries:
        before = groups[-1][-1] if groups else None
        if (
            before is not None
            and entry.outcome != LogOutcome.EVENT
            and (entry.step, entry.operation) == (before.step, before.operation)
            and before.outcome != LogOutcome.EVENT
        ):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _line(run: Run, group: Sequence[Log], room: int) -> Line:
    first, last = group[0], group[-1]
    is_event = last.outcome == LogOutcome.EVENT
    attempts = len({entry.attempt for entry in group if entry.outcome not in {LogOutcome.EVENT}})
    data = present.pretty(last.data)
    return Line(
        at=present.moment(first.at).partition(" ")[2],
        exact=_exact(first.at),
        since=f"+{present.span(max(first.at - run.created_at, timedelta()))}",
        step=last.step,
        what=words.event(last.operation) if is_event else present.operation(last.operation),
        outcome=present.label(last.outcome),
        attempt="" if is_event else f"×{attempts}" if attempts > 1 else str(last.attempt),
        took=present.took(sum(entry.duration_us for entry in group)),
        who=last.performed_by,
        data=data[:room],
        is_cut=len(data) > room,
    )


def _exact(at: datetime) -> str:
    return at.isoformat()


def people(entries: Sequence[Log]) -> list[tuple[str, str, str, Any]]:
    """Who did what: events by a person, as (when, who, what, data); oldest first."""
    # Events that the engine writes itself name a worker or nobody.
    own = {"cancel", "resume", "resolve", "assign", "acknowledge", "refuse", "erase", "restored"}
    return [
        (present.second(entry.at), entry.performed_by, words.event(entry.operation), present.pretty(entry.data))
        for entry in entries
        if entry.outcome == LogOutcome.EVENT and entry.operation in own and entry.performed_by
    ]
