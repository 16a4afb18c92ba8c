"""The common part of the three servers: a process that is started, awaited, stopped and killed."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from private_services.console import Failure, say, tail
from private_services.disk import FULL
from private_services.instance import Instance
from private_services.processes import Process, spawn, wait_until


class Server(ABC):
    """One private server of an instance. Every method may be called repeatedly."""

    name: ClassVar[str]
    #: The environment variable for its URL.
    variable: ClassVar[str]
    #: Its name in Debian's archive.
    package: ClassVar[str]
    #: Whether `fetch` gets its programs without root.
    fetchable: ClassVar[bool] = False

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    seconds_to_start: ClassVar[float] = 180
    seconds_to_stop: ClassVar[float] = 30

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.directory = instance.directory / self.name
        self.log = instance.log(self.name)

    @abstractmethod
    def locate(self) -> None:
        """Find the programs.

        Raises:
            Missing: a program is not on this machine.
        """

    @property
    def installable(self) -> bool:
        """Whether Debian's package would have the programs that are wanted."""
        return True

    def fetch(self) -> None:
        """Get the programs into the repository's own folder, without root.

        Raises:
            Failure: that failed.
        """
        raise NotImplementedError

    def check(self) -> None:  # noqa: B027 - most need nothing
        """Refuse what could not be started, before any server is.

        Raises:
            Failure: the text says why.
        """

    @abstractmethod
    def launch(self) -> None:
        """Prepare and start the process; do not wait for it."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves a client; called until it does."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for clients, with the password; empty before the first start."""

    @property
    def process(self) -> Process | None:
        """The running process, if any."""
        return self.instance.process(self.name)

    @property
    def port(self) -> int | None:
        """The port it listens on; none before the first start."""
        return self.instance.port(self.name)

    def start(self) -> None:
        """Start it unless it runs; `await_ready` waits for it, so that several can start side by side."""
        if self.process:
            return
        say(f"{self.name}: starting")
        self.directory.mkdir(exist_ok=True)
        self.launch()

    def await_ready(self) -> None:
        """Wait until it serves a client.

        Raises:
            Failure: it ended or took too long; the text has the end of its log.
        """
        ended_or_ready = wait_until(lambda: not self.process or self.is_ready(), self.seconds_to_start)
        if not self.process:
            if FULL in tail(self.log):
                raise Failure(f"The disk is full: {self.name} could not start on {self.directory}.")
            raise Failure(f"{self.name} ended instead of starting.\n{tail(self.log)}")
        if not ended_or_ready:
            raise Failure(f"{self.name} was not ready in {self.seconds_to_start} s.\n{tail(self.log)}")
        say(f"{self.name}: ready on port {self.port}")

    def stop(self) -> None:
        """Stop it; kill it if it does not stop."""
        process = self.process
        if process and not process.stop(self.stop_signal, self.seconds_to_stop):
            say(f"{self.name}: does not stop, killing it")
            process.kill()
        say(f"{self.name}: stopped" if process else f"{self.name}: not running")

    def kill(self) -> None:
        """SIGKILL it with all its children, as a power cut would."""
        process = self.process
        if process:
            process.kill()
        say(f"{self.name}: killed" if process else f"{self.name}: not running")

    def spawn(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str] = os.environ,
        name: str | None = None,
    ) -> None:
        """Start a process in the server's directory and store it, under the server's name or another."""
        process = spawn(command, environment=environment, directory=self.directory, log=self.log)
        self.instance.remember_process(name or self.name, process)
