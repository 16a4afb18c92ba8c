"""Announcements through Redis that runs are in another state. They may be lost, and may come for nothing.

Whoever waits for runs also asks the database once a second. So without Redis, and whatever comes through it, a waiting
client learns of a change a second later at most.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sagas.redis import client as redis_client

if TYPE_CHECKING:
    from redis.client import PubSub

logger = logging.getLogger(__name__)

#: The channel. A message is an array of ids as PostgreSQL writes it: ``{id,id,…}``.
CHANNEL = "sagas:changes"
#: The most ids of one message: a cohort has fewer.
_MOST = 10_000


def announce(ids: str) -> None:
    """Say that these runs are in another state, which is committed. Nobody waits for Redis here.

    Args:
        ids: an array of ids as PostgreSQL writes it.
    """
    redis_client.tell(redis_client.pack((b"PUBLISH", CHANNEL.encode(), ids.encode())))


class Announcements:
    """A subscription of this process. It is made, and made anew after a failure, when it is first listened to."""

    def __init__(self) -> None:
        self._subscription: PubSub | None = None

    def listen(self, seconds: float, pause: Callable[[float], object]) -> set[UUID]:
        """Wait for the next announcement, ``seconds`` at most, and return the ids of its runs.

        Args:
            seconds: how long to wait.
            pause: how to wait for so many seconds where no Redis is set, or where it does not answer.
        """
        subscribed = redis_client.ask(self._subscribe)
        if not subscribed or self._subscription is None:
            pause(seconds)
            return set()
        subscription = self._subscription
        # Longer than Redis' own time-out: silence is no failure.
        message = redis_client.ask(lambda _: subscription.get_message(timeout=seconds) or {})
        if message is None:
            self.close()
            return set()
        return _read(message.get("data"))

    def _subscribe(self, client: Any) -> bool:
        if self._subscription is None:
            subscription = client.pubsub(ignore_subscribe_messages=True)
            try:
                subscription.subscribe(CHANNEL)
            except BaseException:
                subscription.close()
                raise
            self._subscription = subscription
        return True

    def close(self) -> None:
        """End the subscription."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                subscription.close()
            except redis_client.errors():
                logger.debug("sagas: a subscription ended with an error", exc_info=True)


def _read(data: object) -> set[UUID]:
    """The ids of a message; none if it is not one of ours: anyone may publish there."""
    if not isinstance(data, bytes) or not (data.startswith(b"{") and data.endswith(b"}")):
        return set()
    words = data[1:-1].decode("ascii", "replace").split(",")
    if len(words) > _MOST:
        return set()
    try:
        return {UUID(word) for word in words if word}
    except ValueError:
        return set()
