"""Real workers, as processes: Celery's, or those of ``manage.py sagas work`` where there is no broker."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.lab.points import ENDED
from tests.support import servers
from tests.support.awaiting import eventually

_numbers = itertools.count(1)


class Worker:
    """One ``celery worker``, or ``manage.py sagas work``, with its children.

    Args:
        concurrency: child processes.
        queues: what it consumes; all by default.
        pool: Celery's.
        environment: variables besides the session's.
    """

    def __init__(
        self,
        *,
        concurrency: int = 1,
        queues: str | None = None,
        pool: str = "prefork",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = f"worker-{os.getpid()}-{next(_numbers)}"
        self.log = servers.directory() / f"{self.name}.log"
        if servers.EMBEDDED:
            command = [sys.executable, "-m", "django", "sagas", "work", "--processes", str(concurrency)]
        else:
            command = [sys.executable, "-m", "celery", "-A", "tests.lab.celery", "worker", "-n", self.name]
            command += ["--loglevel", "INFO", "-c", str(concurrency), "-P", pool]
        if queues:
            command += ["-Q", queues]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=servers.ROOT,
                env={**servers.worker_environment(), **(environment or {})},
                start_new_session=True,
            )

    def await_ready(self) -> Worker:
        """Wait until it consumes; kill it if that takes too long: it would take the runs of the tests that follow."""
        try:
            eventually(lambda: " ready." in self.text() or self._failed(), within=60, what=f"{self.name} ready")
        except AssertionError:
            self.kill()
            raise
        return self

    def text(self) -> str:
        """What it has logged."""
        return Path(self.log).read_text(errors="replace")

    def await_text(self, wanted: str) -> None:
        """Wait until it has logged this: who reads what it has committed may come before its log."""
        eventually(lambda: wanted in self.text(), what=f"{wanted!r} in the worker's log")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and all its children: to itself first, so that it starts no others meanwhile."""
        main = psutil.Process(self.process.pid)
        main.send_signal(number)
        for child in main.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to it and all its children at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """A warm shutdown; a hard one if that takes too long."""
        if self.process.poll() is None:
            self.process.terminate()
            # Python takes more than half a second to clean up after that, and nobody learns anything from it.
            with contextlib.suppress(AssertionError):
                eventually(lambda: self.process.poll() is not None or ENDED in self.text(), within=10)
        self.kill()

    def _failed(self) -> bool:
        if self.process.poll() is not None:
            msg = f"{self.name} ended at start:\n{self.text()[-4000:]}"
            raise AssertionError(msg)
        return False
