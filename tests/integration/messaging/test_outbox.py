"""Events are written with what they tell of, published in order per run, and deleted once RabbitMQ has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

import sagas
from sagas import State, runtime, selectors
from sagas.messaging import relay
from sagas.messaging.app import app
from sagas.models import Outbox, Run
from sagas.store import outbox
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Telling, Unconfirmed
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, claim_all
from tests.support.events import (
    CONFIRMED,
    GIVEN_UP,
    REJECTED,
    assert_in_order,
    heard,
    subscribed,
    told,
    told_names,
    unique,
)
from tests.support.runs import make_due, shift_clock, shift_log, state

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _line() -> Iterator[None]:
    yield
    relay.close()


@pytest.fixture
def listener(alone: None) -> Iterator[str]:
    """A queue that gets every event."""
    with subscribed() as queue:
        yield queue


@pytest.fixture(params=["orchestration", "choreography"])
def carrier(request: pytest.FixtureRequest, settings: Any) -> str:
    """The same is told, however the cohorts travel."""
    settings.SAGAS = {**settings.SAGAS, "CARRIERS": {"lab.Telling": request.param}}
    return str(request.param)


def database_clock() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    assert isinstance(now, datetime)
    return now


@contextmanager
def elsewhere() -> Iterator[Any]:
    """A transaction of somebody else, rolled back in the end unless it was committed."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            yield cursor
        other.rollback()
    finally:
        other.close()


def confirmed(count: int = 1, **wanted: Any) -> list[UUID]:
    """Runs that succeeded, all their events still in the outbox."""
    with transaction.atomic():
        ids = [sagas.start(Telling, Experiment(**wanted), business_key=f"K-{n}") for n in range(count)]
    Carrier().run(ids)
    for run_id in ids:
        sagas.confirm(run_id, "approval", {})
    Carrier().run(ids)
    assert {state(run_id) for run_id in ids} == {State.SUCCEEDED}
    return ids


def rejected() -> UUID:
    """A run that failed at its third step, all its events still in the outbox."""
    run_id = sagas.start(Telling, Experiment(reject=("three",)))
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    return run_id


def relay_all() -> None:
    while relay.relay(app):
        pass


