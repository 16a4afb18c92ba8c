"""What a worker's consumer outlives: channels that RabbitMQ closes, and a RabbitMQ that takes no events.

Celery takes an error of a channel for the end. But RabbitMQ closes one for what is nobody's fault here: a delivery that
was not acknowledged in time (``consumer_timeout``), a queue that was deleted, a lock that another holds, a right that
was taken away for a moment. A worker that was ready once connects anew, and goes on.
"""

from __future__ import annotations

import logging
from time import monotonic, sleep
from typing import Any

from amqp import RecoverableConnectionError
from celery.worker.state import maybe_shutdown
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

#: Seconds before a worker connects anew whose channel was closed: doubled each time, up to the second figure, and
#: forgotten after the third.
PAUSE, LONGEST, FORGOTTEN = 0.5, 30.0, 60.0


class ChannelClosed(RecoverableConnectionError):
    """RabbitMQ has closed the channel on which this worker consumes."""


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
        """Without mingle, which publishes on the connection that consumes: under an alarm RabbitMQ reads that no more.

        And without gossip, which is of no use to the engine, and needs mingle.
        """
        super().__init__(*args, **{**options, "without_mingle": True, "without_gossip": True})
        self._was_ready = False
        self._loop = self.loop
        self.loop = self._endure

    def _endure(self, *args: Any) -> None:
        """Celery's loop, which ends by a lost connection where it was by a closed channel."""
        try:
            self._loop(*args)
        except self.channel_errors as error:
            if not self._was_ready:
                raise
            raise ChannelClosed(str(error)) from error

    def on_ready(self) -> None:
        """From now on a channel that is closed is no mistake of whoever has started this worker."""
        super().on_ready()  # type: ignore[misc]  # mixed into a consumer
        self._was_ready = True
        # For what happens outside the loop, while it connects anew.
        if not set(self.channel_errors) <= set(self.connection_errors):
            self.connection_errors = (*self.connection_errors, *self.channel_errors, OperationalError)

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Give up the connection as Celery does; after an error of a channel, not again at once."""
        super().on_connection_error_after_connected(exc)  # type: ignore[misc]  # mixed into a consumer
        self._pause_after(exc)

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Say so, as Celery does; where RabbitMQ refuses, not again at once."""
        super().on_connection_error_before_connected(exc)  # type: ignore[misc]  # mixed into a consumer
        self._pause_after(exc)

    def connection_for_write(self, url: Any = None, heartbeat: Any = None) -> Any:
        """Connect for events. None of them is worth waiting for its confirm: the main loop would stand still."""
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
