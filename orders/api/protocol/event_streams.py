"""Answers that are streams of server-sent events: their frame, their signs of life, and their end.

A stream holds a connection, and neither a thread nor one of the database (``deferred``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.db import Error, close_old_connections, connections
from structlog.contextvars import bind_contextvars

from orders.api.protocol.deferred import DeferredResponse, Piece, Watch
from orders.errors import OrderNotFound
from sagas.db import describe_error

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
#: Seconds after which a stream ends: its client opens it anew.
LASTS = 10 * 60.0
#: Seconds after which something is sent in any case, so that proxies do not close the connection.
HEARTBEAT = 15.0
#: Milliseconds after which a browser opens a broken stream anew; every stream begins with it.
RETRY = 2000
BEGIN = f"retry: {RETRY}\n\n".encode()


class EventStreamResponse(DeferredResponse):
    """A stream of events. A subclass says what it watches, and what is new."""

    def __init__(self) -> None:
        super().__init__(content_type=MEDIA_TYPE, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._sent_at = time.monotonic()
        self._end = self._sent_at + LASTS
        self._has_begun = False

    def watch(self, go_on: Callable[[], None]) -> Watch:
        """See ``Deferred``."""
        # Its thread has served others since.
        bind_contextvars(request_id=self.get("X-Request-ID", ""))
        close_old_connections()
        return self.watch_for(max(0.0, min(self._sent_at + HEARTBEAT, self._end) - time.monotonic()), go_on)

    def watch_for(self, seconds: float, go_on: Callable[[], None]) -> Watch:
        """Have ``go_on`` called once: when there may be news, at the latest after so many seconds."""
        raise NotImplementedError

    def news(self) -> tuple[bytes, bool]:
        """The events since the last time, and whether these are the last ones."""
        raise NotImplementedError

    def resume(self, *, over: bool) -> Piece | None:
        """See ``Deferred``: what has come since the last time."""
        try:
            with self.in_its_language():
                events, ends = self.news()
        except (Error, OrderNotFound) as error:
            # The client opens another stream, which begins behind the last event that it has got.
            logger.warning("orders: a stream of events ends early: %s", describe_error(error))
            connections.close_all()
            events, ends = b"", True
        now = time.monotonic()
        ends = ends or over or now >= self._end
        if not self._has_begun:
            self._has_begun = True
            events = BEGIN + events
        elif not events and now >= self._sent_at + HEARTBEAT:
            events = b": \n\n"
        if not events and not ends:
            return None
        self._sent_at = now
        return Piece(events, ends=ends, headers=self.heads())
