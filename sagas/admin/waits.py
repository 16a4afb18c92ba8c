"""What holds runs up besides their own steps: a line at a business key, or an open breaker."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from sagas.admin import present
from sagas.decisions import plan
from sagas.engine import breakers as gate
from sagas.errors import UnknownSaga
from sagas.models import Breaker, Lock, Run
from sagas.states import State
from sagas.store import definitions as versions

#: Where operations are retried until they succeed: only these wait at breakers.
_RETRIED = {State.CONFIRMING, State.COMPENSATING}


def waits_of(runs: Sequence[Run]) -> dict[UUID, str]:
    """Say of the runs that are held up by what, in a sentence without its end. Two queries, however many runs."""
    return _in_line(runs) | _behind_breakers(runs)


def next_probe(breaker: Breaker) -> str:
    """Say when an open breaker lets the next run through. From its time on that is whichever is due next."""
    if breaker.probe_at <= timezone.now():
        return "as soon as a run is due"
    return f"after {present.second(breaker.probe_at)}"


def _in_line(runs: Sequence[Run]) -> dict[UUID, str]:
    waiting = [run.pk for run in runs if run.locked and run.state == State.PENDING]
    if not waiting:
        return {}
    line: QuerySet[Lock] = Lock.objects.filter(key=OuterRef("key"), ticket__lt=OuterRef("ticket"))
    ahead = Coalesce(Subquery(line.order_by().values("key").annotate(count=Count("*")).values("count")), 0)
    found = (
        Lock.objects.filter(run_id__in=waiting)
        .annotate(ahead=ahead, holder=Subquery(line.order_by("ticket").values("run_id")[:1]))
        .filter(ahead__gt=0)
        .order_by("ahead", "key")
    )
    # Of several keys the one with the longest line is what it waits for: the last one written stays.
    return {
        lock.run_id: f"waits in line at {lock.key}: {lock.ahead} before it, run {lock.holder} holds it"
        for lock in found
    }


def _behind_breakers(runs: Sequence[Run]) -> dict[UUID, str]:
    retried = [run for run in runs if run.state in _RETRIED]
    if not retried:
        return {}
    breakers = {breaker.participant: breaker for breaker in Breaker.objects.filter(closed_at__isnull=True)}
    waits: dict[UUID, str] = {}
    for run in retried if breakers else ():
        try:
            definition = versions.find(run.saga, run.version, run.shape)
        except UnknownSaga:
            continue
        for links in plan.onward(definition, plan.Place(State(run.state), run.cursor, run.fork)):
            if breaker := breakers.get(gate.participant(run.saga, links[0].step)):
                waits[run.pk] = f"waits for the open breaker of {breaker.participant}, next probe {next_probe(breaker)}"
    return waits
