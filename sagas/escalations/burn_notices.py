"""Notices of error budgets that burn: what they say, and that each is sent once.

They go the way of notices of escalations: the database says that one is due, a tick claims it with a lease, a carrier
brings it to a worker, and that sends it. An incident is told once, again if it burns faster, and when it is over.
A worker takes the incident before it sends, so that of two with the same message one sends. If that one dies, the next
lease brings the notice again: people may then be told twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.db import transaction

from sagas import store
from sagas.conf import config
from sagas.decisions.burn_rates import PAIRS, PERIOD, rate
from sagas.definition import registry
from sagas.definition.objectives import Objective
from sagas.escalations import channels
from sagas.store.burn_rates import Incident

logger = logging.getLogger(__name__)

#: Incidents whose notices are claimed at once.
AT_ONCE = 50
#: The most characters of a line of a run's log.
LINE = 300
#: The stage before a run's first step, of which no participant tells an error: what it waits for is the engine's.
CLAIM = "claim"
CLAIM_MEANS = (
    "Nothing had begun yet: too few workers or none, or RabbitMQ takes no messages. Ask `manage.py sagas doctor`"
)


@dataclass(frozen=True, slots=True)
class BurnNotice:
    """What people are told of an incident. The error texts in it have nothing that is marked as personal."""

    incident: Incident

    @property
    def title(self) -> str:
        """One line."""
        told = self.incident
        at = f", at {told.stage}" if told.stage else ""
        if told.closed_at is not None:
            return f"Over: the error budget of {told.saga} {told.objective} no longer burns{at}"
        return f"Burning: the error budget of {told.saga} {told.objective}, {rate(told.burn_long)} too fast{at}"

    @property
    def body(self) -> str:
        """All of it, as text."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        told, evidence = self.incident, self.incident.evidence
        pair = PAIRS[told.pair]
        if (objective := _declared(told)) is not None:
            within = objective.within.total_seconds()
            yield f"Objective: {objective.target * 100:.6g} % of runs end without a person within {within:g} s"
        yield f"Bad runs since: {_moment(told.since)}" + (
            f", over at {_moment(told.closed_at)}" if told.closed_at else ""
        )
        yield (
            f"Burns: {rate(told.burn_long)} over {_length(pair.long)} ({told.bad:,} of {told.runs:,} runs bad), "
            f"{rate(told.burn_short)} over {_length(pair.short)}"
        )
        if told.closed_at is None and told.burn_long > 0:
            days = PERIOD.total_seconds() / 86400 / told.burn_long
            yield (
                f"At this rate a month's budget lasts {days * 24:.3g} h"
                if days < 2
                else (f"At this rate a month's budget lasts {days:.3g} days")
            )
        if told.stage and told.stage_since is not None:
            yield f"Stage: {told.stage} since {_moment(told.stage_since)}{_times(evidence.get('stage'))}"
            if told.stage == CLAIM:
                yield CLAIM_MEANS
        errors = evidence.get("errors", [])
        if errors:
            yield "Errors:"
        for error in errors:
            yield f"- {error['number']:,} × {error['code']} at {error['at']}: {error['text']}"
            if line := error.get("line"):
                yield f"  {line['at']} run {line['run']} attempt {line['attempt']}: {line['detail'][:LINE]}"
            yield f"  runs: {' '.join(error['runs'])}"
        if runs := evidence.get("runs"):
            yield f"Bad runs: {' '.join(runs)}"
        if link := self.link:
            yield f"Look at them: {link}"

    @property
    def link(self) -> str:
        """The runs in the admin; "" without ``SAGAS["ADMIN_URL"]``."""
        url = config().admin_url
        if not url:
            return ""
        evidence = self.incident.evidence
        ids = evidence.get("runs") or [run for error in evidence.get("errors", []) for run in error["runs"]]
        asked = {"q": " ".join(ids)} if ids else {"saga": self.incident.saga}
        return f"{url.rstrip('/')}/sagas/run/?{urlencode(asked)}"


@dataclass(frozen=True, slots=True)
class PublishedBurn:
    """An incident of which people are to be told, as it was when it was claimed."""

    incident: Incident

    def message(self) -> dict[str, Any]:
        """The arguments of the task ``sagas.notify``; JSON."""
        told = self.incident
        return {
            "escalations": [],
            "notice": {"saga": told.saga, "objective": told.objective, "over": told.closed_at is not None},
            "incidents": [[told.id, told.revision]],
        }

    def deliver(self) -> int:
        """Send it, unless it was sent; return of how many incidents."""
        return deliver_notices({self.incident.id: self.incident.revision})


def claim_notices() -> list[PublishedBurn]:
    """Claim the notices that are due, in a transaction of its own. They must be published now, or given back."""
    with transaction.atomic(durable=True):
        return [PublishedBurn(incident) for incident in store.burn_rates.claim_notices(AT_ONCE)]


def give_back_notices(unpublished: Iterable[PublishedBurn]) -> None:
    """Make notices that could not be published due again soon."""
    with transaction.atomic(durable=True):
        store.burn_rates.give_back([published.incident.id for published in unpublished])


def deliver_notices(revisions: Mapping[int, int]) -> int:
    """Send the notices of a message that were not sent before, and record that they were.

    Args:
        revisions: what is to be told, by incident.

    Returns:
        Of how many incidents people were told.
    """
    urls = config().escalation_urls
    # Each channel has its patience, and nobody else sends it meanwhile.
    lease = max(config().notice_lease, 1.5 * channels.PATIENCE * len(urls))
    count = 0
    for which, revision in revisions.items():
        incident = store.burn_rates.take_unsent(which, revision, lease=lease)
        if incident is None:
            continue
        # No transaction is open, because a channel may take long.
        notice = BurnNotice(incident)
        level = logging.ERROR if incident.closed_at is None else logging.WARNING
        logger.log(level, "sagas: %s\n%s", notice.title, notice.body)
        if not urls or channels.send_text(urls, title=notice.title, body=notice.body) > 0:
            store.burn_rates.note_sent(incident)
            count += 1
        else:
            store.burn_rates.note_unsent(incident)
    return count


def _declared(told: Incident) -> Objective | None:
    known = registry.objectives().get(told.saga, ())
    return next((objective for objective in known if objective.name == told.objective), None)


def _times(stage: Mapping[str, Any] | None) -> str:
    if stage is None:
        return ""
    usual = stage["usual_seconds"]
    before = "; no stay in it the day before" if usual is None else f", {usual:.3g} s the day before"
    faults = f"; {stage['faults']:,} of {stage['stays']:,} faults" if stage["faults"] else ""
    return f": {stage['mean_seconds']:.3g} s in the mean{before}{faults}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _length(length: Any) -> str:
    minutes = int(length.total_seconds() // 60)
    if minutes % 1440 == 0:
        return f"{minutes // 1440} d"
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