class TestWriting:
    """What is in the outbox."""

    def test_a_confirmed_run_publishes_its_events(self) -> None:
        (run_id,) = confirmed()
        events = told(run_id)
        assert_in_order(events, [run_id])
        assert [event.step for event in events] == ["", "one", "two", "three", "", "", "one", "three", ""]
        assert {event.business_key for event in events} == {"K-0"}
        assert {(event.saga, event.version) for event in events} == {("lab.Telling", 1)}
        assert {event.trace_id for event in events} == {Run.objects.get(pk=run_id).trace_id}
        assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)
        reserved = {"reserve_id": f"{run_id}:three"}
        assert [event.data for event in events if event.data] == [{"by": "one"}, reserved, {"by": "one"}]
        assert Run.objects.get(pk=run_id).events == len(CONFIRMED)

    def test_a_rejected_run_publishes_the_reason_and_nothing_else(self) -> None:
        run_id = rejected()
        events = told(run_id)
        assert_in_order(events, [run_id], REJECTED)
        why = {"kind": "rejected", "step": "three", "code": "Rejected"}
        assert [event.data for event in events if event.data and "kind" in event.data] == [why, why, why]

    def test_a_step_out_of_attempts_publishes_the_reason(self, carrier: str) -> None:
        run_id = sagas.start(Telling, Experiment(faults={"three.try": 99}))
        Carrier().run([run_id])
        assert state(run_id) is State.FAILED
        events = told(run_id)
        assert_in_order(events, [run_id], GIVEN_UP)
        why = {"kind": "fault", "step": "three", "code": "Boom"}
        assert [event.data for event in events if event.data and "kind" in event.data] == [why, why, why]
        assert [event.step for event in events if event.name == "ThreeFailed"] == ["three"]

    def test_a_failed_attempt_publishes_nothing(self, carrier: str) -> None:
        run_id = sagas.start(Telling, Experiment(faults={"three.try": 2, "one.forward": 1}))
        Carrier().run([run_id])
        assert told_names(run_id) == CONFIRMED[:5]

    def test_a_step_past_its_timeout_publishes_a_failure(self, carrier: str, monkeypatch: pytest.MonkeyPatch) -> None:
        # Given a step whose time is over before it was performed
        monkeypatch.setattr(Telling.definition.steps[2], "timeout", timedelta(seconds=5))
        monkeypatch.setitem(Telling.definition.__dict__, "has_timeouts", True)
        run_id = sagas.start(Telling, Experiment())
        moving = Carrier()
        moving.run([run_id], until=lambda: "SecondMade" in told_names(run_id))
        shift_log(run_id, 10)
        moving.run([run_id])

        # Then
        assert state(run_id) is State.FAILED
        assert_in_order(told(run_id), [run_id], GIVEN_UP)
        assert told(run_id)[3].data == {"kind": "timeout", "step": "three", "code": "TimedOut"}

    def test_a_run_past_its_timeout_publishes_no_failure_of_a_step(
        self, carrier: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(Telling.definition.__dict__, "timeout", timedelta(seconds=5))
        monkeypatch.setitem(Telling.definition.__dict__, "has_timeouts", True)
        run_id = sagas.start(Telling, Experiment())
        moving = Carrier()
        moving.run([run_id], until=lambda: "SecondMade" in told_names(run_id))
        shift_clock([run_id], 10)
        moving.run([run_id])
        assert_in_order(told(run_id), [run_id], [name for name in GIVEN_UP if name != "ThreeFailed"])

    def test_a_cancelled_run_publishes_its_events(self) -> None:
        run_id = sagas.start(Telling, Experiment())
        sagas.cancel(run_id, reason="my name is Li Lei")
        claim_all()
        assert told_names(run_id) == ["TellingStarted", "TellingTurnedBack", "TellingFailed"]
        assert "Li Lei" not in "".join(event.to_json() for event in told(run_id))

    def test_an_escalated_run_publishes_its_events(self) -> None:
        run_id = sagas.start(Telling, Experiment(faults={"one.compensate": 5}, reject=("two",)))
        Carrier().run([run_id])
        assert told_names(run_id)[-2:] == ["TellingTurnedBack", "TellingEscalated"]
        assert told(run_id)[-1].data == {"kind": "fault", "step": "one", "code": "Boom"}
        sagas.resume(run_id, by="mei")
        assert told_names(run_id)[-1] == "TellingResumed"
        assert [event.position for event in told(run_id)] == list(range(1, len(told(run_id)) + 1))

    def test_a_run_of_an_unknown_saga_publishes_its_events(self) -> None:
        run_id = sagas.start(Telling, Experiment())
        with runtime.apart():
            del runtime.declared.definitions["lab.Telling", 1]
            for _ in range(8):
                # For longer than a lease: nobody else has taken it.
                make_due([run_id], since=20)
                claim_all()
                claim_all(lapsed=True)
        assert state(run_id) is State.ESCALATED
        assert told_names(run_id) == ["TellingStarted", "TellingEscalated"]

    def test_private_members_are_not_published(self) -> None:
        # Given a step whose result has something private
        step = Telling.definition.event_names.steps["one"]
        Telling.definition.event_names.steps["one"] = sagas.Events(private=("by", 'q"uo\\te', "x,y")).with_defaults(
            "one"
        )
        try:
            run_id = sagas.start(Telling, Experiment())
            Carrier().run([run_id])
        finally:
            Telling.definition.event_names.steps["one"] = step
        assert told(run_id)[1].data == {}
        assert Run.objects.get(pk=run_id).results["one"] == {"by": "one"}

    def test_a_rolled_back_change_publishes_nothing(self) -> None:
        run_id = sagas.start(Telling, Experiment())
        with pytest.raises(RuntimeError), transaction.atomic():
            sagas.cancel(run_id)
            raise RuntimeError
        assert told_names(run_id) == ["TellingStarted"]
        sagas.cancel(run_id)
        assert [event.position for event in told(run_id)] == [1, 2]

    def test_a_run_from_before_its_saga_published_publishes_nothing(self) -> None:
        ids = [sagas.start(Telling, Experiment()) for _ in range(2)]
        Outbox.objects.all().delete()
        Run.objects.filter(pk=ids[0]).update(events=None)
        Carrier().run(ids)
        assert {state(run_id) for run_id in ids} == {State.AWAITING_CONFIRM}
        assert told(ids[0]) == []
        assert len(told(ids[1])) == 4

    def test_a_saga_that_does_not_publish_needs_no_statement(self) -> None:
        with CaptureQueriesContext(connection) as quiet:
            Carrier().run([sagas.start(Unconfirmed, Experiment())])
        assert not Outbox.objects.exists()
        assert not [query for query in quiet.captured_queries if "sagas_outbox" in query["sql"]]

    def test_a_saga_that_publishes_needs_no_extra_statement(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def statements() -> int:
            with CaptureQueriesContext(connection) as queries:
                Carrier().run([sagas.start(Telling, Experiment())])
            return len(queries)

        # The first run of a process also writes its definition, and is looked at by its claim. Another may come when
        # it is time to look at something once more.
        statements()
        publishing = min(statements() for _ in range(4))
        monkeypatch.setitem(Telling.definition.__dict__, "publishes", False)
        assert min(statements() for _ in range(4)) == publishing


def together(*works: Callable[[], None]) -> None:
    """Do these at once, in threads."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


class TestPublishing:
    """What RabbitMQ gets."""

    def test_every_event_is_published_in_order(self, listener: str) -> None:
        ids = confirmed(5)
        relay_all()
        assert_in_order(heard(listener), ids)
        assert not Outbox.objects.exists()

    def test_the_events_of_a_step_do_not_wait_for_a_tick(self, listener: str, start_worker: Start) -> None:
        start_worker(TICK=60)
        run_id = sagas.start(Telling, Experiment())
        eventually(lambda: broker.length(listener) == 5, within=20, what="the events of all steps")
        assert_in_order(heard(listener), [run_id], CONFIRMED[:5])

    def test_an_event_is_published_as_a_cloudevent(self, listener: str) -> None:
        run_id = sagas.start(Telling, Experiment())
        relay_all()
        message = broker.take(listener)
        assert message.delivery_info["routing_key"] == "lab.Telling.TellingStarted"
        assert message.delivery_info["exchange"] == "sagas.events"
        properties = message.properties
        assert properties["message_id"] == f"{run_id}:1"
        assert properties["type"] == "TellingStarted"
        assert properties["content_type"] == "application/cloudevents+json"
        assert properties["delivery_mode"] == 2
        assert json.loads(message.body)["specversion"] == "1.0"

    def test_a_queue_receives_the_events_that_it_is_bound_to(self) -> None:
        with subscribed("lab.Telling.*Started") as queue:
            # No pattern: a word is whole.
            confirmed()
            relay_all()
            assert heard(queue) == []
        with subscribed("lab.*.TellingSucceeded") as queue:
            confirmed()
            relay_all()
            assert [event.name for event in heard(queue)] == ["TellingSucceeded"]

    def test_an_event_without_a_bound_queue_is_no_error(self) -> None:
        confirmed()
        relay_all()
        assert not Outbox.objects.exists()

    def test_the_relay_publishes_a_bounded_number_of_runs_at_once(self, listener: str, settings: Any) -> None:
        settings.SAGAS = {**settings.SAGAS, "RELAY": 2}
        ids = confirmed(5)
        assert relay.relay(app)
        assert len({event.run_id for event in heard(listener)}) == 2
        relay_all()
        assert {event.run_id for event in heard(listener)} < set(ids)
        assert not Outbox.objects.exists()

    def test_a_full_queue_holds_up_only_its_own_runs(self, listener: str) -> None:
        # Given a consumer of one kind of event, whose queue is full
        with subscribed("lab.Telling.JarEmpty", {"x-max-length": 1, "x-overflow": "reject-publish"}) as full:
            before = rejected()
            relay_all()
            assert broker.length(full) == 1
            heard(listener)
            held_up = rejected()
            fine = confirmed(3)

            # When
            relay_all()

            # Then the others' events are all out, and of that run what came before
            events = heard(listener)
            assert_in_order(events, fine)
            assert told_names(held_up) == REJECTED[3:]
            assert [e.name for e in unique(events) if e.run_id == held_up and e.name != "JarEmpty"] == REJECTED[:3]

            # And it is left alone for a while
            assert Outbox.objects.filter(run_id=held_up, attempt=1).count() == len(REJECTED[3:])
            with transaction.atomic():
                assert outbox.claim(10) == []

            # And goes on when there is room
            assert [event.run_id for event in heard(full)] == [before]
            Outbox.objects.update(due_at="2000-01-01T00:00:00Z")
            relay_all()
            assert [event.run_id for event in heard(full)] == [held_up]
            assert_in_order(unique([*events, *heard(listener)]), [held_up], REJECTED)

    def test_a_refused_event_waits_longer_each_time(self) -> None:
        with subscribed("lab.Telling.TellingStarted", {"x-max-length": 0, "x-overflow": "reject-publish"}):
            sagas.start(Telling, Experiment())
            waits = []
            for _ in range(9):
                began = database_clock()
                relay_all()
                row = Outbox.objects.filter(attempt__gt=0).get()
                # By the same clock: it was refused between these two moments, however long that took.
                longest, shortest = ((row.due_at - at).total_seconds() for at in (began, database_clock()))
                waits += [wait for wait in (1, 2, 4, 8, 16, 32, 60) if shortest <= wait <= longest][:1]
                Outbox.objects.update(due_at="2000-01-01T00:00:00Z")
            assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]

    def test_a_broken_connection_is_replaced(self, listener: str) -> None:
        ids = confirmed(2)
        relay_all()
        line: Any = runtime.own.per_thread.line
        line._connection.connection.transport.sock.close()
        more = confirmed(2)
        with pytest.raises(relay.NotConfirmed):
            relay_all()
        assert set(Outbox.objects.values_list("run_id", flat=True)) == set(more)
        relay_all()
        assert_in_order(heard(listener), [*ids, *more])

    def test_the_relay_does_not_go_on_without_a_publisher_confirm(
        self, listener: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given a RabbitMQ that confirms nothing in time
        (run_id,) = confirmed()
        monkeypatch.setattr(relay, "CONFIRM_TIMEOUT", 0.0)
        monkeypatch.setattr(relay._Line, "_acked", lambda *_: None)

        # When
        with pytest.raises(relay.NotConfirmed):
            relay_all()

        # Then only the first is out, and all still wait
        monkeypatch.undo()
        assert eventually(lambda: broker.length(listener)) == 1
        assert told_names(run_id) == CONFIRMED

        # And when it confirms again, the first comes twice
        relay_all()
        events = heard(listener)
        assert [event.position for event in events] == [1, *range(1, len(CONFIRMED) + 1)]
        assert_in_order(unique(events), [run_id])

    def test_the_age_of_the_oldest_event_is_known(self) -> None:
        assert selectors.outbox_view() == selectors.OutboxView(0, 0.0)
        sagas.start(Telling, Experiment())
        Outbox.objects.update(occurred_at="2026-01-01T00:00:00Z")
        view = selectors.outbox_view()
        assert view.count == 1
        assert view.age > 3600
        relay_all()
        assert selectors.outbox_view().age == 0.0


class TestManyPublishers:
    """One run's events are one publisher's at a time."""

    def test_a_claimed_runs_events_are_published_by_one_relay(self, listener: str) -> None:
        # Given a run that is being published elsewhere, and another
        held, other = confirmed(2)
        with elsewhere() as cursor:
            cursor.execute("SELECT run_id FROM sagas_outbox WHERE run_id = %s AND position = 1 FOR UPDATE", [str(held)])

            # When
            relay_all()

            # Then
            assert {event.run_id for event in heard(listener)} == {other}
            assert told_names(held) == CONFIRMED
        relay_all()
        assert_in_order(heard(listener), [held])

    def test_events_published_meanwhile_are_not_published_again(self, listener: str) -> None:
        # Given somebody who has published the first two of a run, and not yet committed
        (run_id,) = confirmed()
        with elsewhere() as cursor:
            cursor.execute("DELETE FROM sagas_outbox WHERE run_id = %s AND position <= 2", [str(run_id)])
            # When another looks
            relay_all()
            # Then it does not take the third for the first
            assert heard(listener) == []
            cursor.execute("COMMIT")
        relay_all()
        assert [event.position for event in heard(listener)] == list(range(3, len(CONFIRMED) + 1))

    def test_threads_of_one_process_publish_each_event_once(self, listener: str, settings: Any) -> None:
        # Given a worker with threads in place of processes
        settings.SAGAS = {**settings.SAGAS, "RELAY": 3}
        ids = confirmed(30)
        errors: list[BaseException] = []

        # When three of them publish at once
        def publish() -> None:
            try:
                while Outbox.objects.exists():
                    relay.relay(app)
            except BaseException as error:
                errors.append(error)
            finally:
                relay.close()
                connection.close()

        together(publish, publish, publish)

        # Then none takes another's confirm for its own
        assert errors == []
        assert_in_order(heard(listener), ids)

    def test_three_relays_at_once_keep_the_order_of_events(self, listener: str, settings: Any) -> None:
        settings.SAGAS = {**settings.SAGAS, "RELAY": 3}
        ids = confirmed(30)
        errors: list[BaseException] = []

        def publish() -> None:
            try:
                line = relay._Line(app)
                while Outbox.objects.exists():
                    with transaction.atomic():
                        courier = relay._Waves(outbox.read(outbox.claim(3)))
                        courier.run(line)
                        outbox.delete(courier.published)
                line.close()
            except BaseException as error:
                errors.append(error)
            finally:
                connection.close()

        together(publish, publish, publish)
        assert not errors
        assert_in_order(heard(listener), ids)
