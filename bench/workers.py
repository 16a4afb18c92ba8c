"""Celery workers as processes."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.servers import DIRECTORY, ROOT

#: Processes that perform tasks, for orders as for the bare chain: one ``celery worker -c 2``.
CHILDREN = 2
_STARTUP = 90.0
_SHUTDOWN = 20.0
_numbers = itertools.count(1)


def bare_worker() -> AbstractContextManager[None]:
    """The worker of bare chains, without Django, which Celery would set up together with the engine's ticker."""
    return _worker("bench.bare", DJANGO_SETTINGS_MODULE="")


def order_worker() -> AbstractContextManager[None]:
    """The worker of orders: all queues of the platform."""
    return _worker("bench.ours")


@contextmanager
def _worker(app: str, **environment: str) -> Iterator[None]:
    """Run a Celery worker with two prefork children; wait until it consumes, and stop it afterwards.

    Args:
        app: its module, such as ``bench.bare``.
        environment: variables besides this process's.
    """
    name = f"{app}-{os.getpid()}-{next(_numbers)}"
    log = DIRECTORY / f"{name}.log"
    process = _start(app, name, log, environment)
    try:
        _await_ready(log, process)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=_SHUTDOWN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(app: str, name: str, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-n", name, "-c", str(CHILDREN)]
    command += ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with log.open("wb") as stream:
        return subprocess.Popen(  # noqa: S603 - ours
            command, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **environment}
        )


def _await_ready(log: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _STARTUP
    while " ready." not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > end:
            msg = f"a worker did not start; see {log}"
            raise RuntimeError(msg)
        time.sleep(0.05)
