"""What the doctor says of workers: who is silent or does not tick, what nobody consumes, what nobody takes up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

import sagas
from sagas import State, store
from sagas.messaging import topology
from sagas.models import Run
from sagas.models import Worker as WorkerRow
from sagas.operations import doctor
from sagas.operations.doctor import Finding, Severity
from sagas.operations.doctor import workers as probes
from sagas.store.workers import Heartbeat
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Lab
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.runs import await_state, make_due
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("alone", "loyalty_database")

WELL = Heartbeat("worker1@here", ticked=0.4, delivered=0.7, busy=1, longest=0.1, queues=("orders",))


def said(severity: Severity) -> list[str]:
    """What the doctor says at this severity."""
    return [finding.what for finding in doctor.examine() if finding.severity is severity]


def silent_for(seconds: float, name: str = WELL.name) -> None:
    """Let the last beat of a worker have been so long ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_worker SET beat_at = beat_at - %s * interval '1 second' WHERE name = %s", [seconds, name]
        )


def pulse() -> list[Finding]:
    """What is said of the workers alone."""
    return list(probes.pulse())


def test_a_healthy_worker_is_reported_as_fine() -> None:
    store.workers.record_heartbeat(WELL)
    (found,) = pulse()
    assert found.severity is Severity.FINE
    assert found.what == "worker1@here gave a sign of life 0 s ago, ticked 0 s before, and began a delivery 1 s before."


def test_the_absence_of_workers_is_reported() -> None:
    (found,) = pulse()
    assert (found.severity, found.what) == (
        Severity.WARNING,
        "No worker has given a sign of life within the last hour.",
    )


def test_it_is_an_error_if_all_workers_are_silent() -> None:
    for name in ("worker1@here", "worker2@here"):
        store.workers.record_heartbeat(replace(WELL, name=name))
        silent_for(22, name)
    (found,) = pulse()
    assert found.severity is Severity.ERROR
    assert found.what == ("2 of 2 worker(s) are silent, for 22 s and more: worker1@here (22 s), worker2@here (22 s).")
    # And the command ends with an error
    call_command("sagas", "topology")
    with pytest.raises(CommandError, match="1 thing"):
        call_command("sagas", "doctor")


def test_one_silent_worker_is_reported() -> None:
    for name in ("worker1@here", "worker2@here"):
        store.workers.record_heartbeat(replace(WELL, name=name))
    silent_for(22, "worker2@here")
    first, second = pulse()
    assert first.severity is Severity.WARNING
    assert first.what == "1 of 2 worker(s) are silent, for 22 s and more: worker2@here (22 s)."
    assert second.severity is Severity.FINE


@pytest.mark.parametrize(
    ("beat", "told"),
    [
        (replace(WELL, ticked=None), "has had no tick"),
        (replace(WELL, ticked=40.0), "ticked 40 s before"),
        (replace(WELL, longest=400.0), "one has taken 400 s"),
    ],
)
def test_a_worker_without_progress_is_reported(beat: Heartbeat, told: str) -> None:
    store.workers.record_heartbeat(beat)
    (found,) = pulse()
    assert found.severity is Severity.WARNING
    assert told in found.what


@pytest.mark.parametrize(
    ("beat", "told"),
    [(replace(WELL, delivered=60.0), "no worker begins a delivery"), (replace(WELL, ticked=60.0), "no worker ticks")],
)
def test_due_runs_that_no_worker_claims_are_an_error(beat: Heartbeat, told: str) -> None:
    # Given a worker that lives, and a run that has been due for 22 s
    store.workers.record_heartbeat(beat)
    run_id = sagas.start(Lab, Experiment())
    make_due([run_id], since=22)
    # When, then
    *_, found = pulse()
    assert found.severity is Severity.ERROR
    assert found.what == f"1 run(s) are due, since 22 s, and {told}."


def test_lapsed_leases_are_an_error() -> None:
    run_id = sagas.start(Lab, Experiment())
    Run.objects.filter(pk=run_id).update(state=State.EXECUTING, claims=1)
    make_due([run_id], since=30)
    (wrong,) = [what for what in said(Severity.ERROR) if "no worker claims them" in what]
    assert wrong.startswith("1 run(s) that have begun are due, since 30 s")
    assert wrong.endswith("the leases of 1 have lapsed.")


def test_queues_without_consumers_are_reported_and_an_error_if_messages_wait() -> None:
    call_command("sagas", "topology")
    (told,) = [what for what in said(Severity.WARNING) if what.startswith("Nobody consumes ")]
    assert {queue.name for queue in topology.work_queues()} <= set(told[16:].rstrip(".").split(", "))
    broker.publish_raw("orders", "[]")
    assert "Messages wait on queues that nobody consumes: orders (1)." in said(Severity.ERROR)


def test_a_stopped_worker_is_forgotten_at_once_and_a_killed_one_after_an_hour() -> None:
    for name in ("worker1@here", "worker2@here"):
        store.workers.record_heartbeat(replace(WELL, name=name))
    store.workers.forget("worker1@here")
    assert [worker.beat.name for worker in store.workers.known_workers()] == ["worker2@here"]
    silent_for(3601, "worker2@here")
    store.workers.record_heartbeat(WELL)
    assert [worker.beat for worker in store.workers.known_workers()] == [WELL]


@contextmanager
def standing_still(worker: Worker) -> Iterator[None]:
    """A worker and its children that do nothing inside this block (SIGSTOP)."""
    os.killpg(worker.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(worker.process.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_worker_process_that_hangs_is_reported(start_worker: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a worker that works
    worker = start_worker()
    await_state(sagas.start(Lab, Experiment()), State.AWAITING_CONFIRM)
    eventually(lambda: WorkerRow.objects.filter(delivered_at__isnull=False).exists(), what="a beat after a delivery")
    assert said(Severity.ERROR) == []
    assert any(what.startswith("Every queue is consumed: ") for what in said(Severity.FINE))

    # When it stands still, and keeps its connections
    monkeypatch.setattr(store.workers, "SILENT", 6.0)
    with standing_still(worker):
        eventually(lambda: any("are silent" in what for what in said(Severity.ERROR)), what="the doctor says so")
    # Then, once it goes on, nothing is wrong any more
    eventually(lambda: not said(Severity.ERROR), what="the doctor says that all is well")

    # And it takes its leave
    worker.stop()
    assert store.workers.known_workers() == []
