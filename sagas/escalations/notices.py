"""Notices of escalations: which are due, what they say, and that they were sent.

The database decides what is due. An escalation that nobody has acknowledged has a time at which its next notice is due
(``Escalation.notify_at``). The tick claims the notices that are due, which moves that time by a lease, and publishes
them. A worker sends them, which moves the time by the time that a person has to acknowledge. A notice that is lost
on the way is due again.

Runs that escalate for the same cause share a notice: a participant that breaks a thousand runs makes a few notices.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from django.db import transaction

from sagas import store
from sagas.conf import config
from sagas.escalations import channels
from sagas.store.escalations import DueNotice

logger = logging.getLogger(__name__)

#: Escalations whose notices are claimed at once.
AT_ONCE = 500
#: Runs that a notice names. It gives the number of the others.
NAMED = 10


@dataclass(frozen=True, slots=True)
class Subject:
    """One run that a notice names. ``link`` leads to its page in the admin; "" without ``SAGAS["ADMIN_URL"]``."""

    run: str
    business_key: str
    link: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice of runs that escalated for the same cause. It has nothing of a request, and no error's text.

    Attributes:
        saga: the saga of all of them.
        state: the state in which they were escalated.
        step: the step at which they stood; "" if it is not known.
        operation: the operation that broke, or that came next.
        kind: the kind of the error: "fault", "stuck", …
        code: the code of the error: the exception's class.
        suggestion: what to do.
        count: the number of runs.
        runs: the first few of them.
        reminder: whether a notice of each of them was sent before.
    """

    saga: str
    state: str
    step: str
    operation: str
    kind: str
    code: str
    suggestion: str
    count: int
    runs: tuple[Subject, ...]
    reminder: bool

    @property
    def title(self) -> str:
        """One line."""
        where = ".".join(part for part in (self.step, self.operation) if part) or self.state
        number = f"{self.count} runs" if self.count > 1 else f"run {self.runs[0].business_key or self.runs[0].run}"
        return f"{'Still escalated' if self.reminder else 'Escalated'}: {self.saga} {where}, {number}"

    @property
    def body(self) -> str:
        """All of it, as text."""
        named = [
            " ".join(part for part in (f"- {s.run}", f"({s.business_key})" if s.business_key else "", s.link) if part)
            for s in self.runs
        ]
        more = self.count - len(self.runs)
        return "\n".join(
            [
                f"Error: {self.kind} {self.code}".rstrip(),
                f"What to do: {self.suggestion or 'read the error in the admin.'}",
                f"Runs: {self.count}",
                *named,
                *([f"- and {more} more"] if more else []),
                "Acknowledge it in the admin, or this is sent again.",
            ]
        )


class Notification(Protocol):
    """What a carrier brings to a process that sends it."""

    def message(self) -> dict[str, Any]:
        """The arguments of the task ``sagas.notify``; JSON."""

    def deliver(self) -> int:
        """Send it, unless it was sent; return of how many things people were told."""


@dataclass(frozen=True, slots=True)
class Published:
    """A notice, and its escalations: their ids, each with the number of its notice."""

    notice: Notice
    numbers: dict[int, int]

    def message(self) -> dict[str, Any]:
        """The arguments of the task ``sagas.notify``; JSON."""
        return {"escalations": list(self.numbers.items()), "notice": asdict(self.notice)}

    def deliver(self) -> int:
        """Send it, unless it was sent; return for how many escalations."""
        return deliver_notices(self.numbers)


def claim_notices() -> list[Published]:
    """Claim the notices that are due, in a transaction of its own. They must be published now, or given back."""
    with transaction.atomic(durable=True):
        told = store.escalations.claim_notices(AT_ONCE)
    return _group_by_cause(told)


def give_back_notices(unpublished: Iterable[Published]) -> None:
    """Make notices that could not be published due again soon."""
    with transaction.atomic(durable=True):
        store.escalations.give_back([found for published in unpublished for found in published.numbers])


def deliver_notices(numbers: Mapping[int, int]) -> int:
    """Send the notices of a message that were not sent before, and record that they were sent.

    A message that comes a second time is dropped. If it comes twice at the same time, or if the process dies between
    the sending and its record, a notice may be sent twice.

    Args:
        numbers: the number of the notice, by escalation.

    Returns:
        For how many escalations a notice was sent.
    """
    count = 0
    for published in _group_by_cause(store.escalations.unsent(numbers)):
        # No transaction is open, because a channel may take long.
        if _send_notice(published.notice):
            store.escalations.note_sent(list(published.numbers))
            count += len(published.numbers)
    return count


def _send_notice(notice: Notice) -> bool:
    """Send a notice; return whether a channel took it. Without channels, the log is the channel."""
    runs = " ".join(subject.run for subject in notice.runs)
    logger.error("sagas: %s (%s). %s", notice.title, runs, notice.suggestion)
    urls = config().escalation_urls
    return not urls or channels.send_text(urls, title=notice.title, body=notice.body) > 0


def _group_by_cause(told: Iterable[DueNotice]) -> list[Published]:
    groups: dict[tuple[str, ...], list[DueNotice]] = defaultdict(list)
    for one in told:
        groups[one.cause].append(one)
    return [_published(group) for group in groups.values()]


def _published(group: Sequence[DueNotice]) -> Published:
    first = group[0]
    notice = Notice(
        saga=first.saga,
        state=first.state,
        step=first.step,
        operation=first.operation,
        kind=first.kind,
        code=first.code,
        suggestion=first.suggestion,
        count=len(group),
        runs=tuple(Subject(str(one.run_id), one.business_key, _link(one)) for one in group[:NAMED]),
        reminder=all(one.sent > 0 for one in group),
    )
    return Published(notice, {one.id: one.number for one in group})


def _link(told: DueNotice) -> str:
    url = config().admin_url
    return f"{url.rstrip('/')}/sagas/run/{told.run_id}/change/" if url else ""
