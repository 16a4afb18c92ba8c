"""Dead letters are listed, replayed and dropped: doubled at worst, never lost. On a real RabbitMQ."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from sagas.messaging import dead_letters
from sagas.messaging.publisher import Publisher
from sagas.messaging.topology import DEAD
from tests.integration.conftest import Start
from tests.support import broker, servers
from tests.support.awaiting import eventually

pytestmark = pytest.mark.usefixtures("no_poison")


@pytest.fixture
def no_poison(alone: None) -> None:
    broker.purge(DEAD, "orders", "coupons")


def command(*arguments: str) -> list[Any]:
    """What it says, line by line; JSON is read."""
    out = StringIO()
    call_command("sagas", "dead", *arguments, stdout=out)
    return [json.loads(line) if line.startswith("{") else line for line in out.getvalue().splitlines()]


def listed(*arguments: str) -> list[dict[str, Any]]:
    return command(*arguments)[:-1]


def reject(queue: str) -> None:
    """Refuse the first message of a queue, as a worker does that makes no sense of it."""
    with broker.channel() as channel:
        message = eventually(lambda: channel.basic_get(queue, no_ack=False), what=f"a message on {queue}")
        channel.basic_reject(message.delivery_tag, requeue=False)


def die(queue: str, *args: Any, task: str = "sagas.nothing", **headers: Any) -> None:
    """Have a task message set aside that came from this queue."""
    before = broker.length(DEAD)
    broker.publish_task(queue, task, args, **headers)
    reject(queue)
    eventually(lambda: broker.length(DEAD) == before + 1, what="set aside")


def await_length(queue: str, length: int) -> None:
    eventually(lambda: broker.length(queue) == length, what=f"{length} on {queue}")


# -- The list -------------------------------------------------------------------------------------------------


def test_the_list_shows_time_queue_reason_and_count() -> None:
    die("orders", 5)
    (found,) = listed()
    assert len(found.pop("letter")) == 12
    assert timedelta(seconds=-2) < datetime.now(UTC) - datetime.fromisoformat(found.pop("at")) < timedelta(minutes=1)
    assert json.loads(found.pop("body"))[0] == [5]
    assert found == {
        "from": "orders",
        "reason": "rejected",
        "deaths": 1,
        "task": "sagas.nothing",
        "id": "poison-1",
    }
    await_length(DEAD, 1)


def test_the_list_is_filtered() -> None:
    die("orders", id="a")
    die("coupons", id="b")
    die("coupons", id="c", task="sagas.other")
    letter = listed("--id", "b")[0]["letter"]
    for arguments, ids in (
        ((), ["a", "b", "c"]),
        (("--queue", "coupons"), ["b", "c"]),
        (("--task", "sagas.other"), ["c"]),
        (("--queue", "orders", "--task", "sagas.other"), []),
        (("--reason", "rejected", "--limit", "2"), ["a", "b"]),
        (("--reason", "delivery_limit"), []),
        (("--id", "a", "--id", "c"), ["a", "c"]),
        (("--id", letter), ["b"]),
    ):
        # RabbitMQ gives what was looked at in no certain order, and counts the time of a death in seconds.
        found = sorted(letter["id"] for letter in listed(*arguments))
        assert found == ids or ("--limit" in arguments and len(found) == 2), arguments
        await_length(DEAD, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit", "0"), "--limit is 0"),
        (("--replay",), "--id"),
        (("--replay", "--all", "--id", "a"), "--all"),
        (("--drop", "--yes"), "--id"),
        (("--drop", "--id", "a"), "--yes"),
        (("--drop", "--replay", "--id", "a"), "not allowed with"),
    ],
)
def test_invalid_arguments_are_refused(arguments: tuple[str, ...], said: str) -> None:
    die("orders", id="a")
    with pytest.raises(CommandError, match=said):
        command(*arguments)
    await_length(DEAD, 1)


# -- Replay ---------------------------------------------------------------------------------------------------


def test_a_dead_letter_is_replayed_unchanged_and_the_others_stay(caplog: pytest.LogCaptureFixture) -> None:
    # Given
    die("orders", 1, id="a")
    die("orders", 2, id="b")

    # When
    assert command("--replay", "--id", "b", "--by", "mei")[-1] == "1 message(s) replayed"

    # Then
    await_length(DEAD, 1)
    message = broker.take("orders")
    assert json.loads(message.body)[0] == [2]
    assert (message.headers["task"], message.headers["id"]) == ("sagas.nothing", "b")
    assert (message.properties["content_type"], message.properties["delivery_mode"]) == ("application/json", 2)
    assert not [name for name in message.headers if name.startswith("x-death")]
    assert listed()[0]["id"] == "a"
    # And the log says who did it
    assert "(sagas.nothing b from orders, dead 1 time(s): rejected) replayed by mei" in caplog.text


def test_all_dead_letters_are_replayed_to_their_queues() -> None:
    die("orders", id="a")
    die("coupons", id="b")
    die("coupons", id="c")
    assert command("--replay", "--all", "--queue", "coupons")[-1] == "2 message(s) replayed"
    assert (broker.length("orders"), broker.length("coupons")) == (0, 2)
    assert command("--replay", "--all")[-1] == "1 message(s) replayed"
    assert broker.length("orders") == 1
    assert command("--replay", "--all")[-1] == "0 message(s) replayed"


def test_a_replayed_letter_that_is_still_unreadable_returns_and_is_counted(start_worker: Start) -> None:
    # Given a real worker, and a message of which it makes nothing
    start_worker()
    broker.publish_raw("orders", "{nonsense")
    await_length(DEAD, 1)
    (found,) = listed()
    assert (found["task"], found["id"], found["body"], found["deaths"]) == (None, None, "{nonsense", 1)
    await_length(DEAD, 1)

    # When
    for deaths in (2, 3):
        command("--replay", "--id", listed()[0]["letter"])
        # Then
        eventually(
            lambda deaths=deaths: [letter["deaths"] for letter in listed()] == [deaths],  # type: ignore[misc]  # bound
            what=f"back, dead {deaths} times",
        )


class Killed(BaseException):
    """Nobody catches it: as good as a SIGKILL, for the broker sees a connection that ends."""


def test_a_kill_between_publish_and_ack_duplicates_the_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    die("orders", id="a")

    def killed(_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(dead_letters, "_ack", killed)
        with pytest.raises(Killed):
            command("--replay", "--all")
    await_length(DEAD, 1)
    assert broker.length("orders") == 1


def test_a_letter_stays_if_its_queue_refuses_it_or_is_missing() -> None:
    # Given one from a queue that is gone, one from a queue that takes nothing, and one that can go
    gone = f"gone-{uuid4().hex[:8]}"
    with broker.channel() as channel:
        channel.queue_declare(gone, auto_delete=False, arguments={"x-dead-letter-exchange": "exchange.dead"})
        die(gone, id="a")
        channel.queue_delete(gone)
    die("coupons", id="b")
    die("orders", id="c")

    # When
    with broker.refusing("coupons"):
        broker.publish_task("coupons", "sagas.nothing")
        with pytest.raises(CommandError) as raised:
            command("--replay", "--all")

    # Then
    assert f"{gone} did not take it" in str(raised.value)
    assert "coupons did not take it" in str(raised.value)
    await_length(DEAD, 2)
    assert sorted(letter["id"] for letter in listed()) == ["a", "b"]
    assert broker.length("orders") == 1


def test_a_note_of_the_engine_cannot_be_replayed() -> None:
    Publisher().set_aside("lab.Lab.one.forward", [uuid4()], "1 run(s) that do not exist")
    (note,) = listed()
    assert (note["from"], note["reason"], note["deaths"]) == (None, "note", 1)
    with pytest.raises(CommandError, match="a note, which came from no queue"):
        command("--replay", "--id", note["letter"])
    await_length(DEAD, 1)


def test_a_note_is_published_after_an_outage_of_the_broker() -> None:
    # Given a connection in the pool that the broker has closed
    Publisher().set_aside("lab.Lab.one.forward", [uuid4()], "1 run(s) that do not exist")
    servers.rabbitmqctl("close_all_connections", "as a restart does")

    # When
    Publisher().set_aside("lab.Lab.two.forward", [uuid4()], "1 run(s) that do not exist")

    # Then
    await_length(DEAD, 2)


def test_an_unknown_letter_is_named() -> None:
    die("orders", id="a")
    with pytest.raises(CommandError, match="not replayed: zz: not there"):
        command("--replay", "--id", "zz", "--id", "a")
    await_length(DEAD, 0)


# -- Drop -----------------------------------------------------------------------------------------------------


def test_dropping_a_letter_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    die("orders", id="a")
    die("orders", id="b")
    assert command("--drop", "--id", "a", "--yes", "--by", "mei")[-1] == "1 message(s) dropped"
    await_length(DEAD, 1)
    assert listed()[0]["id"] == "b"
    assert "(sagas.nothing a from orders, dead 1 time(s): rejected) dropped by mei" in caplog.text
    assert broker.length("orders") == 0
