"""The ticker of a worker's main process: it asks for a dispatch on every tick, and on kicks in between.

Whatever Redis does or says, a tick comes: it goes by this process's own clock, and neither waits for Redis nor asks it.
A thread of its own waits for kicks. While RabbitMQ takes nothing from this process, it leaves the kicks to others, and
gives back what it has taken: a kick, and the reservation of a dispatch.
"""

from __future__ import annotations

import logging
import threading
import time

from celery import Celery

from sagas import runtime
from sagas.conf import config
from sagas.db import describe_error
from sagas.messaging.publisher import ask_for_dispatch
from sagas.redis import kicks

logger = logging.getLogger(__name__)


class Ticker(threading.Thread):
    """Asks for a dispatch on every kick, and on every tick, kicked or not."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="sagas-ticker", daemon=True)
        self.app = app
        self.stopping = threading.Event()
        self.kicked = threading.Event()
        #: Whether RabbitMQ took the last message of this process.
        self.publishes = threading.Event()
        self.publishes.set()
        self._ticked_at = time.monotonic()
        #: When RabbitMQ last took the wish for a dispatch of a tick.
        self.asked_at = self._ticked_at

    def run(self) -> None:
        """Go on until the worker shuts down, whatever happens to Redis and RabbitMQ."""
        if config().redis_url:
            threading.Thread(target=self._listen, name="sagas-kicks", daemon=True).start()
        while not self.stopping.is_set():
            self.kicked.wait(max(0.0, self._ticked_at + config().tick - time.monotonic()))
            if self.stopping.is_set():
                return
            try:
                self.beat()
            except Exception:
                # None is expected. Without its ticker a worker would find nothing more by itself.
                logger.exception("sagas: the ticker met an error, and goes on")
                self.stopping.wait(config().tick)

    def beat(self) -> None:
        """Ask for a dispatch: for a kick, or since a tick is over."""
        kicked = self.kicked.is_set()
        self.kicked.clear()
        # Kicks may come without a pause: the tick, which also finds lapsed leases, must not wait for one.
        tick = time.monotonic() - self._ticked_at >= config().tick
        reservation = None if tick else kicks.try_reserve_dispatch()
        if not tick and reservation is None:
            return
        try:
            ask_for_dispatch(self.app, tick=tick)
        except Exception as error:
            self.publishes.clear()
            logger.warning("sagas: no dispatch could be asked for (%s); trying again", describe_error(error))
            if kicked or reservation:
                kicks.give_back(reservation)
            # The next try is a tick.
            self._ticked_at = time.monotonic() - config().tick
            self.stopping.wait(config().tick)
            return
        self.publishes.set()
        if tick:
            self._ticked_at = self.asked_at = time.monotonic()

    def _listen(self) -> None:
        while not self.stopping.is_set():
            if not self.publishes.wait(config().tick):
                continue
            if not kicks.wait(config().tick):
                continue
            if self.publishes.is_set() and not self.stopping.is_set():
                self.kicked.set()
            else:
                # It came while RabbitMQ was being lost, or the worker stopped: another shall have it.
                kicks.kick()


def since() -> float | None:
    """Seconds since this process last asked for a dispatch on a tick; ``None`` if it has no ticker that lives."""
    alive = [ticker for ticker in runtime.own.tickers if ticker.is_alive()]
    return min((time.monotonic() - ticker.asked_at for ticker in alive), default=None)


def start(app: Celery) -> None:
    """Start this process's ticker, unless it runs already."""
    if not any(ticker.is_alive() for ticker in runtime.own.tickers):
        ticker = Ticker(app)
        runtime.own.tickers.append(ticker)
        ticker.start()


def stop() -> None:
    """Have it ask for nothing more."""
    for ticker in runtime.own.tickers:
        ticker.stopping.set()
        # It must not wait out its tick.
        ticker.kicked.set()
