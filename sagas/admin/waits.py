"""What holds runs up other than their own steps: a lock on a business key, an open breaker, or a pause."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from sagas import store
from sagas.admin import present
from sagas.decisions import plan
from sagas.engine import breakers, pauses
from sagas.errors import UnknownSaga
from sagas.models import Breaker, Lock, Run
from sagas.states import LIVE, State

#: In these states operations are retried until they succeed. Only such runs wait for breakers.
_RETRIED = {State.CONFIRMING, State.COMPENSATING}


def waits_of(runs: Sequence[Run]) -> dict[UUID, str]:
    """Describe what holds each run up, as a clause without a full stop. Three queries for any number of runs."""
    return _in_line(runs) | _behind_breakers(runs) | _paused(runs)


def _paused(runs: Sequence[Run]) -> dict[UUID, str]:
    live = [run for run in runs if run.state in LIVE]
    # Asked for any list, so that a long one needs no more statements than a short one.
    found = store.pauses.all_open()
    waits: dict[UUID, str] = {}
    for run in live if found else ():
        steps = _next_steps(run)
        if pause := next((one for one in found if pauses.applies(one, run, steps)), None):
            waits[run.pk] = _("is paused since %(since)s by %(person)s: %(why)s") % {
                "since": present.second(pause.since),
                "person": pause.paused_by,
                "why": present.short(pause.reason),
            }
    return waits


def _next_steps(run: Run) -> list[str]:
    try:
        definition = store.definitions.find(run.saga, run.version, run.shape)
    except UnknownSaga:
        return []
    place = plan.Place(State(run.state), run.cursor, run.fork)
    return [definition.all_steps[index].name for index, _phase in plan.operations_at(definition, place)]


def next_probe(breaker: Breaker) -> str:
    """Say when an open breaker lets the next run through: from ``probe_at`` on, as soon as one is due."""
    if breaker.probe_at <= timezone.now():
        return _("as soon as a run is due")
    return _("after %(time)s") % {"time": present.second(breaker.probe_at)}


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
    # A run that waits for several keys is shown with the longest line: later entries replace earlier ones.
    return {
        lock.run_id: _("waits in line at %(key)s: %(ahead)d before it, run %(holder)s holds it")
        % {"key": lock.key, "ahead": lock.ahead, "holder": lock.holder}
        for lock in found
    }


def _behind_breakers(runs: Sequence[Run]) -> dict[UUID, str]:
    retried = [run for run in runs if run.state in _RETRIED]
    if not retried:
        return {}
    open_breakers = {breaker.participant: breaker for breaker in Breaker.objects.filter(closed_at__isnull=True)}
    waits: dict[UUID, str] = {}
    for run in retried if open_breakers else ():
        try:
            definition = store.definitions.find(run.saga, run.version, run.shape)
        except UnknownSaga:
            continue
        for links in plan.next_chains(definition, plan.Place(State(run.state), run.cursor, run.fork)):
            if breaker := open_breakers.get(breakers.breaker_name(run.saga, links[0].step)):
                waits[run.pk] = _("waits for the open breaker of %(participant)s, next probe %(when)s") % {
                    "participant": breaker.participant,
                    "when": next_probe(breaker),
                }
    return waits
