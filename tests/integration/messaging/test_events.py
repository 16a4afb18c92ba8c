"""Events on real workers: out at once, in order, whoever dies; and consumers that take each once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from pytest_django import DjangoDbBlocker

import sagas
from sagas import Event, State
from sagas.messaging import consumer
from sagas.models import Inbox, Outbox, Run
from tests.lab.models import Mark
from tests.lab.points import KEY
from tests.lab.sagas import Experiment, Telling
from tests.support import broker, servers
from tests.support.awaiting import eventually
from tests.support.events import CANCELLED, CONFIRMED, REJECTED, assert_in_order, heard, subscribed, unique
from tests.support.runs import await_state, await_states
from tests.support.workers import Worker

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.chaos]

WORKER = {"concurrency": 2, "LEASE": 1}
EXAMPLE = servers.ROOT / "examples" / "event-consumer" / "consumer.py"


@pytest.fixture
def listener(own_worker: Worker) -> Iterator[str]:
    with subscribed("lab.Telling.*") as queue:
        yield queue


def await_empty(worker: Worker, *, within: float = 20.0) -> None:
    """Wait until all events are published; tell otherwise what waits, and what the worker says of it."""

    def what_waits() -> str:
        rows = Outbox.objects.values_list("run_id", "position", "name", "attempt", "occurred_at", "due_at")
        lines = [line for line in worker.text().splitlines() if '"level": "info"' not in line]
        return "\n".join(["all events published", *map(str, rows.order_by("run_id", "position")[:20]), *lines[-40:]])

    eventually(lambda: not Outbox.objects.exists(), within=within, what=what_waits)


def test_events_are_published_in_the_order_of_the_run(listener: str, own_worker: Worker) -> None:
    # Given a run that was performed
    run_id = sagas.start(Telling, Experiment())
    await_state(run_id, State.AWAITING_CONFIRM)

    # Then its events come, and so do those of what follows
    eventually(lambda: broker.length(listener) >= 5, what="five events")
    sagas.confirm(run_id, "approval", {})
    await_state(run_id, State.SUCCEEDED)
    await_empty(own_worker)
    # (twice, where a publisher stood still for longer than its lease)
    assert_in_order(unique(heard(listener)), [run_id])


def arm(point: str) -> None:
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.set(KEY, point)


def is_armed() -> bool:
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        return bool(client.exists(KEY))


class Listening(threading.Thread):
    """A Django consumer, as ``sagas.messaging.consumer`` makes one, that marks each event it takes; in this process."""

    def __init__(self, queue: str) -> None:
        super().__init__()
        self.queue = queue
        self.over = threading.Event()
        self.failures_left = 0
        self.delivered: list[str] = []

    def run(self) -> None:
        while not self.over.is_set():
            try:
                consumer.listen(self.queue, ["lab.Telling.*"], self.take, should_stop=self.over.is_set, poll=0.1)
            except RuntimeError:
                continue
        connection.close()

    def take(self, event: Event) -> None:
        Mark.objects.create(run_id=event.run_id, step=event.name, operation="heard")
        self.delivered.append(event.id)
        if self.failures_left:
            self.failures_left -= 1
            raise RuntimeError("not now")


@pytest.fixture
def listening(own_worker: Worker) -> Iterator[Listening]:
    thread = Listening(f"taker-{uuid4().hex[:8]}")
    consumer.declare(thread.queue, ["lab.Telling.*"])
    yield thread
    thread.over.set()
    if thread.is_alive():
        thread.join(20)
    with broker.channel() as channel:
        channel.queue_delete(thread.queue)


def marks(ids: list[UUID]) -> list[str]:
    return list(Mark.objects.filter(run_id__in=ids, operation="heard").order_by("id").values_list("step", flat=True))


def test_a_publisher_that_is_killed_before_it_deletes_publishes_again(
    listener: str, listening: Listening, own_worker: Worker
) -> None:
    # Given a publisher that is killed when RabbitMQ has its events, and it has not yet deleted them
    arm("relay.published")
    run_id = sagas.start(Telling, Experiment())
    eventually(lambda: not is_armed(), what="a publisher killed")

    # When the run ends
    await_state(run_id, State.AWAITING_CONFIRM)
    sagas.confirm(run_id, "approval", {})
    await_state(run_id, State.SUCCEEDED)
    await_empty(own_worker)

    # Then some came twice
    events = heard(listener)
    assert len(events) > len(CONFIRMED)
    assert_in_order(unique(events), [run_id])

    # And who deduplicates took each once, in order
    listening.start()
    eventually(lambda: broker.length(listening.queue) == 0 and marks([run_id]) == CONFIRMED)
    assert Inbox.objects.filter(consumer=listening.queue).count() == len(CONFIRMED)


def test_a_consumer_that_fails_gets_the_event_again_and_then_the_next(listening: Listening) -> None:
    listening.failures_left = 2
    listening.start()
    run_id = sagas.start(Telling, Experiment(reject=("three",)))
    await_state(run_id, State.FAILED)
    eventually(lambda: marks([run_id]) == REJECTED, what="all taken")
    assert listening.delivered[:3] == [f"{run_id}:1"] * 3
    assert len(listening.delivered) == len(REJECTED) + 2


def test_an_invalid_event_is_dead_lettered(listening: Listening) -> None:
    listening.start()
    broker.purge("sagas.dead")
    broker.publish_raw(listening.queue, "no event")
    run_id = sagas.start(Telling, Experiment(reject=("three",)))
    eventually(lambda: marks([run_id]) == REJECTED)
    eventually(lambda: broker.length("sagas.dead") == 1)
    broker.purge("sagas.dead")


def test_the_inbox_row_commits_with_its_effect(own_worker: Worker) -> None:
    event_id = f"{uuid4()}:1"
    with pytest.raises(transaction.TransactionManagementError):
        consumer.first_time("mailer", event_id)
    with pytest.raises(RuntimeError), transaction.atomic():
        assert consumer.first_time("mailer", event_id)
        raise RuntimeError
    with transaction.atomic():
        assert consumer.first_time("mailer", event_id)
        assert not consumer.first_time("mailer", event_id)
        assert consumer.first_time("printer", event_id)
        assert consumer.new_of("mailer", [event_id, "b", "a", "b"]) == {"a", "b"}
        with pytest.raises(ValueError, match="at most 48"):
            consumer.first_time("m" * 49, event_id)
    assert Inbox.objects.filter(consumer="mailer").count() == 3
    Inbox.objects.filter(event_id__in=["a", "b"]).update(received_at="2026-01-01T00:00:00Z")
    assert consumer.forget(older_than=timedelta(days=7)) == 2


@pytest.fixture
def tally(own_worker: Worker, tmp_path: Path) -> Iterator[Path]:
    """The example, as a process, and its database."""
    path = tmp_path / "tally.sqlite"
    name = f"tally-{uuid4().hex[:8]}"
    command = [sys.executable, str(EXAMPLE), "--rabbitmq", settings.RABBITMQ_URL, "--database", str(path)]
    command += ["--queue", name, "--pattern", "lab.Telling.*"]

    def started() -> bool:
        with broker.channel() as channel:
            try:
                return bool(channel.queue_declare(name, passive=True).consumer_count)
            except Exception:
                return False

    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    eventually(started, what="the example listens")
    yield path
    process.terminate()
    try:
        assert process.wait(timeout=60) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
    with broker.channel() as channel:
        channel.queue_delete(name)


def test_the_example_counts_each_event_once(tally: Path, own_worker: Worker) -> None:
    # Given runs, during which a publisher dies
    arm("relay.published")
    with transaction.atomic():
        fine = [sagas.start(Telling, Experiment()) for _ in range(10)]
        refused = [sagas.start(Telling, Experiment(reject=("three",))) for _ in range(5)]
    await_states(fine, State.AWAITING_CONFIRM)
    for run_id in fine:
        sagas.confirm(run_id, "approval", {})
    await_states([*fine, *refused], State.SUCCEEDED, State.FAILED)
    await_empty(own_worker)
    assert not is_armed()

    # Then
    wanted = Counter([*CONFIRMED * 10, *REJECTED * 5])
    with closing(sqlite3.connect(tally)) as database:

        def counted() -> bool:
            rows = database.execute("SELECT type, count FROM tally").fetchall()
            return {kind.removeprefix("lab.Telling."): count for kind, count in rows} == dict(wanted)

        eventually(counted, what="all counted, and none twice")
        story = database.execute("SELECT type FROM story WHERE run = ? ORDER BY rowid", [str(fine[0])]).fetchall()
    assert [kind.removeprefix("lab.Telling.") for (kind,) in story] == CONFIRMED


@pytest.mark.slow
def test_events_survive_kills_of_two_workers_and_rabbitmq(
    listener: str, own_worker: Worker, django_db_blocker: DjangoDbBlocker
) -> None:
    # Given two hundred runs of three fates, under two workers
    second = Worker(concurrency=1).await_ready()
    workers = [second]
    try:
        ids = []
        for number in range(200):
            reject = ("three",) if number % 3 == 0 else ()
            ids.append(sagas.start(Telling, Experiment(reject=reject)))
            if number == 60:
                arm("relay.published")
            if number == 120:
                second.kill()
                workers.append(Worker(concurrency=1))
        refused, kept, cancelled = ids[0::3], ids[1::3], ids[2::3]

        # When RabbitMQ dies, and comes back
        servers.kill("rabbitmq")
        for run_id in kept[:30]:
            sagas.confirm(run_id, "approval", {})
        servers.start("rabbitmq")
        await_states(kept[30:], State.AWAITING_CONFIRM)
        for run_id in kept[30:]:
            sagas.confirm(run_id, "approval", {})
        await_states(cancelled, State.AWAITING_CONFIRM)
        for run_id in cancelled:
            sagas.cancel(run_id)
        await_states(kept, State.SUCCEEDED)
        await_states([*refused, *cancelled], State.FAILED)
        await_empty(own_worker, within=40)
    finally:
        for worker in workers:
            worker.stop()

    # Then every event of every run has come, and the first copies in order without a gap
    events = unique(heard(listener))
    early = [name for name in CONFIRMED if name != "TellingAwaiting"]
    for run_id in kept[:30]:
        mine = [event.name for event in events if event.run_id == run_id]
        # Those that were confirmed before their steps were done had nothing to wait for.
        assert_in_order(events, [run_id], CONFIRMED if "TellingAwaiting" in mine else early)
    assert_in_order(events, kept[30:])
    assert_in_order(events, refused, REJECTED)
    assert_in_order(events, cancelled, CANCELLED)
    assert len(events) == Run.objects.filter(pk__in=ids).aggregate(told=Sum("events"))["told"]
