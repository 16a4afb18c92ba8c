"""The parent of ``manage.py sagas work``: starts processes, starts those anew that die, and wakes one of them.

It listens for PostgreSQL's notifications on one connection for all its processes, of ``SAGAS["LISTEN_DATABASE"]``.
Where these do not come, because a pooler is between or the connection is lost, the processes find the work by looking.
"""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.db import Error, connections

from sagas.conf import config
from sagas.delivery.gathering import Gathering
from sagas.delivery.heartbeat import Heartbeat
from sagas.local.activity import Watch, parent_name
from sagas.local.worker import DRAIN, WAKE
from sagas.postgresql.driver import driver
from sagas.postgresql.sessions import is_pooled
from sagas.store.workers import CHANNEL

logger = logging.getLogger(__name__)

#: Seconds between the starts of a process that dies at once, and between tries to listen.
PAUSE = 1.0
#: Seconds that processes get to end, beyond those in which they wait for their remote calls.
GRACE = 2.0


@dataclass(slots=True, eq=False)
class _Child:
    """A process, and this end of the socket to it."""

    process: subprocess.Popen[bytes]
    socket: socket.socket
    started_at: float = field(default_factory=time.monotonic)
    is_idle: bool = False


class Supervisor:
    """Keeps ``processes`` processes running until SIGTERM, each for the steps of these queues, or of all."""

    def __init__(self, processes: int, queues: Sequence[str] = ()) -> None:
        self._processes = processes
        self._queues = ",".join(queues)
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()
        self._database = config().listen_database
        self._listener: Any = None
        self._listener_fd = -1
        self._listen_after = 0.0
        self._start_after = 0.0
        self._is_work_waiting = False
        self._is_notified = False
        self._gathering = Gathering()
        self._stopping = False
        name = parent_name(os.getpid(), socket.gethostname())
        self._watch = Watch(name)
        self._heartbeat = Heartbeat(name, self._watch.look)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; then have the processes end what they have begun."""
        woken, wake_end = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(woken, selectors.EVENT_READ, None)
        self._heartbeat.start()
        while not self._stopping:
            self._watch.go_round()
            self._replace_dead()
            self._listen()
            self._wake_one()
            for key, _ in self._selector.select(self._gathering.seconds_left if self._is_notified else PAUSE):
                if key.fd == woken:
                    with suppress(BlockingIOError):
                        os.read(woken, 4096)
                elif isinstance(key.data, _Child):
                    self._hear(key.data)
                else:
                    self._notified()
        self._end()

    # -- Processes --------------------------------------------------------------------------------------------------

    def _replace_dead(self) -> None:
        for child in [child for child in self._children if child.process.poll() is not None]:
            logger.error(
                "sagas: process %d ended (%s), another takes its place; runs that it had begun come again when their "
                "lease is over",
                *(child.process.pid, child.process.returncode),
            )
            if time.monotonic() - child.started_at < PAUSE:
                self._start_after = time.monotonic() + PAUSE
            self._forget(child)
        while len(self._children) < self._processes and time.monotonic() >= self._start_after:
            self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        # A new program, not a fork: it has no connection and no thread of this process.
        process = subprocess.Popen(  # noqa: S603 - this program, and the number of a socket
            [sys.executable, "-m", "sagas.local", str(theirs.fileno()), self._queues],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=[theirs.fileno()],
            # SIGINT of a terminal goes to this process only, which tells the others.
            start_new_session=True,
        )
        theirs.close()
        child = _Child(process, ours)
        self._children.append(child)
        self._selector.register(ours, selectors.EVENT_READ, child)

    def _forget(self, child: _Child) -> None:
        self._children.remove(child)
        with suppress(KeyError):
            self._selector.unregister(child.socket)
        child.socket.close()

    def _hear(self, child: _Child) -> None:
        try:
            said = child.socket.recv(4096)
        except BlockingIOError:
            return
        except ConnectionResetError:
            said = b""
        if not said:
            with suppress(KeyError):
                self._selector.unregister(child.socket)
            return
        child.is_idle = True
        if self._is_work_waiting:
            # It came when all were busy, perhaps after the last claim of this one.
            self._is_work_waiting = False
            self._wake(child)

    def _wake(self, child: _Child) -> None:
        child.is_idle = False
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            child.socket.send(WAKE)

    # -- Notifications ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Have a connection that listens; without it, try again after a while."""
        if self._listener is not None or time.monotonic() < self._listen_after:
            return
        self._listen_after = time.monotonic() + PAUSE
        connection = connections[self._database]
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                if is_pooled(connection, cursor.fetchone()[0]):
                    # LISTEN would stay in a session of the pooler, and nothing would come from there.
                    logger.warning(
                        "sagas: a pooler stands before the database %r, and nobody listens for notifications; the "
                        "processes look by themselves (SAGAS['LISTEN_DATABASE'] names a way without it)",
                        self._database,
                    )
                    self._listen_after = math.inf
                    connection.close()
                    return
                cursor.execute(f"LISTEN {CHANNEL}")
            self._listener = connection.connection
            self._listener_fd = self._listener.fileno()
            self._selector.register(self._listener_fd, selectors.EVENT_READ, None)
        except Error as error:
            logger.warning("sagas: nobody listens for notifications (%s); the processes look by themselves", error)
            self._stop_listening()

    def _notified(self) -> None:
        try:
            came = driver.take_notifications(self._listener)
        except Exception as error:
            logger.warning("sagas: the connection for notifications is lost: %s", error)
            self._stop_listening()
            return
        self._is_notified = self._is_notified or came

    def _wake_one(self) -> None:
        """Wake a process for what was notified, when enough is gathered."""
        if not self._is_notified or self._gathering.seconds_left > 0:
            return
        self._is_notified = False
        self._gathering.done()
        idle = next((child for child in self._children if child.is_idle), None)
        if idle is None:
            self._is_work_waiting = True
        else:
            self._wake(idle)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            # By its number: a closed connection does not tell it any more.
            with suppress(KeyError):
                self._selector.unregister(self._listener_fd)
            self._listener = None
        connections[self._database].close()

    # -- The end ----------------------------------------------------------------------------------------------------

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _end(self) -> None:
        for child in self._children:
            with suppress(ProcessLookupError):
                child.process.terminate()
        until = time.monotonic() + DRAIN + GRACE
        for child in self._children:
            try:
                child.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.warning("sagas: process %d did not end in time, and is killed", child.process.pid)
                child.process.kill()
                child.process.wait()
        self._heartbeat.stop()
        connections[self._database].close()
