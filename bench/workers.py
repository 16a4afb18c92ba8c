"""Celery workers as processes."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_numbers = itertools.count(1)


@contextmanager
def workers(app: str, *, processes: int, concurrency: int, logs: Path) -> Iterator[None]:
    """Run ``processes`` workers of ``concurrency`` prefork children each; wait until they consume, stop them after."""
    names = [f"bench-{os.getpid()}-{next(_numbers)}" for _ in range(processes)]
    running = [_start(app, name, concurrency, logs / f"{name}.log") for name in names]
    try:
        for name, process in zip(names, running, strict=True):
            _await_ready(logs / f"{name}.log", process)
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(app: str, name: str, concurrency: int, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-n", name, "-c", str(concurrency)]
    command += ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with log.open("wb") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT)  # noqa: S603 - ours


def _await_ready(log: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while " ready." not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > end:
            msg = f"a worker did not start; see {log}"
            raise RuntimeError(msg)
        time.sleep(0.05)
