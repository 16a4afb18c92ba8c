"""``manage.py sagas topology | dispatch | dead | doctor``, and what workers leave in RabbitMQ."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from pytest_django import Settings

import sagas
from sagas import State, store
from sagas.decisions.messages import Chain
from sagas.engine.compensation import escalate
from sagas.messaging import topology
from sagas.messaging.app import engine_app
from sagas.messaging.publisher import drop_connections
from sagas.messaging.topology import DEAD
from sagas.models import Run
from sagas.store.moves import event_entry
from tests.integration.conftest import Start
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab
from tests.support import broker, loyalty, servers
from tests.support.awaiting import eventually
from tests.support.carrier import claim_all
from tests.support.runs import assert_effects_once, await_state, make_due, state
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("database")


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("sagas", *arguments, stdout=out)
    return out.getvalue()


def rows(what: str, *columns: str) -> list[list[str]]:
    """What ``rabbitmqctl list_…`` shows."""
    listed = servers.rabbitmqctl("-q", what, "--no-table-headers", *columns).splitlines()
    return [line.split("\t") for line in listed if line.strip()]


# -- topology -------------------------------------------------------------------------------------------------


def test_topology_declares_missing_queues(topology_of_a_fresh_broker: list[str]) -> None:
    # When
    said = command("topology")

    # Then
    names = topology_of_a_fresh_broker
    assert said.startswith(f"declared {len(names)} queues: ")
    assert sorted(said.strip().partition(": ")[2].split(", ")) == sorted(names)
    for name in names:
        assert broker.length(name) == 0
    # And again, for it is a part of every deploy
    assert command("topology") == said


@pytest.fixture
def topology_of_a_fresh_broker(alone: None) -> list[str]:
    """The names of the queues, of which none is there."""
    names = [queue.name for queue in topology.all_queues()]
    with broker.channel() as channel:
        for name in names:
            channel.queue_delete(name)
    return names


#: One of each kind: for poison, for steps, for what waits.
OLD = (DEAD, "orders", "sagas.deadline.30000")


@pytest.fixture
def queues_of_an_earlier_version(alone: None) -> Iterator[None]:
    """Three queues that lack what this version declares."""
    _make_queues_anew(old=True)
    yield
    for name in OLD:
        broker.purge(name)
    _make_queues_anew()


def _make_queues_anew(*, old: bool = False) -> None:
    with broker.channel() as channel:
        for name in OLD:
            channel.queue_delete(name)
            if old:
                channel.queue_declare(
                    name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum", "x-max-length": 10_000}
                )
    if not old:
        command("topology")


@pytest.mark.usefixtures("queues_of_an_earlier_version")
def test_workers_use_the_queues_of_an_earlier_version_and_say_how_to_renew_them(start_worker: Start) -> None:
    # When
    worker = start_worker()

    # Then it works: steps, and what cannot be decoded is set aside
    run_id = sagas.start(Lab, Experiment())
    await_state(run_id, State.AWAITING_CONFIRM)
    assert worker.process.poll() is None
    # And says which queues are old, and what to do
    for name in OLD:
        worker.await_text(f"queue {name} was declared with other arguments")
        assert worker.text().count(f"queue {name} was declared with other arguments") == 1
    worker.await_text("manage.py sagas topology --replace")


@pytest.mark.usefixtures("queues_of_an_earlier_version")
def test_topology_renews_empty_queues_on_request() -> None:
    # Given queues of which one is not empty
    broker.publish_task(DEAD, "sagas.nothing")

    # When it is declared as in each deploy, then nothing is touched
    command("topology")
    assert not deadlines_are_dead_lettered()
    # And when it is told to replace, then the one is named
    with pytest.raises(CommandError, match=f"not replaced, for they hold messages or are consumed: {DEAD}$"):
        command("topology", "--replace")
    assert broker.length(DEAD) == 1
    assert deadlines_are_dead_lettered()
    # And as soon as it is empty, it is renewed as well
    broker.purge(DEAD)
    command("topology", "--replace")
    arguments = dict(rows("list_queues", "name", "arguments"))
    assert "x-delivery-limit" in arguments[DEAD]


def deadlines_are_dead_lettered() -> bool:
    return "exchange.compensate" in dict(rows("list_queues", "name", "arguments"))["sagas.deadline.30000"]


def test_the_queues_of_the_engine_are_durable_quorum_queues(topology: None) -> None:
    found = {name: (kind, durable) for name, kind, durable in rows("list_queues", "name", "type", "durable")}
    for name in broker.queue_names(""):
        # Both spellings: of the versions 3 and 4 of RabbitMQ.
        assert found[name] in {("quorum", "true"), ("rabbit_quorum_queue", "true")}


# -- dispatch -------------------------------------------------------------------------------------------------


def test_dispatch_once_publishes_what_is_due(alone: None) -> None:
    # Given one run that is fresh, and one whose lease ran out
    lapsed = sagas.start(Lab, Experiment())
    assert [message.ids for message in claim_all() if isinstance(message, Chain)] == [(lapsed,)]
    make_due([lapsed])
    sagas.start(Lab, Experiment())

    # When
    assert command("dispatch", "--once") == "dispatched all that was due\n"

    # Then
    assert broker.length("orders") == 2
    # The second one begins, the first one has: it waits in one deadline, for the other went with the claim above.
    assert broker.length("sagas.deadline.30000") == 1
    # And there is nothing left to do
    command("dispatch", "--once")
    assert broker.length("orders") == 2


def test_dispatch_runs_at_the_given_interval() -> None:
    with pytest.raises(CommandError, match="--once"):
        command("dispatch")


def test_dispatch_runs_as_a_process(alone: None) -> None:
    run_id = sagas.start(Lab, Experiment())
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "sagas", "dispatch", "--once"],
        env=servers.worker_environment(),
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "dispatched all that was due\n"
    assert state(run_id) is State.EXECUTING
    assert broker.length("orders") == 1


# -- dead -----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_poison(alone: None) -> None:
    broker.purge(DEAD)


def test_dead_shows_dead_letters_and_leaves_them(no_poison: None) -> None:
    # Given two messages
    for number in range(2):
        broker.publish_task(DEAD, "sagas.nothing", [number])

    # When
    *shown, summary = command("dead").splitlines()

    # Then
    assert summary == "2 message(s) shown"
    found = [json.loads(line) for line in shown]
    assert [entry["task"] for entry in found] == ["sagas.nothing"] * 2
    assert [json.loads(entry["body"])[0] for entry in found] == [[0], [1]]
    # And they are there for the next who looks
    eventually(lambda: broker.length(DEAD) == 2, what="both put back")
    # Who may want to see fewer
    assert command("dead", "--limit", "1").splitlines()[-1] == "1 message(s) shown"
    eventually(lambda: broker.length(DEAD) == 2, what="both put back")


def test_dead_shows_nothing_if_there_are_no_letters(no_poison: None) -> None:
    assert command("dead") == "0 message(s) shown\n"


def test_dead_may_be_run_repeatedly(no_poison: None) -> None:
    broker.publish_task(DEAD, "sagas.nothing")
    for _ in range(25):
        assert command("dead").splitlines()[-1] == "1 message(s) shown"
        eventually(lambda: broker.length(DEAD) == 1, what="put back")


# -- What workers leave behind --------------------------------------------------------------------------------


def test_workers_create_none_of_celerys_delay_queues_and_keep_the_engines(shared_worker: Worker) -> None:
    # Given a worker that has done everything: steps, a retry, a confirm
    jar = f"jar-{uuid4().hex[:8]}"
    Jar.objects.create(name=jar, available=10)
    run_id = sagas.start(Lab, Experiment(jar=jar, faults={"two.forward": 1}))
    await_state(run_id, State.AWAITING_CONFIRM)
    sagas.confirm(run_id, "approval", {})
    await_state(run_id, State.SUCCEEDED)
    assert_effects_once(run_id)

    # Then what RabbitMQ shows, which is a few seconds old, is that its queues are consumed
    mine = {queue.name for queue in topology.work_queues()}

    def shown() -> dict[str, int] | None:
        consumers = {name: int(count) for name, count in rows("list_queues", "name", "consumers")}
        return consumers if all(consumers[name] for name in mine) else None

    consumers = eventually(shown, within=30, what="consumers shown") or {}
    # And that those are not in which messages wait
    for name in [DEAD, *broker.queue_names("sagas.delay"), *broker.queue_names("sagas.deadline")]:
        assert consumers[name] == 0
    # And that Celery's own delays are nowhere
    exchanges = [row[0] for row in rows("list_exchanges", "name")]
    assert [name for name in [*consumers, *exchanges] if name.startswith("celery_delayed")] == []


# -- doctor ---------------------------------------------------------------------------------------------------


def doctor() -> tuple[list[str], str]:
    """What it said, line by line, and the error it ended with."""
    out = StringIO()
    try:
        call_command("sagas", "doctor", stdout=out, no_color=True)
    except CommandError as error:
        return out.getvalue().splitlines(), str(error)
    return out.getvalue().splitlines(), ""


THERE = "The database 'loyalty', which steps use,"


@pytest.mark.usefixtures("alone", "loyalty_database")
def test_doctor_finds_nothing_in_a_healthy_system() -> None:
    command("topology")
    said, error = doctor()
    assert error == ""
    assert {
        "fine     Every unfinished run can go on with the code that is here.",
        "fine     The request of every unfinished run can be read here.",
        "fine     Every live run makes progress.",
        "fine     No run waits for a person.",
        "fine     No breaker is open.",
        "fine     The oldest of 0 run(s) that have not begun has waited 0 s.",
        "fine     Every escalated run has its open escalation.",
        "fine     Every live run is due in time.",
        "fine     The log agrees with the runs (0 compared).",
        "fine     The pool lab_jar agrees with its holds, and these with their runs.",
        f"fine     {THERE} has the table sagas_barrier.",
        "fine     Every queue is declared in RabbitMQ with the right arguments.",
        "fine     No message was set aside.",
        "fine     Redis answers.",
    } <= set(said)
    assert said[-1] == "nothing is wrong"


@pytest.mark.usefixtures("alone", "loyalty_database")
def test_doctor_reports_a_database_without_a_barrier_table_or_unreachable() -> None:
    command("topology")
    # Given a database in which steps are, not migrated
    loyalty.execute("ALTER TABLE sagas_barrier RENAME TO barrier_of_another")
    try:
        said, error = doctor()
    finally:
        loyalty.execute("ALTER TABLE barrier_of_another RENAME TO sagas_barrier")
    assert error == "1 thing(s) are wrong"
    assert f"error    {THERE} has no table sagas_barrier." in said
    assert "         → Run manage.py migrate --database loyalty. Until then its steps fail." in said

    # And one that is away
    with loyalty.away():
        said, error = doctor()
    assert error == "1 thing(s) are wrong"
    assert any(line.startswith(f"error    {THERE} does not answer: ") for line in said)


@pytest.mark.usefixtures("alone", "loyalty_database")
def test_doctor_reports_runs_without_progress(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "ADMISSION": 120}
    # Given a run that stands still, one that waits for a person, and two that wait to begin
    stuck, person, *waiting = (sagas.start(Lab, Experiment()) for _ in range(4))
    Run.objects.filter(pk=stuck).update(state="EXECUTING", claims=4)
    with transaction.atomic():
        (row,) = store.runs.lock([person])
        escalate(row, event_entry("escalate"), "{}")
    make_due(waiting, since=100)

    # When
    said, error = doctor()

    # Then
    assert error == "2 thing(s) are wrong"
    text = "\n".join(said)
    assert "error    1 run(s) make no progress: claimed up to 4 of 6 times." in text
    assert "error    1 run(s) wait for a person, the longest for 00:00:00." in text
    assert "warning  The oldest of 2 run(s) that have not begun has waited 100 s." in text
    # And of a longer wait
    make_due(waiting, since=200)
    assert any(line.startswith("error    The oldest of 2") and "Above 120 s" in line for line in doctor()[0])


@pytest.mark.usefixtures("loyalty_database")
def test_doctor_reports_missing_and_outdated_queues(topology_of_a_fresh_broker: list[str]) -> None:
    # Given one queue of other arguments, and no other
    with broker.channel() as channel:
        channel.queue_declare(
            "orders", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum", "x-max-length": 10_000}
        )
    try:
        said, error = doctor()
    finally:
        with broker.channel() as channel:
            channel.queue_delete("orders")
        command("topology")

    assert error == "2 thing(s) are wrong"
    (missing,) = [line for line in said if "are missing in RabbitMQ" in line]
    assert set(missing.partition(": ")[2].rstrip(".").split(", ")) == {*topology_of_a_fresh_broker} - {"orders"}
    assert "error    Queues were declared with other arguments and are used unchanged: orders." in said
    assert "         → Run manage.py sagas topology." in said


def test_doctor_runs_as_a_process_without_any_server() -> None:
    away = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "RABBITMQ_URL": "amqp://nobody@127.0.0.1:1//",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "sagas", "doctor"],
        env={**servers.worker_environment(), **away},
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "error    The database does not answer: " in done.stdout
    assert "error    RabbitMQ does not answer: " in done.stdout
    assert "warning  Redis does not answer (ConnectionError: Error 111 connecting to 127.0.0.1:1." in done.stdout
    assert f"error    {THERE} does not answer: " in done.stdout
    assert "3 thing(s) are wrong" in done.stderr


# -- The true cause ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError("nobody reads what is printed"),
        OSError(28, "No space left on device"),
        FileNotFoundError(2, "No such file", "/etc/shop/key.pem"),
        TimeoutError("a hook's own server"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("subcommand", [["dispatch", "--once"], ["topology"], ["doctor"]])
def test_an_error_that_is_not_rabbitmqs_is_not_reported_as_rabbitmqs(
    monkeypatch: pytest.MonkeyPatch, error: OSError, subcommand: list[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("sagas.management.broker.dispatch", fails)
    monkeypatch.setattr("sagas.messaging.topology.declare", fails)
    monkeypatch.setattr("sagas.messaging.topology.compare_queues", fails)
    with pytest.raises(type(error)) as raised:
        command(*subcommand)
    assert raised.value is error


@pytest.mark.parametrize("subcommand", [["dispatch", "--once"], ["topology"]])
def test_an_error_of_rabbitmq_is_reported_as_rabbitmqs(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, subcommand: list[str]
) -> None:
    # Given nobody at RabbitMQ's port, and a run that is due
    sagas.start(Lab, Experiment())
    settings.SAGAS = {**settings.SAGAS, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1//"}
    drop_connections(engine_app())
    monkeypatch.setattr("sagas.messaging.publisher._RETRY", {"max_retries": 0})
    try:
        with pytest.raises(CommandError, match=r"RabbitMQ does not answer: .*Connection refused"):
            command(*subcommand)
    finally:
        drop_connections(engine_app())
