"""Commands that are told to Redis: nobody waits for a reply, whatever Redis does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.test import override_settings

from sagas import runtime
from sagas.redis import client as redis_client
from tests.support.awaiting import eventually

URL: str = settings.SAGAS["REDIS_URL"]


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    runtime.own.one_way = None
    runtime.memory.redis_paused_until = 0.0
    yield
    runtime.own.one_way = None
    runtime.memory.redis_paused_until = 0.0


@pytest.fixture
def memory() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(URL) as client:
        yield client


def tell(name: str) -> None:
    redis_client.tell(redis_client.pack((b"INCR", name.encode()), (b"EXPIRE", name.encode(), b"60")))


def test_commands_are_carried_out(memory: redis.Redis) -> None:
    name = f"told-{uuid4().hex}"
    for _ in range(3):
        tell(name)
    eventually(lambda: memory.get(name) == b"3", what="three times")
    assert not redis_client.is_paused()


def test_an_error_is_not_told(memory: redis.Redis) -> None:
    name = f"told-{uuid4().hex}"
    memory.lpush(name, "a list")
    memory.expire(name, 60)
    # When Redis refuses a command
    tell(name)
    # Then those behind it are carried out
    other = f"told-{uuid4().hex}"
    tell(other)
    eventually(lambda: memory.get(other) == b"1", what="told")
    assert not redis_client.is_paused()


def test_after_its_connection_was_closed_nothing_is_lost(memory: redis.Redis) -> None:
    name = f"told-{uuid4().hex}"
    tell(name)
    eventually(lambda: memory.get(name) == b"1", what="told")
    # Given that Redis has closed all connections, as at a restart
    memory.client_kill_filter(_type="normal", skipme=True)
    # When Redis is told on, not in the same moment, then it is told on another one
    assert runtime.own.one_way is not None
    runtime.own.one_way._sent_at -= redis_client.SURE
    tell(name)
    eventually(lambda: memory.get(name) == b"2", what="told again")
    assert not redis_client.is_paused()


def test_a_redis_that_says_nothing_holds_nobody_up() -> None:
    # Given something that accepts connections, and never reads or writes
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        with override_settings(SAGAS={**settings.SAGAS, "REDIS_URL": url}):
            told = threading.Thread(target=tell, args=("x",))
            told.start()
            # Then it is told, or left alone after a moment
            told.join(10)
            assert not told.is_alive()


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:1/0"])
def test_without_a_redis_nothing_is_told(url: str | None) -> None:
    with override_settings(SAGAS={**settings.SAGAS, "REDIS_URL": url}):
        tell("x")


def test_a_thread_that_tells_in_the_middle_of_telling_does_not_wait_for_itself(
    memory: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a signal handler, or a destructor, that tells something while a packet is sent
    outer, inner = f"told-{uuid4().hex}", f"told-{uuid4().hex}"
    tell(outer)
    assert runtime.own.one_way is not None
    connection = runtime.own.one_way._connection
    send = connection.send_packed_command

    def interrupted(packets: list[bytes], **more: bool) -> None:
        tell(inner)
        send(packets, **more)

    monkeypatch.setattr(connection, "send_packed_command", interrupted)
    # When
    tell(outer)
    # Then the packet is whole, and only what was told in its middle may be lost
    eventually(lambda: memory.get(outer) == b"2", what="told")
    assert not memory.exists(inner)
