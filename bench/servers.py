"""Private servers for one benchmark, created for it and destroyed afterwards."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / ".run" / "bench"
_LOCK = ROOT / ".run" / "bench.lock"


@contextmanager
def servers(*, keep: bool) -> Iterator[None]:
    """Run PostgreSQL, RabbitMQ and Redis on empty disks; set their URLs and Django's settings in the environment.

    Args:
        keep: leave the servers running.
    """
    with _only_one():
        _services("destroy")
        try:
            _services("start")
            _set_environment()
            yield
        finally:
            if not keep:
                _services("destroy")


@contextmanager
def _only_one() -> Iterator[None]:
    """Refuse to run beside another benchmark: its servers would be destroyed, and both would disturb each other."""
    _LOCK.parent.mkdir(exist_ok=True)
    with _LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another benchmark is running in this repository")
        yield


def _set_environment() -> None:
    for line in (DIRECTORY / "services.env").read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator:
            os.environ[name] = value.strip("'\"")
    os.environ["DJANGO_SETTINGS_MODULE"] = "bench.settings"
    # The confirmations are inserted between the two halves of a measurement, which takes longer than the deadline.
    os.environ["CONFIRM_WITHIN_SECONDS"] = "1800"
    os.environ["LOG_LEVEL"] = "INFO"
    # Its sessions of PostgreSQL are the processes' own.
    os.environ.setdefault("DATABASE_PREPARES", "1")
    # Limits of unpaid orders are as by default: there are many customers, who pay at once.
    os.environ["ORDERS_PER_MINUTE"] = "1000000"


def destroy() -> None:
    """Destroy the servers that a benchmark has left behind, unless one is running."""
    with _LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _services("destroy")


def _services(command: str) -> None:
    script = str(ROOT / "scripts" / "services")
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, script, "--ignore-environment", "--dir", str(DIRECTORY), command],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"scripts/services {command} failed:\n{done.stdout}{done.stderr}")
