"""Incidents: a person is called for what is found, by the channels of escalations, once an invariant at a time."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

import sagas
from orders.reconciliation.models import Finding
from orders.reconciliation.sagas import FindingsRequest, ReviewFindings
from sagas import State
from sagas.errors import AlreadyDecided
from sagas.models import Run

#: In the log of a run that is resumed.
_BY = "reconciliation"


def open_for(invariants: Iterable[str]) -> None:
    """Call a person for each of these invariants, unless one is called already; in the caller's transaction."""
    for name in sorted(invariants):
        # A run that has ended well does not stand in the way of the next one.
        if not _live().filter(business_key=name).exists():
            ReviewFindings.start(FindingsRequest(name), business_key=name)


def close_resolved() -> None:
    """Resume the incidents of which nothing is found any more, so that they end."""
    waiting = _live().filter(state=State.ESCALATED).values_list("pk", "business_key")
    names = {name for _, name in waiting}
    if not names:
        return
    found = set(Finding.objects.filter(invariant__in=names, resolved_at=None).values_list("invariant", flat=True))
    for run_id, name in waiting:
        if name not in found:
            try:
                sagas.resume(run_id, by=_BY, note="Nothing of it is found any more.")
            except AlreadyDecided:
                # A person was faster.
                continue


def _live() -> QuerySet[Run]:
    return Run.objects.filter(saga=ReviewFindings.name).exclude(state__in=[State.SUCCEEDED, State.FAILED])
