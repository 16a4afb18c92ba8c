"""Keeps a worker's consumer alive when RabbitMQ closes its channel, or takes no events.

Celery ends a worker on an error of its channel. But RabbitMQ also closes a channel for a delivery that was not
acknowledged in time (``consumer_timeout``), a deleted queue, a lock that another connection holds, or a permission that
was taken away for a moment. A worker that was ready before connects again, and goes on.
"""

from __future__ import annotations

import logging
from time import monotonic, sleep
from typing import Any

from amqp import RecoverableConnectionError
from celery.worker.state import maybe_shutdown
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

#: Seconds before a worker connects again after its channel was closed: the first pause, which doubles each time, and
#: the longest; and the seconds without such an error after which the next pause is the first again.
PAUSE, LONGEST, FORGOTTEN = 0.5, 30.0, 60.0


class ChannelClosed(RecoverableConnectionError):
    """RabbitMQ closed the channel of this worker's consumer."""


class Endurance:
    """Mixed into Celery's ``Consumer``."""

    app: Any
    connection: Any
    connection_errors: tuple[type[BaseException], ...]
    channel_errors: tuple[type[BaseException], ...]
    ensure_connected: Any
    loop: Any

    _closed_at = 0.0
    _pause = 0.0

    def __init__(self, *args: Any, **options: Any) -> None:
        """Leave out mingle, which publishes on the consumer's connection: under an alarm RabbitMQ does not read it.

        Gossip needs mingle, and is of no use to the engine.
        """
        super().__init__(*args, **{**options, "without_mingle": True, "without_gossip": True})
        self._was_ready = False
        self._loop = self.loop
        self.loop = self._endure

    def _endure(self, *args: Any) -> None:
        """Run Celery's loop. Report a closed channel as a lost connection."""
        try:
            self._loop(*args)
        except self.channel_errors as error:
            if not self._was_ready:
                raise
            raise ChannelClosed(str(error)) from error

    def on_ready(self) -> None:
        """From now on a closed channel does not mean that the worker was started with wrong settings."""
        super().on_ready()  # type: ignore[misc]  # mixed into a consumer
        self._was_ready = True
        # Also for errors outside the loop, while the worker connects again.
        if not set(self.channel_errors) <= set(self.connection_errors):
            self.connection_errors = (*self.connection_errors, *self.channel_errors, OperationalError)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Give up the connection as Celery does. After an error of the channel, pause."""
        super().on_connection_error_after_connected(exc)  # type: ignore[misc]  # mixed into a consumer
        self._pause_after(exc)

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Log it as Celery does. If RabbitMQ refused, pause."""
        super().on_connection_error_before_connected(exc)  # type: ignore[misc]  # mixed into a consumer
        self._pause_after(exc)

    def connection_for_write(self, url: Any = None, heartbeat: Any = None) -> Any:
        """Connect for Celery's events, without confirms: the main loop would wait for them."""
        options = {"confirm_publish": False}
        return self.ensure_connected(
            self.app.connection_for_write(url=url, heartbeat=heartbeat, transport_options=options)
        )

    def _pause_after(self, exc: BaseException) -> None:
        if not isinstance(exc, (ChannelClosed, *self.channel_errors)):
            return
        now = monotonic()
        again = now - self._closed_at < FORGOTTEN
        self._pause = min(LONGEST, self._pause * 2) if again and self._pause else PAUSE
        self._closed_at = now
        logger.warning("sagas: RabbitMQ closed a channel; connecting anew in %g s: %s", self._pause, exc)
        until = now + self._pause
        while monotonic() < until:
            maybe_shutdown()
            sleep(0.1)
