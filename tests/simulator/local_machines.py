"""The machines of a simulation without a broker: processes of ``manage.py sagas work``, each of which may die.

The engine's own ``sagas.local.worker.Worker`` runs here, one round after the other, each as an activity of the
simulation. What waits in the memory of a process is lost with it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import psycopg2
from django.db import DatabaseError, InterfaceError, connection

from sagas import runtime
from sagas.db import ConnectionLost
from sagas.decisions.messages import Chain
from sagas.errors import UnknownSaga, UnknownStep
from sagas.local import worker
from tests.simulator import outside
from tests.simulator.session import Blocked
from tests.simulator.simulation import DEPTH, Activity, Simulation, Stranded

#: Seconds between a notification and the round of a process that it wakes.
LATENCY = 0.002
#: Seconds after which a process stands before a lock again that was held.
BLOCKED = 0.05
#: Rounds without a pause after which a process is taken for one that never rests.
MOST_ROUNDS = 50


class Process(worker.Worker):
    """One process. What it would wait for, the simulation does."""

    def __init__(self, name: str, woken: Callable[[], None], queues: Sequence[str] = ()) -> None:
        self.woken = woken
        self.sockets = socket.socketpair()
        super().__init__(self.sockets[1], name, queues)
        #: What this process has learnt of runs whose next steps are at other queues.
        self._elsewhere: dict[Any, float] = {}

    def round(self, *, tick: bool) -> None:
        """Do what is due once, as ``run`` does again and again."""
        if tick:
            self._ticks.hasten()
        else:
            self._ticks.done()
        with patch.object(runtime.memory, "elsewhere", self._elsewhere):
            self._rounds()

    def _rounds(self) -> None:
        for _ in range(MOST_ROUNDS):
            if not self._round():
                return
        msg = f"it is still busy after {MOST_ROUNDS} rounds"
        raise Stranded(msg)

    def seconds_left(self) -> float | None:
        """Seconds until a chain that waits here is to be performed."""
        return self._waiting.seconds_left()

    def end(self) -> None:
        """It has died: nothing of it is left."""
        for one in (*self.sockets, self._woken, self._wake_end):
            with suppress(OSError):
                one.close() if isinstance(one, socket.socket) else os.close(one)

    def _perform(self, chain: Chain, *, deaths: int = 0) -> None:
        try:
            super()._perform(chain, deaths=deaths)
        except Blocked:
            # It stands before a lock that is held by somebody who stands still, and is done from its beginning then.
            self._waiting.put(replace(chain, delay=BLOCKED))
            raise

    def _gather(self) -> None:
        """A round begins when the simulation says so."""

    def _wait(self, _seconds: float) -> bool:
        return False

    def _wake(self) -> None:
        self.woken()


class LocalMachines:
    """What runs beside PostgreSQL in one simulation: processes, and perhaps a Redis for the guard of undos.

    Attributes:
        redis: stands where ``redis.client.client()`` does.
        broker_away_until: of no meaning here, as are ``leaks``: there is no broker.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.redis = outside.Redis(lambda: simulation.now, simulation.point, lambda: None)
        self.broker_away_until = -1.0
        self.leaks: dict[str, float] = {}
        #: The programs of which a process is about to be woken.
        self._woken: set[tuple[str, ...]] = set()
        #: The queues of each program; without any in the settings there is one, for all queues.
        programs = simulation.schedule.settings.get("programs", "").split("/")
        self._programs = [tuple(filter(None, queues.split(","))) for queues in programs]
        # Of each one more than may stand still.
        self._processes = {queues: [self._new(queues) for _ in range(DEPTH + 1)] for queues in self._programs}
        self._acting: list[Process] = []
        simulation.ticks = self._tick

    def close(self) -> None:
        """The simulation is over."""
        for process in self._all():
            process.end()

    def lose_messages(self) -> None:
        """There are none."""

    def notify(self) -> None:
        """``store.workers._notify``: a process that waits is woken, unless the notification is lost."""
        try:
            self.simulation.point("notify")
        except psycopg2.Error:
            # The engine catches it: who has committed must not be told that it has failed.
            connection.close()
            return
        for queues in self._programs:
            if queues not in self._woken and not self._is_lost(name := self.simulation.numbered("work")):
                self._woken.add(queues)
                self.simulation.post(self.simulation.now + LATENCY, self._activity(name, queues))

    def watch(self, deliver_chain: Callable[..., None]) -> Callable[..., None]:
        """Complain of what a process would only log: an error that no fault explains."""

        def watched(*args: Any, **more: Any) -> None:
            try:
                deliver_chain(*args, **more)
            except Exception as error:
                if not self._may_be(error):
                    self.simulation.complain("raised", f"a chain raised {type(error).__name__}: {error}")
                raise

        return watched

    def _may_be(self, error: Exception) -> bool:
        if isinstance(error, UnknownSaga | UnknownStep):
            # A process that is told to stop for a deploy gives its chains back, which these do not.
            return bool(self.simulation.tally.faults["deploy"])
        return self.simulation.running[-1].struck and isinstance(error, DatabaseError | InterfaceError | ConnectionLost)

    def _new(self, queues: Sequence[str]) -> Process:
        return Process("simulated", lambda: None, queues)

    def _all(self) -> list[Process]:
        return [process for group in self._processes.values() for process in group]

    def _is_lost(self, name: str) -> bool:
        lost = [item for item in self.simulation.chance.transit(name) if item.verb == "lose"]
        for item in lost:
            self.simulation.note(item)
        return bool(lost)

    def _tick(self) -> None:
        """A second is over: each process ticks, and the first of them finds what is due."""
        for queues in self._programs:
            name = self.simulation.numbered("tick")
            if not self._is_lost(name):
                self.simulation.perform(self._activity(name, queues, tick=True))

    def _activity(
        self, name: str, queues: tuple[str, ...], process: Process | None = None, *, tick: bool = False
    ) -> Activity:
        """A round of a process of this program; of any that does not stand still, by default."""
        mine: list[Process] = []
        group = self._processes[queues]

        def do() -> None:
            if process is None:
                self._woken.discard(queues)
            elif process in self._acting or process not in group:
                # It does that when it goes on; or it has died.
                return
            one = process or next(free for free in group if free not in self._acting)
            mine[:] = [one]
            self._acting.append(one)
            try:
                one.round(tick=tick)
            finally:
                self._acting.remove(one)
                self._go_on(one, queues)

        def died() -> None:
            for one in mine:
                one.end()
                group[group.index(one)] = self._new(queues)

        return Activity(name, do, died, self._may_be)

    def _go_on(self, process: Process, queues: tuple[str, ...]) -> None:
        """What waits in a process has its time, and so has what it could not do."""
        left = process.seconds_left()
        if left is not None:
            name = self.simulation.numbered("own")
            self.simulation.post(self.simulation.now + left, self._activity(name, queues, process))
