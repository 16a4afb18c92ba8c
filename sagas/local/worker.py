"""One process that claims due runs and performs their steps, one cohort after the other, each step its own commit.

A cohort goes through all links of its chain here. A run whose lease has lapsed may have ended the process that had it:
it is claimed alone and performed alone, and after ``SAGAS["DELIVERIES"]`` such deaths its operation is given up as a
fault. So no other run is ever counted for what it did.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db import Error, close_old_connections, connections

from sagas import hooks, runtime, store
from sagas.conf import config
from sagas.db import ConnectionLost, describe_error, is_transient
from sagas.decisions.messages import Chain, Message
from sagas.delivery.carrier import Carrier, carry_or_leave
from sagas.delivery.delivering import deliver_chain
from sagas.delivery.dispatching import FEW, Parts, publish_burn_notices, publish_notices, settle_decisions
from sagas.delivery.gathering import Gathering
from sagas.delivery.heartbeat import Heartbeat
from sagas.delivery.ticks import Ticks
from sagas.engine import breakers
from sagas.engine.claiming import claim
from sagas.engine.outside import remote_threads
from sagas.local import listening
from sagas.local.activity import Activity
from sagas.local.carrier import LocalCarrier, Waiting
from sagas.observability import burning, service_levels
from sagas.retention import pruning

logger = logging.getLogger(__name__)

#: Seconds between two looks into the database of an idle process: the shortest after work or a wake-up, then longer.
SOON = 0.02
RARELY = 1.0
#: Seconds for which a process that is told to end waits for its remote calls; the parent grants it so many.
DRAIN = 5.0
#: Seconds of rest after an error that is no run's, such as a database that is away.
REST = 1.0
#: What a process writes to its parent when it has nothing to do, and what wakes it.
IDLE = b"i"
WAKE = b"w"


class Worker:
    """Claims and performs until it is told to stop.

    Args:
        parent: the socket to the parent, by which it wakes this process; the end of the parent ends this process.
        name: for the log.
        queues: those whose steps it performs; of all if there are none.
    """

    def __init__(self, parent: socket.socket, name: str, queues: Collection[str] = ()) -> None:
        self._queues = tuple(queues)
        #: Runs whose next steps are at other queues.
        self._others: set[UUID] = set()
        self._parent = parent
        self._parent.setblocking(False)
        self._name = name
        self._woken, self._wake_end = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake_end, False)
        self._waiting = Waiting(self._wake)
        self._stopping = False
        self._pause = SOON
        self._ticks = Ticks()
        self._ticks.hasten()
        self._gathering = Gathering()
        self._activity = Activity(name, self._queues or config().queues)
        self._heartbeat = Heartbeat(name, self._activity.look)

    def run(self) -> None:
        """Work until SIGTERM, or until the parent has ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._heartbeat.start()
        while not self._stopping:
            try:
                busy = self._round()
            except Exception as error:
                self._rest(error)
                continue
            self._pause = SOON if busy else min(self._pause * 2, RARELY)
            if not busy and not self._stopping:
                self._idle()
        self._end()

    # -- One round --------------------------------------------------------------------------------------------------

    def _round(self) -> bool:
        """Do what is due once; return whether anything was."""
        self._gather()
        self._activity.begin()
        busy = False
        if self._ticks.is_due:
            self._ticks.done()
            self._tick()
        elif runtime.memory.are_decisions_open:
            # A cohort each time, so that other runs have their turn in between.
            busy = settle_decisions(self._carrier)
        busy = self._perform_waiting() or busy
        if self._stopping:
            return busy
        # No more than what is performed next: what waits in a process that dies waits for its lease.
        claimed = claim(limit=config().cohort, queues=self._queues)
        if 0 < claimed.count <= FEW:
            self._gathering.done()
        self._carry(claimed.messages)
        busy = self._perform_waiting() or claimed.count > 0 or busy
        return listening.give_events(self._begin_event) or busy

    def _begin_event(self) -> bool:
        """Say whether to stop before the next event."""
        self._activity.begin()
        return self._stopping

    def _gather(self) -> None:
        """Wait for a little more work where it comes in small pieces all the time."""
        while not self._stopping and (left := self._gathering.seconds_left) > 0:
            self._wait(left)

    def _tick(self) -> None:
        """What each tick does besides. A part that breaks does not stop the others."""
        self._wait(0)  # The parent may have ended, and a busy process would not notice.
        self._activity.tick()
        parts = Parts()
        parts.do(partial(settle_decisions, self._carrier))
        parts.do(self._take_up_lapsed)
        parts.do(partial(publish_notices, self._carrier))
        parts.do(breakers.prune_samples)
        parts.do(service_levels.count_on_tick)
        parts.do(burning.judge_on_tick)
        parts.do(partial(publish_burn_notices, self._carrier))
        parts.do(hooks.call_on_tick)
        parts.do(pruning.prune_on_tick)
        if parts.failure is not None:
            if parts.is_over:
                raise parts.failure
            logger.error("sagas: a part of the tick broke, and the others go on", exc_info=parts.failure)

    def _take_up_lapsed(self) -> None:
        """Perform the runs whose lease has lapsed, each alone; no longer than a tick, for new runs wait meanwhile."""
        until = time.monotonic() + config().tick
        for _ in range(config().reclaim):
            claimed = claim(lapsed=True, limit=1, queues=self._queues)
            if not claimed.count:
                return
            chains = [message for message in claimed.messages if isinstance(message, Chain)]
            self._carry([message for message in claimed.messages if not isinstance(message, Chain)])
            # Of the branches of a fork that are ours the first is performed first: the others have ended nothing.
            first = next((one for one in chains if not self._queues or one.links[0].queue in self._queues), None)
            for chain in chains:
                if chain is first:
                    self._perform(chain, deaths=chain.interruptions)
                else:
                    self._perform(replace(chain, interruptions=0))
            self._perform_waiting()
            if self._stopping or time.monotonic() > until:
                return

    # -- Performing -------------------------------------------------------------------------------------------------

    def _perform_waiting(self) -> bool:
        busy = False
        while not self._stopping and (chain := self._waiting.take()) is not None:
            self._perform(chain)
            busy = True
        self._hand_over()
        return busy

    def _hand_over(self) -> None:
        """Let others claim the runs whose next steps are theirs. If this process dies before, their leases lapse."""
        ids, self._others = self._others, set()
        if ids:
            store.claims.hand_over(sorted(ids))
            store.workers.kick()

    def _perform(self, chain: Chain, *, deaths: int = 0) -> None:
        """Perform a chain, also to its end when this process is told to stop: its runs would wait for their lease."""
        self._activity.begin(delivery=True)
        try:
            deliver_chain(
                chain,
                deaths=deaths,
                worker=self._name,
                carriers=self._carrier,
                queues=self._queues,
                leave=self._others.update,
            )
        except Exception as error:
            if _is_systemic(error):
                raise
            # The leases of these runs bring them back, each alone.
            first = chain.links[0]
            logger.exception("sagas: %d run(s) at %s.%s wait for their lease", len(chain.ids), first.saga, first.step)

    def _carry(self, messages: list[Message]) -> None:
        carry_or_leave(messages, self._carrier)

    def _carrier(self) -> Carrier:
        return LocalCarrier(self._waiting)

    # -- Waiting ----------------------------------------------------------------------------------------------------

    def _idle(self) -> None:
        """Wait for a wake-up, for what is due next, or until it is time for another look."""
        due = store.claims.next_due()
        # What is due, and was not claimed, is another process's, or waits for the tick.
        waits = [self._pause, due if due else self._pause, self._waiting.seconds_left()]
        waits.append(self._ticks.seconds_left)
        self._say_idle()
        if self._wait(min(wait for wait in waits if wait is not None)):
            self._pause = SOON

    def _wait(self, seconds: float) -> bool:
        """Wait; return whether somebody has woken this process."""
        if seconds:
            self._activity.rest()
        sources: list[Any] = [self._parent, self._woken]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._woken in ready:
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
        if self._parent in ready:
            with suppress(BlockingIOError):
                if not self._parent.recv(4096):
                    logger.error("sagas: the parent has ended, and this process ends with it")
                    self._stopping = True
        return bool(ready)

    def _say_idle(self) -> None:
        # Where the parent does not read, it has its bytes already, or its end is noticed by the read.
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._parent.send(IDLE)

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_end, b".")

    def _stop(self, *_: object) -> None:
        self._stopping = True
        self._wake()

    def _rest(self, error: Exception) -> None:
        if _is_systemic(error):
            logger.warning("sagas: the database does not do its part: %s", describe_error(error))
        else:
            logger.exception("sagas: this process met an error, and goes on")
        for each in connections.all(initialized_only=True):
            with suppress(Error):
                each.close()
        if not self._stopping:
            self._wait(REST)

    def _end(self) -> None:
        """Give back the leases of what was not begun, and wait for the answers of remote calls."""
        try:
            if not remote_threads.drain_remote_calls(DRAIN):
                logger.warning("sagas: remote calls were not answered in time; their leases will tell")
            if ids := self._waiting.clear():
                store.claims.release_leases(ids)
        except Exception as error:
            logger.warning("sagas: what was claimed and not begun waits for its lease: %s", describe_error(error))
        self._heartbeat.stop()
        close_old_connections()


def _is_systemic(error: BaseException) -> bool:
    return isinstance(error, ConnectionLost) or (isinstance(error, Error) and is_transient(error))
