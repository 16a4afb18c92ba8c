"""Kicks and ticks: whatever stands in Redis, and whatever Redis does, a dispatch is asked for within a tick."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.test import override_settings

from sagas import runtime
from sagas.messaging.app import app
from sagas.messaging.ticker import Ticker
from sagas.redis import kicks
from tests.support import broker, servers
from tests.support.awaiting import eventually

pytestmark = pytest.mark.usefixtures("alone")

#: As often a tick comes in these tests, in seconds. No kick is needed where so many ticks are seen.
TICK = 0.05
#: Where Redis is, also while a test says something else.
URL: str = settings.SAGAS["REDIS_URL"]
MANY = 12

Change = Callable[[redis.Redis], object]


@pytest.fixture
def memory() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(URL) as client:
        yield client


@contextmanager
def redis_at(url: str | None, tick: float) -> Iterator[None]:
    runtime.memory.redis_paused_until = 0.0
    with override_settings(SAGAS={**settings.SAGAS, "REDIS_URL": url, "TICK": tick}):
        yield
    runtime.memory.redis_paused_until = 0.0


@contextmanager
def ticking(*apps: Celery, tick: float = TICK, url: str | None = None) -> Iterator[list[Ticker]]:
    """Tickers of workers, one for each of these apps."""
    with redis_at(url or URL, tick):
        tickers = [Ticker(one) for one in apps]
        for ticker in tickers:
            ticker.start()
        try:
            yield tickers
        finally:
            for ticker in tickers:
                ticker.stopping.set()
                ticker.kicked.set()
            for ticker in tickers:
                ticker.join(30)
            hang_up()


def hang_up() -> None:
    """Whoever waits for a kick shall not have that of the next test, which goes out by a connection that is alive."""
    runtime.own.one_way = None
    with redis.Redis.from_url(URL) as client:
        client.client_kill_filter(_type="normal", skipme=True)


def dispatches() -> int:
    return broker.length("sagas.dispatch")


def assert_ticks_come() -> None:
    before = dispatches()
    eventually(lambda: dispatches() >= before + MANY, within=8, what="a tick after the other")


# -- What may stand in its keys -------------------------------------------------------------------------------

STRANGE: dict[str, Callable[[redis.Redis, str], object]] = {
    "a string that stays": lambda client, key: client.set(key, 1),
    "a string that stays for a year": lambda client, key: client.set(key, 1, ex=31_536_000),
    "an empty string": lambda client, key: client.set(key, ""),
    "garbage": lambda client, key: client.set(key, b"\xff\x00\xfe"),
    "a list": lambda client, key: client.rpush(key, *range(500)),
    "a hash": lambda client, key: client.hset(key, "open_until", "9" * 30),
    "a set": lambda client, key: client.sadd(key, "x"),
}


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("key", [kicks.ASKED, kicks.KICK])
def test_any_value_in_a_kicks_key_does_not_stop_the_tick(memory: redis.Redis, key: str, strange: str) -> None:
    STRANGE[strange](memory, key)
    with ticking(app):
        assert_ticks_come()


@pytest.mark.parametrize("strange", STRANGE)
def test_kicks_wake_a_worker_again_after_the_next_dispatch(memory: redis.Redis, strange: str) -> None:
    STRANGE[strange](memory, kicks.ASKED)
    STRANGE[strange](memory, kicks.KICK)
    with ticking(app, tick=60):
        # Given a dispatch has begun, and whoever waits has seen what stands there
        kicks.end_reservation()
        eventually(lambda: not memory.exists(kicks.KICK, kicks.ASKED) or dispatches(), what="nothing strange there")
        broker.purge("sagas.dispatch")
        kicks.end_reservation()
        # When
        kicks.kick()
        # Then
        eventually(dispatches, what="a dispatch that was kicked")


def test_two_kicks_ask_for_one_dispatch_until_it_begins(memory: redis.Redis) -> None:
    with redis_at(URL, tick=60):
        first = kicks.try_reserve_dispatch()
        assert first is not None
        assert kicks.try_reserve_dispatch() is None
        kicks.end_reservation()
        assert kicks.try_reserve_dispatch() is not None


# -- What may become of Redis ---------------------------------------------------------------------------------


def standing_still(memory: redis.Redis, stack: ExitStack) -> None:
    stack.enter_context(servers.standing_still("redis"))


def full(memory: redis.Redis, stack: ExitStack) -> None:
    memory.config_set("maxmemory", 1)
    stack.callback(memory.config_set, "maxmemory", 0)


def read_only(memory: redis.Redis, stack: ExitStack) -> None:
    memory.replicaof("127.0.0.1", "1")
    stack.callback(memory.replicaof, "NO", "ONE")


def changed_password(memory: redis.Redis, stack: ExitStack) -> None:
    password = str(memory.config_get("requirepass")["requirepass"])
    memory.config_set("requirepass", "another")
    stack.callback(memory.config_set, "requirepass", password)
    for other in memory.client_list():
        if int(other["id"]) != memory.client_id():
            memory.client_kill_filter(_id=other["id"])


@pytest.mark.parametrize("trouble", [standing_still, full, read_only, changed_password])
def test_a_failing_redis_does_not_stop_the_tick(
    memory: redis.Redis, trouble: Callable[[redis.Redis, ExitStack], None]
) -> None:
    with ticking(app), ExitStack() as stack:
        trouble(memory, stack)
        assert_ticks_come()
        # And nobody who kicks meets an error
        kicks.kick()
        kicks.end_reservation()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that answers this to whatever it is asked; give its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                opened.append(connection)
                threading.Thread(target=answer_all, args=(connection,), daemon=True).start()

        def answer_all(connection: socket.socket) -> None:
            try:
                while connection.recv(65_536):
                    if not answer:
                        connection.close()
                        return
                    connection.sendall(answer)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in opened:
                connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"-MOVED 1 127.0.0.1:1\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        b"-NOPERM this user has no permissions\r\n",
        b"-CLUSTERDOWN Hash slot not served\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff\xfe",
        b"",
    ],
    ids=["moved", "loading", "no password", "wrong password", "not allowed", "cluster down", "HTTP", "noise", "closed"],
)
def test_any_answer_of_redis_does_not_stop_the_tick(answer: bytes) -> None:
    with answering(answer) as url, ticking(app, url=url):
        assert_ticks_come()
        kicks.kick()
        kicks.end_reservation()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:none/0", "redis://nowhere.invalid:6379/0", "unix:///nowhere"])
def test_an_unreachable_redis_does_not_stop_the_tick(url: str) -> None:
    with ticking(app, url=url):
        assert_ticks_come()
        kicks.kick()


# -- Who cannot publish ---------------------------------------------------------------------------------------


def test_workers_that_have_lost_rabbitmq_leave_the_kicks_to_one_that_has_not(memory: redis.Redis) -> None:
    # Given three of them, and no tick for a minute
    lost: list[Celery] = []
    for number in range(3):
        lost.append(Celery(f"lost-{number}", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False))
    with ticking(*lost, tick=60) as tickers:
        # When there is something to do, which each of them hears of, as long as it believes that it can publish
        kicks.kick()
        eventually(lambda: not any(ticker.publishes.is_set() for ticker in tickers), what="all know that they cannot")

        # Then none keeps the kick or the reservation
        eventually(lambda: memory.exists(kicks.KICK) and not memory.exists(kicks.ASKED), what="both given back")

        # And one that can publish answers this kick and the next, each of them at once
        well = Ticker(app)
        well.start()
        try:
            for _ in range(3):
                eventually(dispatches, what="a dispatch")
                broker.purge("sagas.dispatch")
                kicks.end_reservation()
                kicks.kick()
        finally:
            well.stopping.set()
            well.kicked.set()
            well.join(30)


def test_a_reservation_is_released_only_by_its_owner(memory: redis.Redis) -> None:
    with redis_at(URL, tick=60):
        mine = kicks.try_reserve_dispatch()
        kicks.end_reservation()
        another: Any = kicks.try_reserve_dispatch()
        kicks.give_back(mine)
        assert memory.get(kicks.ASKED) == another.encode()
        kicks.give_back(another)
        assert memory.get(kicks.ASKED) is None
