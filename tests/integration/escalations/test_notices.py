"""Notices of escalations: due in the database, carried by RabbitMQ, sent by apprise to a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from pytest_django import Settings

import sagas
from sagas import State, store
from sagas.delivery.carrier import CarrierAway
from sagas.delivery.dispatching import publish_notices
from sagas.escalations import notices
from sagas.messaging import topology
from sagas.messaging.publisher import Publisher
from sagas.models import Escalation
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Lab
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier
from tests.support.receiver import Receiver
from tests.support.runs import await_states, escalation

pytestmark = pytest.mark.usefixtures("alone")

SECRET = "jar-of-mei-tel-555"
ADMIN = "https://shop.example/admin/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.stop()


@pytest.fixture
def channel(settings: Settings, receiver: Receiver) -> Receiver:
    """A channel of this process, that works."""
    receiver.start()
    settings.SAGAS = {**settings.SAGAS, "ESCALATION_URLS": [receiver.url], "ADMIN_URL": ADMIN}
    return receiver


def escalate(*keys: str) -> list[UUID]:
    """Runs that escalate together, each with something in its request that is nobody's business."""
    experiment = Experiment(jar=SECRET, reject=("three",), faults={"two.compensate": 9})
    ids = [sagas.start(Lab, experiment, business_key=key) for key in keys]
    Carrier().run(ids)
    assert set(await_states(ids, State.ESCALATED)) == {State.ESCALATED}
    return ids


def pass_time(seconds: float = 3600) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_escalation SET notify_at = notify_at - %s * interval '1 second'", [seconds])


def taken() -> dict[str, Any]:
    """The arguments of the next message of the queue."""
    message = broker.take(topology.ESCALATION)
    assert message is not None
    assert message.headers["task"] == "sagas.notify"
    kwargs: dict[str, Any] = json.loads(message.body)[1]
    return kwargs


def numbers(kwargs: dict[str, Any]) -> dict[int, int]:
    return dict(kwargs["escalations"])


def test_a_notice_is_a_task_message_that_tells_what_to_do_and_nothing_of_the_request(settings: Settings) -> None:
    # Given
    settings.SAGAS = {**settings.SAGAS, "ADMIN_URL": ADMIN, "ESCALATION_URLS": ["json://x:hunter2@127.0.0.1/T0KEN"]}
    (run_id,) = escalate("ORD-1")

    # When
    assert publish_notices(Publisher) == 1

    # Then
    kwargs = taken()
    assert kwargs["escalations"] == [[escalation(run_id).pk, 1]]
    notice = kwargs["notice"]
    assert "keeps failing" in notice.pop("suggestion")
    assert notice == {
        "saga": "lab.Lab",
        "state": "COMPENSATING",
        "step": "two",
        "operation": "compensate",
        "kind": "fault",
        "code": "Boom",
        "count": 1,
        "runs": [
            {"run": str(run_id), "business_key": "ORD-1", "link": f"{ADMIN}sagas/run/{run_id}/change/"},
        ],
        "reminder": False,
    }
    for secret in (SECRET, "hunter2", "T0KEN", "attempt"):
        assert secret not in json.dumps(kwargs)


def test_a_published_notice_has_a_lease_and_a_lost_one_is_due_again() -> None:
    (run_id,) = escalate("ORD-1")
    assert publish_notices(Publisher) == 1
    assert publish_notices(Publisher) == 0
    # When the message is lost, and its lease is over
    broker.purge(topology.ESCALATION)
    pass_time(31)
    # Then it comes again, with a longer lease
    assert publish_notices(Publisher) == 1
    assert numbers(taken()) == {escalation(run_id).pk: 2}
    pass_time(31)
    assert publish_notices(Publisher) == 0
    pass_time(30)
    assert publish_notices(Publisher) == 1


def test_while_the_broker_refuses_a_notice_waits_and_is_not_counted() -> None:
    (run_id,) = escalate("ORD-1")
    with broker.refusing(topology.ESCALATION):
        broker.publish_task(topology.ESCALATION, "sagas.nothing")
        with pytest.raises(CarrierAway):
            publish_notices(Publisher)
    broker.purge(topology.ESCALATION)
    assert escalation(run_id).notices == 0
    pass_time(2)
    assert publish_notices(Publisher) == 1


def test_two_dispatchers_do_not_publish_one_notice_twice() -> None:
    escalate("ORD-1")
    with transaction.atomic():
        claimed = store.escalations.claim_notices(10)
        other = connection.copy()
        try:
            with other.cursor() as cursor:
                cursor.execute("SELECT id FROM sagas_escalation WHERE notify_at <= now() FOR NO KEY UPDATE SKIP LOCKED")
                assert cursor.fetchall() == []
        finally:
            other.close()
    assert len(claimed) == 1


