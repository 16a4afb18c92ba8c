"""The client of Redis: it answers at once, or this process does without it for a moment.

Redis may postpone work, and never denies it. After a failure nobody in this process asks Redis for a while: what Redis
knows saves work, and is never needed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sagas import runtime
from sagas.conf import config
from sagas.metrics import catalogue
from sagas.metrics.instruments import count_now

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that Redis may take to answer, and for which it is not asked after it did not.
TIMEOUT = 0.1
PAUSE = 2.0
#: Seconds for which a connection without replies is kept, and for which it is not looked at after a packet.
LASTS, SURE = 60.0, 0.2
#: Seconds between two lines of the log which say that Redis does not answer.
SAY_EVERY = 60.0


def errors() -> tuple[type[Exception], ...]:
    """What a client raises for whatever is wrong with Redis or the network; ``ValueError``: it cannot read the URL."""
    try:
        import redis  # noqa: PLC0415 - see client()
    except ImportError:
        return ImportError, OSError, ValueError
    return redis.RedisError, OSError, ValueError


def client(timeout: float = TIMEOUT) -> Redis | None:
    """Return the client of this process for answers within ``timeout`` seconds; ``None`` where no Redis is set."""
    url = config().redis_url
    if not url:
        return None
    clients = runtime.own.redis
    if (url, timeout) not in clients:
        # Where no Redis is set, redis-py need not be installed, nor does it take a sixth of the time of a start.
        try:
            import redis  # noqa: PLC0415
        except ImportError as error:
            msg = "redis-py is not installed: pip install 'django-sagas[redis]'"
            raise ImportError(msg) from error

        clients[url, timeout] = redis.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=TIMEOUT, health_check_interval=30, retry=None
        )
    return clients[url, timeout]


def ask(work: Callable[[Redis], T], timeout: float = TIMEOUT) -> T | None:
    """Ask Redis something.

    Args:
        work: asks Redis, and returns its answer.
        timeout: seconds that one command of it may take.

    Returns:
        The answer; ``None`` where no Redis is set, where it does not answer or refuses, and for a moment after that.
    """
    if is_paused():
        return None
    try:
        redis_client = client(timeout)
        if redis_client is None:
            return None
        answer = work(redis_client)
    except errors() as error:
        _pause(error)
        return None
    if runtime.memory.redis_told_at > -math.inf:
        runtime.memory.redis_told_at = -math.inf
        logger.info("sagas: Redis answers again")
    return answer


class OneWay:
    """A connection for commands whose replies nobody needs: Redis is told to send none, so nobody waits for them.

    It is opened anew once in ``LASTS`` seconds. So a Redis that is gone without a word is noticed, and what a proxy
    replies that knows no ``CLIENT REPLY OFF`` does not heap up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None
        self._made_for: Redis | None = None
        self._until = self._sent_at = -math.inf

    def send(self, made_for: Redis, packet: bytes) -> None:
        """Send commands; not where another sender holds the connection for longer than Redis may take.

        The other may even be this thread, where a signal handler or a destructor sends, too.
        """
        if not self._lock.acquire(timeout=TIMEOUT):
            return
        try:
            if not self._is_open(made_for):
                self._open(made_for)
            self._connection.send_packed_command([packet], check_health=False)
        except errors():
            self._until = -math.inf
            raise
        finally:
            self._lock.release()

    def _is_open(self, made_for: Redis) -> bool:
        now, sent_at = time.monotonic(), self._sent_at
        if now >= self._until or self._made_for is not made_for:
            return False
        self._sent_at = now
        if now < sent_at + SURE:
            return True
        try:
            # A server that is gone has closed the connection, and the first packet after that would be lost in silence.
            self._connection.can_read()
        except errors():
            return False
        return True

    def _open(self, made_for: Redis) -> None:
        self._until = -math.inf
        if self._connection is not None:
            self._connection.disconnect()
        self._made_for = made_for
        self._connection = made_for.connection_pool.make_connection()
        self._connection.connect()
        self._connection.send_command("CLIENT", "REPLY", "OFF", check_health=False)
        self._until = time.monotonic() + LASTS


def pack(*commands: Sequence[bytes]) -> bytes:
    """Write commands as Redis reads them."""
    return b"".join(
        b"*%d\r\n%b" % (len(command), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in command))
        for command in commands
    )


def tell(packet: bytes) -> bool:
    """Send commands that are packed, and wait for nothing; return whether they were sent.

    They may be lost all the same, and nobody learns what came of them.
    """
    if is_paused():
        return False
    try:
        redis_client = client()
        if redis_client is None:
            return False
        _one_way(runtime.own).send(redis_client, packet)
    except errors() as error:
        _pause(error)
        return False
    return True


def _one_way(own: runtime.Own) -> OneWay:
    if own.one_way is None:
        with own.lock:
            if own.one_way is None:
                own.one_way = OneWay()
    return own.one_way


def is_paused() -> bool:
    """Whether Redis is not asked now, because it did not answer a moment ago."""
    return time.monotonic() < runtime.memory.redis_paused_until


def said(error: Exception) -> str:
    """What went wrong, in one line without secrets: a part of a URL that cannot be read may be its password."""
    if isinstance(error, ValueError):
        return "its URL cannot be read"
    return f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".")


def _pause(error: Exception) -> None:
    memory, now = runtime.memory, time.monotonic()
    memory.redis_paused_until = now + PAUSE
    count_now([(catalogue.REDIS_AWAY, 1, {})])
    if now - memory.redis_told_at >= SAY_EVERY:
        memory.redis_told_at = now
        logger.warning("sagas: Redis does not do its part (%s); the database does its work", said(error))
