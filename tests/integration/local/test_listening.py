"""Events without a broker: each listener takes each event once, in its run's order; one that breaks stops nobody."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction

import sagas
from sagas import Event, runtime, store
from sagas.checks import check_events
from sagas.listeners import ATTEMPTS, Listener
from sagas.local import listening
from sagas.local.listening import give_events
from sagas.messaging import consumer, relay
from sagas.messaging.app import engine_app
from sagas.messaging.topology import DEAD
from sagas.models import Inbox, Outbox, QueuedEvent
from sagas.operations.doctor import events as doctor
from sagas.operations.doctor.finding import Severity
from tests.integration.local.test_work import SETTINGS, Work
from tests.lab.models import Mark
from tests.lab.sagas import Experiment, Telling
from tests.support import broker
from tests.support.awaiting import eventually

NEVER: Callable[[], bool] = lambda: False  # noqa: E731
STARTED = "TellingStarted"


@pytest.fixture(autouse=True)
def without_a_broker(alone: None, settings: Any) -> Iterator[None]:
    settings.SAGAS = {**django_settings.SAGAS, **SETTINGS}
    with runtime.apart():
        yield


class Ear:
    """A listener that marks in the database what it hears, and fails where it is told to.

    Attributes:
        heard: the positions of the events that it has taken, by run, committed or not.
        fails_at: the runs at whose events it raises, after its effect.
    """

    def __init__(self, name: str, *patterns: str) -> None:
        self.name = name
        self.heard: dict[UUID, list[int]] = defaultdict(list)
        self.fails_at: set[UUID] = set()
        sagas.on_event(name, patterns or ["lab.Telling.*"])(self.take)

    def take(self, event: Event) -> None:
        Mark.objects.create(run_id=event.run_id, step=event.name, operation=self.name)
        self.heard[event.run_id].append(event.position)
        if event.run_id in self.fails_at:
            raise ValueError("not this one")

    def marks(self, run_id: UUID) -> int:
        return Mark.objects.filter(run_id=run_id, operation=self.name).count()


def told() -> UUID:
    """A run with two events: it was started and cancelled."""
    run_id = sagas.start(Telling, Experiment())
    sagas.cancel(run_id)
    assert Outbox.objects.filter(run_id=run_id).count() == 2
    return run_id


def give_all() -> None:
    while give_events(NEVER):
        pass


def make_due() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_queuedevent SET due_at = clock_timestamp()")


def dead(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("sagas", "dead", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_each_listener_takes_each_event_once_in_the_order_of_its_run() -> None:
    all_of_them, starts = Ear("all"), Ear("starts", f"#.{STARTED}")
    ids = [told() for _ in range(3)]
    give_all()
    assert all_of_them.heard == {run_id: [1, 2] for run_id in ids}
    assert starts.heard == {run_id: [1] for run_id in ids}
    assert [all_of_them.marks(run_id) for run_id in ids] == [2, 2, 2]
    # And nothing is left of them
    assert not Outbox.objects.exists()
    assert not QueuedEvent.objects.exists()
    assert Inbox.objects.count() == 9
    assert not give_events(NEVER)


def test_a_listener_that_fails_stops_neither_others_nor_itself_at_other_runs() -> None:
    # Given a listener that fails at one run
    broken, sound = Ear("broken"), Ear("sound")
    bad, good = told(), told()
    broken.fails_at = {bad}
    # When
    give_all()
    # Then the others have everything, and it has the other run
    assert dict(sound.heard) == {bad: [1, 2], good: [1, 2]}
    assert broken.heard[good] == [1, 2]
    # What it has done at its failure is rolled back, and the next event of that run waits
    assert broken.heard[bad] == [1]
    assert broken.marks(bad) == 0
    waiting = QueuedEvent.objects.filter(run_id=bad).order_by("position").values_list("position", "attempt", "error")
    assert list(waiting) == [(1, 1, "ValueError"), (2, 0, "")]
    # When it is mended, all come in their order
    broken.fails_at = set()
    make_due()
    give_all()
    assert broken.heard[bad] == [1, 1, 2]
    assert broken.marks(bad) == 2
    assert not QueuedEvent.objects.exists()


def test_an_event_that_fails_too_often_is_set_aside_and_can_be_replayed() -> None:
    # Given
    broken = Ear("broken", f"#.{STARTED}")
    run_id = told()
    broken.fails_at = {run_id}
    # When it has failed at every attempt
    for _ in range(ATTEMPTS + 3):
        make_due()
        give_all()
    # Then it was given no more often than that, and is shown
    assert len(broken.heard[run_id]) == ATTEMPTS
    shown, count = dead()
    assert json.loads(shown) == {
        "listener": "broken",
        "id": f"{run_id}:1",
        "event": f"{Telling.name}.{STARTED}",
        "key": "",
        "at": json.loads(shown)["at"],
        "attempts": ATTEMPTS,
        "error": "ValueError",
    }
    assert count == "1 event(s) shown"
    assert dead("--listener", "another") == ["0 event(s) shown"]
    (finding,) = doctor.queued()
    assert (finding.severity, finding.what) == (
        Severity.ERROR,
        "1 event(s) were set aside, for the listener broken could not take them.",
    )
    # When it is mended, and the event is replayed
    broken.fails_at = set()
    assert dead("--replay", "--id", f"{run_id}:1") == [f"broken {run_id}:1", "1 event(s) replayed"]
    give_all()
    # Then it is taken
    assert broken.marks(run_id) == 1
    assert dead() == ["0 event(s) shown"]


def test_the_next_events_of_a_run_go_on_when_one_was_set_aside() -> None:
    broken = Ear("broken")
    run_id = told()
    broken.fails_at = {run_id}
    for _ in range(ATTEMPTS - 1):
        make_due()
        give_all()
    assert set(broken.heard[run_id]) == {1}
    make_due()
    give_all()
    assert broken.heard[run_id][-1] == 2


def test_a_dead_event_is_dropped_only_by_name_and_on_purpose() -> None:
    broken = Ear("broken", f"#.{STARTED}")
    run_id = told()
    broken.fails_at = {run_id}
    for _ in range(ATTEMPTS):
        make_due()
        give_all()
    for arguments, complaint in [
        (["--drop"], "say which"),
        (["--drop", "--id", f"{run_id}:1"], "add --yes"),
        (["--replay"], "say which"),
        (["--replay", "--all", "--id", "x"], "say which"),
        (["--limit", "0"], "at least one"),
        (["--replay", "--id", "nothing"], "not there: nothing"),
    ]:
        with pytest.raises(CommandError, match=complaint):
            dead(*arguments)
    assert QueuedEvent.objects.count() == 1
    assert dead("--drop", "--yes", "--id", f"{run_id}:1") == [f"broken {run_id}:1", "1 event(s) dropped"]
    assert not QueuedEvent.objects.exists()


def test_events_that_end_their_process_are_counted_and_come_alone() -> None:
    # Given events that were with processes that died: as often as an event is given, and once less
    ear = Ear("ear", f"#.{STARTED}")
    killer, neighbour = told(), told()
    listening._distribute()
    QueuedEvent.objects.filter(run_id=killer).update(attempt=ATTEMPTS)
    QueuedEvent.objects.filter(run_id=neighbour).update(attempt=ATTEMPTS - 1)
    # When the next process looks, it claims one of them alone, which it may be ended by
    give_events(NEVER)
    assert QueuedEvent.objects.filter(attempt=ATTEMPTS + 1).count() + len(ear.heard) == 1
    give_all()
    # Then the one is set aside without another attempt, and the other is taken
    (set_aside,) = dead("--limit", "5")[:-1]
    assert (json.loads(set_aside)["id"], json.loads(set_aside)["error"]) == (f"{killer}:1", "ListenerKilled")
    assert set(ear.heard) == {neighbour}


def test_an_event_that_a_listener_has_taken_from_rabbitmq_is_not_given_again() -> None:
    ear = Ear("ear", f"#.{STARTED}")
    run_id = told()
    with transaction.atomic():
        store.outbox.take_in("ear", [f"{run_id}:1"])
    give_all()
    assert ear.heard == {}
    assert not QueuedEvent.objects.exists()


def test_two_processes_give_an_event_to_a_listener_once() -> None:
    # Given a process that stands still while it gives an event, for longer than its lease
    ear = Ear("ear", f"#.{STARTED}")
    taking, go_on = threading.Event(), threading.Event()

    def slowly(event: Event) -> None:
        ear.take(event)
        taking.set()
        go_on.wait(30)

    runtime.declared.listeners["ear"] = Listener("ear", (f"#.{STARTED}",), slowly)
    run_id = told()

    def first() -> None:
        give_all()
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert taking.wait(30)
    # When another one looks for events
    with transaction.atomic():
        assert store.outbox.claim_queued(["ear"], 10, again=True, lease=timedelta(0)) == []
    go_on.set()
    thread.join(30)
    # Then it was given once
    assert ear.heard == {run_id: [1]}
    assert ear.marks(run_id) == 1


def test_without_a_listener_events_wait_for_a_broker_and_a_check_says_so() -> None:
    run_id = told()
    assert not give_events(NEVER)
    assert {warning.id for warning in check_events()} == {"sagas.W006"}
    # Also beside listeners of other sagas
    other = Ear("other", "orders.PlaceOrder.*")
    assert not give_events(NEVER)
    assert Outbox.objects.filter(run_id=run_id).count() == 2
    assert other.heard == {}
    # Until somebody listens
    ear = Ear("ear")
    assert Telling.name not in {str(warning.msg).split()[0] for warning in check_events()}
    give_all()
    assert ear.heard == {run_id: [1, 2]}


def test_what_waits_for_a_listener_whose_code_is_gone_is_reported_and_keeps_its_run() -> None:
    Ear("gone").fails_at = {run_id := told()}
    give_events(lambda: True)
    runtime.declared.listeners.clear()
    (finding,) = doctor.queued()
    assert finding.severity is Severity.WARNING
    assert "wait for the listener gone, of which this code has none" in finding.what
    assert store.retention.pruning.unfinished([run_id]) == {run_id}


def test_a_process_gives_events_and_one_that_kills_it_stops_neither_runs_nor_other_listeners(settings: Any) -> None:
    # Given a process with a listener that kills it at the first event of each run
    run_id = told()
    work = Work(1, LAB_APPS="tests.listening")
    try:
        # Then the other listener has all of it
        heard = Mark.objects.filter(run_id=run_id, operation="heard")
        eventually(lambda: heard.count() == 3, within=40, what="three events heard")
        assert heard.order_by("id").values_list("step", flat=True)[0] == STARTED
        killer = QueuedEvent.objects.filter(run_id=run_id, listener="killer")
        eventually(lambda: killer.filter(attempt__gt=1).exists(), within=40, what="another death")
    finally:
        work.stop()
    assert heard.count() == 3


# -- From one carrier to the other ------------------------------------------------------------------------------------


@pytest.fixture
def with_a_broker(settings: Any) -> Callable[[], None]:
    """From its call on there is RabbitMQ, with a queue of the listener ``ear``."""

    def move() -> None:
        settings.SAGAS = {**django_settings.SAGAS, "BROKER": "rabbitmq"}
        broker.purge(DEAD)
        consumer.declare("ear", ["lab.Telling.*"])
        broker.purge("ear")

    return move


def set_aside(ear: Ear) -> UUID:
    """An event of this run, its first, that the listener could not take at any attempt."""
    run_id = told()
    ear.fails_at = {run_id}
    give_all()
    QueuedEvent.objects.filter(run_id=run_id, position=1).update(attempt=ATTEMPTS - 1)
    make_due()
    give_events(NEVER)
    ear.fails_at = set()
    make_due()
    give_all()
    ear.heard.clear()
    assert QueuedEvent.objects.get(listener=ear.name).dead_at is not None
    return run_id


def listen(ear: Ear, count: int) -> None:
    """What ``manage.py sagas listen`` does, for so many events."""
    consumer.listen(
        ear.name, ["lab.Telling.*"], ear.take, should_stop=lambda: sum(map(len, ear.heard.values())) >= count, poll=0.1
    )


def test_an_event_that_died_without_a_broker_is_seen_and_replayed_with_one(
    with_a_broker: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    ear = Ear("ear")
    run_id = set_aside(ear)
    with_a_broker()
    # Then it is seen beside RabbitMQ's dead letters
    shown, events, messages = dead()
    assert (json.loads(shown)["id"], events, messages) == (f"{run_id}:1", "1 event(s) shown", "0 message(s) shown")
    assert dead("--queue", "ear") == ["0 message(s) shown"]
    assert dead("--listener", "another") == ["0 event(s) shown"]
    # When it is replayed
    assert dead("--replay", "--id", f"{run_id}:1", "--by", "mei")[-1] == "1 event(s) replayed"
    # Then the listener takes it from its queue in RabbitMQ, and it is here no more
    listen(ear, 1)
    assert ear.heard == {run_id: [1]}
    assert ear.marks(run_id) == 2
    assert dead() == ["0 message(s) shown"]
    assert f"event {run_id}:1 of listener ear: replayed by mei" in caplog.text


def test_an_event_of_a_listener_without_a_queue_stays_and_is_named(with_a_broker: Callable[[], None]) -> None:
    lonely = Ear("lonely")
    run_id = set_aside(lonely)
    with_a_broker()
    with pytest.raises(CommandError, match=f"not replayed: {run_id}:1: the queue lonely did not take it"):
        dead("--replay", "--all")
    assert QueuedEvent.objects.filter(run_id=run_id, dead_at__isnull=False).count() == 1
    with pytest.raises(CommandError, match=f"not dropped: {run_id}:7: not there"):
        dead("--drop", "--yes", "--id", f"{run_id}:7")
    assert dead("--drop", "--yes", "--id", f"{run_id}:1") == [f"lonely {run_id}:1", "1 event(s) dropped"]
    assert not QueuedEvent.objects.exists()


def test_an_event_that_died_in_rabbitmq_is_taken_after_the_move_and_once(
    with_a_broker: Callable[[], None], settings: Any
) -> None:
    # Given an event that was refused as often as RabbitMQ delivers it
    ear = Ear("ear")
    with_a_broker()
    run_id = told()
    relay.relay(engine_app())
    with broker.channel() as channel:
        got: list[Any] = []
        channel.basic_qos(0, 1, False)
        channel.basic_consume("ear", callback=got.append)
        while not got:
            channel.connection.drain_events(timeout=10)
        channel.basic_reject(got[0].delivery_tag, requeue=False)
    eventually(lambda: broker.length(DEAD) == 1, what="set aside")
    # When the project has moved, and somebody gives the commands the broker's settings
    settings.SAGAS = {**django_settings.SAGAS, **SETTINGS}
    later = told()
    give_all()
    assert ear.heard == {later: [1, 2]}
    settings.SAGAS = {**django_settings.SAGAS, "BROKER": "rabbitmq"}
    assert dead("--replay", "--all")[-1] == "1 message(s) replayed"
    ear.heard.clear()
    listen(ear, 2)
    # Then both are taken, once
    assert ear.marks(run_id) == 2
    assert ear.marks(later) == 2
