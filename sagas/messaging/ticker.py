"""The ticker of a worker's main process: it asks for a dispatch on every tick, and on kicks in between.

Kicks that follow each other closely are gathered; see ``sagas.delivery.gathering``.

A tick goes by this process's own clock, and never waits for Redis. A second thread waits for kicks. While RabbitMQ
takes no messages from this process, the ticker leaves kicks to other processes, and gives back a kick or a reservation
that it has taken.
"""

from __future__ import annotations

import logging
import threading
import time

from celery import Celery

from sagas import runtime
from sagas.conf import config
from sagas.db import describe_error
from sagas.delivery.gathering import Gathering
from sagas.delivery.ticks import Ticks
from sagas.messaging.handover import hand_over
from sagas.messaging.publisher import ask_for_dispatch
from sagas.redis import kicks

logger = logging.getLogger(__name__)


class Ticker(threading.Thread):
    """Asks for a dispatch on every tick, and on kicks."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="sagas-ticker", daemon=True)
        self.app = app
        self.stopping = threading.Event()
        self.kicked = threading.Event()
        #: Whether RabbitMQ took the last message of this process.
        self.publishes = threading.Event()
        self.publishes.set()
        self._ticks = Ticks()
        self._gathering = Gathering()
        #: When a dispatch was last published on a tick.
        self.asked_at = time.monotonic()

    def run(self) -> None:
        """Ask for dispatches until the worker shuts down, whatever happens to Redis and RabbitMQ."""
        if config().redis_url:
            threading.Thread(target=self._listen, name="sagas-kicks", daemon=True).start()
        while not self.stopping.is_set():
            if self.kicked.wait(self._ticks.seconds_left):
                self.stopping.wait(self._gathering.seconds_left)
            if self.stopping.is_set():
                return
            try:
                self.beat()
            except Exception:
                # Not expected. Without a ticker this worker would ask for no more dispatches.
                logger.exception("sagas: the ticker met an error, and goes on")
                self.stopping.wait(config().tick)

    def beat(self) -> None:
        """Ask for a dispatch, because of a kick or because a tick is over."""
        kicked = self.kicked.is_set()
        self.kicked.clear()
        # Kicks may come without a pause. The tick, which also finds lapsed leases, must not wait for one.
        tick = self._ticks.is_due
        if not tick and hand_over():
            self._gathering.done()
            return
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
            self._ticks.hasten()
            self.stopping.wait(config().tick)
            return
        self.publishes.set()
        if kicked:
            # A tick that nobody has kicked mostly finds nothing: a run that comes right behind it comes alone.
            self._gathering.done()
        if tick:
            self._ticks.done()
            self.asked_at = time.monotonic()

    def _hand_over_at_once(self) -> bool:
        """Hand over a kick from the thread that has got it, which saves a run that comes alone the change of threads.

        Returns:
            Whether that was done: not while kicks are gathered, when a tick is due, or where no child is free.
        """
        if self._gathering.seconds_left or self._ticks.is_due or not hand_over():
            return False
        self._gathering.done()
        return True

    def _listen(self) -> None:
        while not self.stopping.is_set():
            if not self.publishes.wait(config().tick):
                continue
            if not kicks.wait(config().tick):
                continue
            if self.publishes.is_set() and not self.stopping.is_set():
                if not self._hand_over_at_once():
                    self.kicked.set()
            else:
                # RabbitMQ has gone away, or the worker is stopping: another process gets the kick.
                kicks.kick()


def seconds_since_tick() -> float | None:
    """Seconds since this process last asked for a dispatch on a tick; ``None`` if no ticker runs."""
    alive = [ticker for ticker in runtime.own.tickers if ticker.is_alive()]
    return min((time.monotonic() - ticker.asked_at for ticker in alive), default=None)


def start(app: Celery) -> None:
    """Start this process's ticker, unless one runs already."""
    if not any(ticker.is_alive() for ticker in runtime.own.tickers):
        ticker = Ticker(app)
        runtime.own.tickers.append(ticker)
        ticker.start()


def stop() -> None:
    """Stop this process's ticker."""
    for ticker in runtime.own.tickers:
        ticker.stopping.set()
        # Wakes the ticker, which would wait until the end of its tick.
        ticker.kicked.set()
