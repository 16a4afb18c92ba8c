"""Probes of the workers: when each last gave a sign of life, ticked, and began a delivery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sagas import store
from sagas.conf import config
from sagas.local.activity import is_parent
from sagas.operations.doctor.finding import Finding, Severity
from sagas.operations.doctor.query import one
from sagas.store.workers import KnownWorker

#: Seconds after which one delivery is reported as hanging.
LONG = 300.0


def pulse() -> Iterator[Finding]:
    """Report workers that are silent, do not tick, or begin no delivery although runs are due."""
    heard = store.workers.known_workers()
    if not heard:
        what = "No worker has given a sign of life within the last hour."
        yield Finding(Severity.WARNING, what, remedy="Start workers. Without them no run makes progress.")
        return
    silent = [worker for worker in heard if worker.is_silent]
    alive = [worker for worker in heard if not worker.is_silent]
    if silent:
        least = min(worker.silent for worker in silent)
        yield Finding(
            Severity.WARNING if alive else Severity.ERROR,
            f"{len(silent)} of {len(heard)} worker(s) are silent, for {least:.0f} s and more: {_names(silent)}.",
            remedy="They were killed, hang, or cannot reach the database. Check the processes, and restart them. "
            "A worker that was killed is forgotten after an hour.",
        )
    for worker in alive:
        yield _look(worker)
    if alive:
        yield from _idle([worker for worker in alive if not is_parent(worker.beat.name)])


def _look(worker: KnownWorker) -> Finding:
    beat = worker.beat
    if is_parent(beat.name):
        return Finding(Severity.FINE, f"{beat.name} gave a sign of life {worker.silent:.0f} s ago.")
    ticked = "has had no tick" if beat.ticked is None else f"ticked {beat.ticked:.0f} s before"
    began = "has begun no delivery" if beat.delivered is None else f"began a delivery {beat.delivered:.0f} s before"
    what = f"{beat.name} gave a sign of life {worker.silent:.0f} s ago, {ticked}, and {began}"
    if beat.ticked is None or beat.ticked > max(store.workers.SILENT, 10 * config().tick):
        remedy = "RabbitMQ accepts nothing from its main process, or its main process hangs. Read its log."
        return Finding(Severity.WARNING, f"{what}.", remedy=remedy)
    if beat.longest > LONG:
        remedy = "A participant hangs: read the worker's log, and give the participant time-outs."
        return Finding(Severity.WARNING, f"{what}; one has taken {beat.longest:.0f} s.", remedy=remedy)
    return Finding(Severity.FINE, f"{what}.")


def _idle(alive: Sequence[KnownWorker]) -> Iterator[Finding]:
    """Report runs that are due while no live worker ticks, or none begins a delivery."""
    patience = max(config().lease, store.workers.SILENT)
    overdue, age = one(
        "SELECT count(*), COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)), 0)::float8 FROM sagas_run "
        "WHERE due_at <= now() - %s * interval '1 second'",
        [patience],
    )
    ticks = [worker for worker in alive if worker.beat.ticked is not None and worker.beat.ticked <= patience]
    begun = [w for w in alive if w.beat.delivered is not None and w.beat.delivered <= patience]
    if overdue and not (ticks and begun):
        what = "ticks" if not ticks else "begins a delivery"
        yield Finding(
            Severity.ERROR,
            f"{overdue} run(s) are due, since {age:.0f} s, and no worker {what}.",
            overdue,
            "Check whether RabbitMQ accepts and delivers messages, and whether a participant hangs.",
        )


def _names(workers: Sequence[KnownWorker]) -> str:
    return ", ".join(f"{worker.beat.name} ({worker.silent:.0f} s)" for worker in workers)