def test_a_sent_notice_is_recorded_and_a_second_copy_is_dropped(channel: Receiver) -> None:
    # Given
    (run_id,) = escalate("ORD-1")
    publish_notices(Publisher)
    message = numbers(taken())

    # When
    assert notices.deliver_notices(message) == 1
    assert notices.deliver_notices(message) == 0

    # Then
    (body,) = channel.bodies
    assert body["title"] == "Escalated: lab.Lab two.compensate, run ORD-1"
    assert f"{ADMIN}sagas/run/{run_id}/change/" in body["message"]
    assert "What to do: The undo of two.compensate keeps failing" in body["message"]
    assert SECRET not in str(body)
    found = escalation(run_id)
    assert (found.notices, found.sent) == (1, 1)
    # And the next one is due when nobody acknowledges in time
    pass_time(890)
    assert publish_notices(Publisher) == 0
    pass_time(20)
    assert publish_notices(Publisher) == 1
    assert notices.deliver_notices(numbers(taken())) == 1
    assert channel.bodies[1]["title"] == "Still escalated: lab.Lab two.compensate, run ORD-1"


def test_a_notice_is_not_sent_once_its_escalation_is_acknowledged_or_resolved(channel: Receiver) -> None:
    seen, mended, waiting = escalate("ORD-1", "ORD-2", "ORD-3")
    publish_notices(Publisher)
    sagas.acknowledge(seen, by="mei")
    sagas.resume(mended, by="mei", note="mended")
    assert notices.deliver_notices(numbers(taken())) == 1
    (body,) = channel.bodies
    assert str(waiting) in body["message"]
    assert str(seen) not in body["message"]
    assert str(mended) not in body["message"]


def test_runs_that_fail_together_share_one_notice(channel: Receiver) -> None:
    escalate(*(f"ORD-{number}" for number in range(25)))
    assert publish_notices(Publisher) == 1
    assert notices.deliver_notices(numbers(taken())) == 25
    (body,) = channel.bodies
    assert body["title"] == "Escalated: lab.Lab two.compensate, 25 runs"
    assert body["message"].count("(ORD-") == 10
    assert "and 15 more" in body["message"]
    assert Escalation.objects.filter(sent=1).count() == 25


def test_a_notice_that_no_channel_accepts_is_due_again(channel: Receiver) -> None:
    (run_id,) = escalate("ORD-1")
    channel.status = 500
    publish_notices(Publisher)
    assert notices.deliver_notices(numbers(taken())) == 0
    assert escalation(run_id).sent == 0
    channel.status = 200
    pass_time(31)
    publish_notices(Publisher)
    assert notices.deliver_notices(numbers(taken())) == 1
    # As the first one: nobody was told before
    assert channel.bodies[0]["title"].startswith("Escalated")


def test_without_channels_the_log_is_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    (run_id,) = escalate("ORD-1")
    publish_notices(Publisher)
    assert notices.deliver_notices(numbers(taken())) == 1
    assert f"Escalated: lab.Lab two.compensate, run ORD-1 ({run_id})" in caplog.text


# -- Real workers ---------------------------------------------------------------------------------------------


def test_notices_are_repeated_until_an_acknowledgement(start_worker: Start, receiver: Receiver) -> None:
    # Given workers whose channel is away, and a run that escalates
    worker = start_worker(
        ESCALATION_URLS=[receiver.url], ADMIN_URL=ADMIN, NOTICE_LEASE=0.2, ACKNOWLEDGE_WITHIN=0.6, TICK=0.2
    )
    run_id = sagas.start(Lab, Experiment(reject=("four",), faults={"two.compensate": 9}), business_key="ORD-1")
    eventually(
        lambda: Escalation.objects.filter(run_id=run_id, notices__gte=2, sent=0).exists(), what="sent in vain, twice"
    )

    # When it is there
    receiver.start()

    # Then the person is told, and told again
    # (told twice, perhaps, before he is reminded: a sender that learns too late that it was taken sends it again)
    reminder = "Still escalated: lab.Lab two.compensate, run ORD-1"
    eventually(lambda: reminder in receiver.about(run_id), what="a notice and a reminder")
    assert receiver.about(run_id)[0] == "Escalated: lab.Lab two.compensate, run ORD-1"
    # Until somebody acknowledges. What was on its way by then has come before the other's reminder.
    sagas.acknowledge(run_id, by="mei")
    other = sagas.start(Lab, Experiment(reject=("four",), faults={"two.compensate": 9}))
    eventually(lambda: len(receiver.about(other)) >= 2, what="the other's reminder")
    told = len(receiver.about(run_id))
    eventually(lambda: len(receiver.about(other)) >= 5, what="more of the other's reminders")
    assert len(receiver.about(run_id)) == told
    # And no secret is in the worker's log
    for secret in ("hunter2", "T0KEN"):
        assert secret not in worker.text()
    assert "(json) took no notice" in worker.text()


def test_a_notice_that_no_worker_can_read_is_set_aside(start_worker: Start) -> None:
    start_worker()
    broker.publish_task(topology.ESCALATION, "sagas.notify", kwargs={"escalations": [["x"]], "notice": {}})
    broker.publish_task(topology.ESCALATION, "sagas.notify")
    eventually(lambda: broker.length(topology.DEAD) == 2, what="both set aside")
    broker.purge(topology.DEAD)
