"""Error budgets that burn: judged from what is counted, told once, with the cause, and over when they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from pytest_django import Settings

import sagas
from sagas import Objective, store
from sagas.decisions.burn_rates import WINDOWS, Runs
from sagas.delivery.carrier import CarrierAway
from sagas.delivery.dispatching import publish_burn_notices
from sagas.escalations import burn_notices
from sagas.local.carrier import LocalCarrier, Waiting
from sagas.messaging import topology
from sagas.messaging.publisher import Publisher
from sagas.models import BurnIncident, LevelCursor, LevelExample, LevelMinute
from sagas.observability import burn_gauges, burning
from sagas.tasks import notify
from tests.integration.conftest import Start
from tests.integration.observability.test_service_levels import count, perform_all, shift
from tests.lab.sagas import Experiment, Unconfirmed
from tests.support import broker, servers
from tests.support.awaiting import eventually
from tests.support.receiver import Receiver
from tests.support.runs import make_due

pytestmark = pytest.mark.usefixtures("alone")

SAGA = Unconfirmed.name
ADMIN = "https://shop.example/admin/"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def _objectives(alone: None) -> Iterator[None]:
    levels = (Objective("settled", target=0.99, within=timedelta(seconds=5)),)
    object.__setattr__(Unconfirmed.definition, "objectives", levels)
    for table in (BurnIncident, LevelExample, LevelMinute):
        table._default_manager.all().delete()
    count()
    yield
    object.__setattr__(Unconfirmed.definition, "objectives", ())
    BurnIncident.objects.all().delete()


@pytest.fixture
def channel(settings: Settings) -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.start()
    settings.SAGAS = {**settings.SAGAS, "ESCALATION_URLS": [receiver.url], "ADMIN_URL": ADMIN}
    yield receiver
    receiver.stop()


def clock() -> datetime:
    return store.runs.clock()


def counted(
    number: int,
    outcome: str = "good",
    *,
    ago: timedelta = timedelta(),
    subject: str = "objective",
    name: str = "settled",
    seconds: float = 0.0,
) -> None:
    """So many runs, or stays in a stage, as if they had been counted in that minute."""
    minute = (clock() - ago).replace(second=0, microsecond=0)
    LevelMinute.objects.create(
        saga=SAGA, subject=subject, minute=minute, name=name, outcome=outcome, bucket=0, number=number, seconds=seconds
    )


def judge() -> list[BurnIncident]:
    """Judge now, though nothing was counted since; return the incidents."""
    LevelCursor.objects.update(judged_after=None)
    assert burning.judge(every=0.0)
    return list(BurnIncident.objects.order_by("pk"))


def pass_time(length: timedelta) -> None:
    """Let everything that was counted, and every incident, be so much older."""
    LevelMinute.objects.update(minute=F("minute") - length)
    LevelExample.objects.update(minute=F("minute") - length)
    BurnIncident.objects.update(
        burning_at=F("burning_at") - length,
        notify_at=F("notify_at") - length,
        sending_until=F("sending_until") - length,
    )


def late_run(jar: str, **request: Any) -> UUID:
    """A run that ends, after a minute."""
    run_id = sagas.start(Unconfirmed, Experiment(jar=jar, **request))
    for _ in range(6):
        perform_all()
        make_due([run_id])
    shift(run_id, 60, "start")
    return run_id


def taken() -> dict[str, Any]:
    message = broker.take(topology.ESCALATION)
    assert message is not None
    kwargs: dict[str, Any] = json.loads(message.body)[1]
    return kwargs


# -- What burns ---------------------------------------------------------


def test_windows_add_up_what_was_counted_in_them() -> None:
    counted(7, ago=2 * MINUTE)
    counted(1, "late", ago=2 * MINUTE)
    counted(20, ago=20 * MINUTE)
    counted(2, "person", ago=5 * HOUR)
    counted(500, ago=timedelta(hours=71))
    counted(9_000, ago=timedelta(hours=73))
    seen = store.burn_rates.windows(clock(), [SAGA])[SAGA, "settled"]
    assert [seen[length] for length in WINDOWS] == [
        Runs(7, 1),
        Runs(27, 1),
        Runs(27, 1),
        Runs(27, 3),
        Runs(527, 3),
    ]


def test_a_fast_burn_opens_one_incident_which_goes_on_and_ends() -> None:
    # Given a fifth of the runs bad, of a target that allows a hundredth
    counted(80, ago=2 * MINUTE)
    counted(20, "late", ago=2 * MINUTE)
    # When it is judged, again and again
    judge()
    (incident,) = judge()
    # Then there is one incident, since the first bad minute
    assert (incident.saga, incident.objective, incident.pair, incident.closed_at) == (SAGA, "settled", 0, None)
    assert incident.burn_long == pytest.approx(20)
    assert (incident.bad, incident.runs) == (20, 100)
    assert incident.since == LevelMinute.objects.get(outcome="late").minute
    assert incident.revision == 1
    # When only good runs follow
    pass_time(8 * HOUR)
    counted(10_000, ago=MINUTE)
    (incident,) = judge()
    # Then it is over, and that is to be told
    assert incident.closed_at is not None
    assert incident.revision == 2
    # And the next fire is another incident
    counted(5_000, "late")
    assert [one.closed_at is None for one in judge()] == [False, True]


def test_a_pause_of_some_seconds_ends_no_incident() -> None:
    counted(20, "late", ago=MINUTE)
    judge()
    LevelMinute.objects.all().delete()
    (incident,) = judge()
    assert incident.closed_at is None


def test_a_slow_burn_that_becomes_fast_is_told_again() -> None:
    # Given a burn over hours
    counted(4_000, ago=3 * HOUR)
    counted(60, "late", ago=3 * HOUR)
    counted(1_000, ago=4 * MINUTE)
    counted(10, "late", ago=4 * MINUTE)
    (incident,) = judge()
    assert (incident.pair, incident.revision) == (2, 1)
    # When it becomes a fast one
    counted(900, "person")
    (incident,) = judge()
    assert (incident.pair, incident.revision) == (0, 2)


def test_while_counting_is_held_up_no_incident_ends() -> None:
    counted(20, "late", ago=MINUTE)
    judge()
    # Given a bound that was set an hour ago, because a transaction is open
    LevelCursor.objects.update(upto=2**62, armed_at=clock() - 2 * MINUTE)
    BurnIncident.objects.update(burning_at=clock() - 3 * MINUTE)
    LevelMinute.objects.all().delete()
    (incident,) = judge()
    assert incident.closed_at is None


def test_where_nothing_was_counted_nothing_is_written() -> None:
    judge()
    LevelCursor.objects.update(judged_at=None)
    assert burning.judge(every=0.0) is False
    assert LevelCursor.objects.get().judged_at is None


def test_the_time_between_two_judgements_is_kept_whoever_judges() -> None:
    counted(1)
    judge()
    LevelCursor.objects.update(judged_after=None)
    assert burning.judge(every=3600.0) is False


def test_of_two_processes_one_judges() -> None:
    counted(20, "late", ago=MINUTE)
    LevelCursor.objects.update(judged_after=None, judged_at=None)

    def other() -> bool:
        try:
            return burning.judge(every=0.0)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert store.burn_rates.take(every=0.0) is not None
        assert pool.submit(other).result() is False
    assert not BurnIncident.objects.exists()


def test_a_process_that_dies_while_it_judges_leaves_the_incident_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    counted(20, "late", ago=MINUTE)
    LevelCursor.objects.update(judged_after=None)
    with monkeypatch.context() as patch:

        def die(*_: Any, **__: Any) -> None:
            raise SystemExit

        patch.setattr(store.burn_rates, "open_incident", die)
        with pytest.raises(SystemExit):
            burning.judge(every=0.0)
    assert not BurnIncident.objects.exists()
    assert burning.judge(every=0.0)
    assert BurnIncident.objects.count() == 1


def test_what_is_read_does_not_grow_with_what_is_counted_of_other_times_and_sagas() -> None:
    # Given a year of hours, and other sagas' minutes
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sagas_levelminute (saga, subject, minute, name, outcome, bucket, number, seconds) "
            "SELECT saga, 'objective', date_trunc('hour', now()) - n * interval '1 hour', 'settled', 'good', 0, 1, 0 "
            "FROM generate_series(100, 9000) AS n, unnest(%s::text[]) AS saga",
            [[SAGA, "another.Saga"]],
        )
        cursor.execute("ANALYZE sagas_levelminute")
    counted(1, ago=MINUTE)
    # When a window of three days is read
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT sum(number) FROM sagas_levelminute WHERE saga = ANY(%s) "
            "AND subject = 'objective' AND minute > now() - interval '3 days' AND minute <= now()",
            [[SAGA]],
        )
        text = json.dumps(cursor.fetchone()[0])
    # Then an index finds its rows
    assert "sagas_levelminute_pkey" in text
    assert '"Rows Removed by Filter"' not in text


def test_the_gauges_say_what_is_judged() -> None:
    counted(80, ago=2 * MINUTE)
    counted(20, "late", ago=2 * MINUTE)
    counted(900, ago=timedelta(days=20))
    judge()
    found = burn_gauges.look()
    key = (SAGA, "settled")
    assert found["sagas_objective_runs"][SAGA, "bad", "settled", "5m"] == 20
    assert found["sagas_objective_runs"][SAGA, "good", "settled", "3d"] == 80
    assert found["sagas_objective_target"][key] == 0.99
    assert found["sagas_objective_floor"][key] == 5
    assert found["sagas_objective_budget_left"][key] == pytest.approx(-1)
    assert found["sagas_burn_incidents_open"][key] == 1


# -- Why it burns ---------------------------------------------------------


def test_an_incident_names_the_stage_that_is_slower_than_the_day_before_and_since_when() -> None:
    # Given a day in which one stage took long, and another one did not
    for name, seconds in (("one.forward", 100.0), ("two.forward", 1.0)):
        counted(100, "DONE", ago=5 * HOUR, subject="stage", name=name, seconds=seconds)
    # When the short one takes half a second, from six minutes ago
    counted(20, "late", ago=2 * MINUTE)
    counted(100, "DONE", ago=6 * MINUTE, subject="stage", name="one.forward", seconds=101.0)
    counted(100, "WAITED", ago=6 * MINUTE, subject="stage", name="confirmation", seconds=9_000.0)
    slow = clock().replace(second=0, microsecond=0) - 3 * MINUTE
    counted(100, "DONE", ago=3 * MINUTE, subject="stage", name="two.forward", seconds=50.0)
    (incident,) = judge()
    # Then that one burns, not the one that always takes long, nor the wait for a customer
    assert incident.stage == "two.forward"
    assert incident.stage_since is not None
    assert incident.stage_since == slow
    assert incident.evidence["stage"]["mean_seconds"] == pytest.approx(0.5)
    assert incident.evidence["stage"]["usual_seconds"] == pytest.approx(0.01)


def test_an_incident_names_the_top_errors_by_fingerprint_with_a_line_of_the_log_and_runs(jar: str) -> None:
    # Given runs that broke, of which the numbers in the texts differ, and ended late
    step = Unconfirmed.definition.steps[0].name
    late = [late_run(jar, faults={f"{step}.forward": attempts}) for attempts in (1, 2, 1, 1, 1)]
    count()
    # When
    (incident,) = judge()
    # Then all of these faults are one error
    (error,) = incident.evidence["errors"]
    assert (error["at"], error["code"], error["number"]) == (f"{step}.forward", "Boom", 6)
    assert error["text"] == f"{step}.forward attempt #"
    assert {UUID(run) for run in error["runs"]} <= set(late)
    # And the log says what it was, with its number
    assert error["line"]["detail"].startswith(f"{step}.forward attempt ")
    assert error["line"]["run"] in error["runs"]
    # And bad runs are named
    assert {UUID(run) for run in incident.evidence["runs"]} <= set(late)
    assert incident.evidence["bad"] == {"late": 5}
    assert incident.stage


def test_many_texts_of_one_error_are_bounded(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        store.service_levels, "_COUNT", store.service_levels._COUNT.replace("place <= 20", "place <= 1")
    )
    first, second = (step.name for step in Unconfirmed.definition.steps[:2])
    late_run(jar, faults={f"{first}.forward": 2})
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_log DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE sagas_log SET data = jsonb_set(data, '{detail}', '\"other words\"') "
            "WHERE outcome = 'FAULT' AND attempt = 2"
        )
        cursor.execute("ALTER TABLE sagas_log ENABLE TRIGGER USER")
    late_run(jar, faults={f"{second}.forward": 1})
    count()
    kept = LevelExample.objects.filter(subject="fault").values_list("name", flat=True)
    assert sorted(kept) == [f"{first}.forward", f"{second}.forward"]


# -- Who is told ---------------------------------------------------------


def test_people_are_told_once_what_burns_why_and_where_to_look(jar: str, channel: Receiver) -> None:
    # Given
    step = Unconfirmed.definition.steps[0].name
    late = [late_run(jar, faults={f"{step}.forward": 1}) for _ in range(5)]
    count()
    (incident,) = judge()
    # When it is carried, and the message comes twice
    assert publish_burn_notices(Publisher) == 1
    assert publish_burn_notices(Publisher) == 0
    kwargs = taken()
    assert kwargs["incidents"] == [[incident.pk, 1]]
    for _ in range(2):
        notify.apply(kwargs=kwargs, throw=True)
    # Then one text says it all
    (body,) = channel.bodies
    told = body["message"]
    assert body["title"].startswith(f"Burning: the error budget of {SAGA} settled, 100 × too fast, at ")
    assert "Objective: 99 % of runs end without a person within 5 s" in told
    assert "Burns: 100 × over 1 h (5 of 5 runs bad), 100 × over 5 min" in told
    assert "Stage: " in told
    assert f"5 × Boom at {step}.forward: {step}.forward attempt #" in told
    assert f"attempt 1: {step}.forward attempt 1" in told
    assert any(str(run_id) in told for run_id in late)
    assert f"Look at them: {ADMIN}sagas/run/?q=" in told
    # And nothing is due any more
    incident.refresh_from_db()
    assert (incident.told, incident.notify_at) == (1, None)


def test_the_end_is_told_once(channel: Receiver) -> None:
    counted(20, "late", ago=MINUTE)
    judge()
    publish_burn_notices(Publisher)
    notify.apply(kwargs=taken(), throw=True)
    pass_time(10 * HOUR)
    LevelMinute.objects.all().delete()
    judge()
    assert publish_burn_notices(Publisher) == 1
    notify.apply(kwargs=taken(), throw=True)
    assert publish_burn_notices(Publisher) == 0
    assert [body["title"].partition(":")[0] for body in channel.bodies] == ["Burning", "Over"]


def test_a_worker_that_is_killed_between_decision_and_sending_delays_the_notice_only(channel: Receiver) -> None:
    counted(20, "late", ago=MINUTE)
    (incident,) = judge()
    # Given a message that is lost, and a worker that has taken the next one, and died
    publish_burn_notices(Publisher)
    broker.purge(topology.ESCALATION)
    pass_time(31 * MINUTE)
    assert publish_burn_notices(Publisher) == 1
    kwargs = taken()
    assert store.burn_rates.take_unsent(incident.pk, 1, lease=30.0) is not None
    # Then nobody else sends it during the lease of sending
    assert burn_notices.deliver_notices({incident.pk: 1}) == 0
    assert channel.bodies == []
    # When both leases are over
    pass_time(31 * MINUTE)
    assert publish_burn_notices(Publisher) == 1
    notify.apply(kwargs=taken(), throw=True)
    notify.apply(kwargs=kwargs, throw=True)
    assert len(channel.bodies) == 1


def test_two_workers_with_the_same_message_send_it_once(channel: Receiver) -> None:
    counted(20, "late", ago=MINUTE)
    (incident,) = judge()

    def deliver(_: int) -> int:
        try:
            return burn_notices.deliver_notices({incident.pk: 1})
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(deliver, range(4))) == 1
    assert len(channel.bodies) == 1


def test_what_is_news_while_a_notice_is_being_sent_is_told_afterwards(channel: Receiver) -> None:
    counted(20, "late", ago=MINUTE)
    (incident,) = judge()
    publish_burn_notices(Publisher)
    taken()
    found = store.burn_rates.take_unsent(incident.pk, 1, lease=30.0)
    assert found is not None
    # When it ends meanwhile
    store.burn_rates.close_incident(found)
    store.burn_rates.note_sent(found)
    # Then that is due
    assert publish_burn_notices(Publisher) == 1
    notify.apply(kwargs=taken(), throw=True)
    assert [body["title"].partition(":")[0] for body in channel.bodies] == ["Over"]


def test_a_notice_that_no_channel_takes_is_due_again(channel: Receiver) -> None:
    counted(20, "late", ago=MINUTE)
    judge()
    channel.status = 500
    publish_burn_notices(Publisher)
    notify.apply(kwargs=taken(), throw=True)
    channel.status = 200
    pass_time(31 * MINUTE)
    publish_burn_notices(Publisher)
    notify.apply(kwargs=taken(), throw=True)
    assert len(channel.bodies) == 1


@pytest.mark.skipif(servers.EMBEDDED, reason="there is no RabbitMQ")
def test_while_the_broker_refuses_a_notice_waits_and_is_not_counted() -> None:
    counted(20, "late", ago=MINUTE)
    judge()
    with broker.refusing(topology.ESCALATION):
        broker.publish_task(topology.ESCALATION, "sagas.nothing")
        with pytest.raises(CarrierAway):
            publish_burn_notices(Publisher)
    broker.purge(topology.ESCALATION)
    assert BurnIncident.objects.get().notices == 0
    pass_time(MINUTE)
    assert publish_burn_notices(Publisher) == 1


def test_without_channels_the_log_is_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    counted(20, "late", ago=MINUTE)
    (incident,) = judge()
    assert burn_notices.deliver_notices({incident.pk: 1}) == 1
    assert f"Burning: the error budget of {SAGA} settled" in caplog.text


def test_without_a_broker_the_process_that_claims_a_notice_sends_it(channel: Receiver) -> None:
    counted(20, "late", ago=MINUTE)
    judge()
    assert publish_burn_notices(lambda: LocalCarrier(Waiting(lambda: None))) == 1
    assert publish_burn_notices(lambda: LocalCarrier(Waiting(lambda: None))) == 0
    assert len(channel.bodies) == 1


def test_a_message_about_an_incident_that_is_gone_tells_nobody(channel: Receiver) -> None:
    assert burn_notices.deliver_notices({2**40: 1}) == 0
    notify.apply(kwargs={"escalations": [], "notice": {}}, throw=True)
    assert channel.bodies == []


def test_the_example_of_a_run_that_is_gone_is_told_without_its_line() -> None:
    minute = clock().replace(second=0, microsecond=0)
    LevelExample.objects.create(
        saga=SAGA,
        subject="fault",
        minute=minute,
        fingerprint=uuid4(),
        name="one.forward",
        code="Gone",
        text="it is",
        number=3,
        run_id=uuid4(),
    )
    counted(20, "late")
    (incident,) = judge()
    assert incident.evidence["errors"][0]["line"] is None
    assert burn_notices.deliver_notices({incident.pk: 1}) == 1


# -- Real workers ---------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_workers_judge_and_tell_though_one_is_killed_and_nobody_is_told_twice(start_worker: Start) -> None:
    # Given an order in a hundred that is late, and a worker whose channel is away
    receiver = Receiver()
    saga, minute = "orders.PlaceOrder", clock().replace(second=0, microsecond=0)
    for outcome, number in (("good", 990), ("late", 10)):
        LevelMinute.objects.create(
            saga=saga,
            subject="objective",
            minute=minute,
            name="settled",
            outcome=outcome,
            bucket=0,
            number=number,
            seconds=0,
        )
    settings = {"ESCALATION_URLS": [receiver.url], "NOTICE_LEASE": 0.2, "ACKNOWLEDGE_WITHIN": 0.4, "TICK": 0.2}
    first = start_worker(**settings)
    eventually(lambda: BurnIncident.objects.filter(saga=saga, notices__gte=1).exists(), what="a notice in vain")
    # When it is killed, and two others find a channel
    first.kill()
    receiver.start()
    others = [start_worker(**settings) for _ in range(2)]
    eventually(lambda: len(receiver.bodies) > 0, what="a notice")
    eventually(lambda: BurnIncident.objects.filter(saga=saga, told=1, notify_at=None).exists(), what="it is on record")
    # Then people were told once, as the log of one of them says
    assert [body["title"] for body in receiver.bodies] == [
        "Burning: the error budget of orders.PlaceOrder settled, 1,250 × too fast"
    ]
    assert sum("Burning: the error budget" in worker.text() for worker in others) == 1
    receiver.stop()
