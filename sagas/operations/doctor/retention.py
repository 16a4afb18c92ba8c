"""Probes of retention: whether old runs are deleted when ``SAGAS["RETENTION"]`` says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from sagas import store
from sagas.conf import Misconfigured
from sagas.operations.doctor.finding import Finding, Severity
from sagas.retention import ages

#: How late a run may be deleted: a cron job comes once a day, and may miss a day.
LATE = timedelta(days=2)
#: Of so many runs, the oldest, those are counted that should be gone.
LOOK = 10_000


def pruning() -> Iterator[Finding]:
    """Report runs that should have been deleted days ago, and that nothing keeps."""
    if not any(age.kept for age in ages.ages()):
        return
    try:
        cutoffs = ages.cutoffs(store.runs.clock() - LATE)
    except Misconfigured as error:
        yield Finding(Severity.ERROR, f"No old runs are deleted: {error.message}", remedy=error.hint)
        return
    seen = store.retention.pruning.look(UUID(int=0), UUID(int=2**128 - 1), cutoffs, limit=LOOK, look=LOOK)
    late = len(set(seen.roots) - store.retention.pruning.unfinished(seen.roots))
    if late:
        yield Finding(
            Severity.WARNING,
            f"{late} of the {seen.looked} oldest run(s) should have been deleted {LATE.days} days ago or earlier: "
            "pruning is behind, or does not run.",
            late,
            "Run manage.py sagas prune, which says what it leaves; or set SAGAS['PRUNE'], or a higher one.",
        )
    else:
        yield Finding(Severity.FINE, "Old runs are deleted in time.")
