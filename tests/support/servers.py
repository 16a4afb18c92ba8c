"""The throwaway PostgreSQL, RabbitMQ and Redis of one test session; or PostgreSQL of a wheel alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
from django.db import connections

ROOT = Path(__file__).resolve().parent.parent.parent
_MARK = "DRINKGROUP_TEST_SERVERS"
_started = False
#: The exit code of `scripts/services` if a program is missing and cannot be installed.
_MISSING = 2


class NotThere(RuntimeError):
    """A server's program is not on this machine."""


#: Whether the session has PostgreSQL of a wheel alone, and `manage.py sagas work` in place of Celery workers.
EMBEDDED = bool(os.environ.get("DRINKGROUP_TEST_EMBEDDED"))
#: Whether everything goes through PgBouncer in transaction mode.
POOLED = bool(os.environ.get("DRINKGROUP_TEST_POOLED"))
TEST_DATABASE = "test_drinkgroup"


def ensure() -> None:
    """Start the servers, unless this process is a child of a session that did; set the URLs.

    Each process that runs tests has servers of its own: tests wipe them, kill them, and want to be alone on them.
    """
    global _started  # noqa: PLW0603 - only the process that started them stops them
    if os.environ.get(_MARK) or _only_hands_out_tests():
        return
    os.environ[_MARK] = str(ROOT / ".run" / f"test-{os.getpid()}")
    print(f"starting throwaway servers in {directory().relative_to(ROOT)}", file=sys.stderr)
    # Also those that did start are stopped, if one did not.
    _started = True
    try:
        _services("start", *(["--embedded", "postgres"] if EMBEDDED else []))
    except RuntimeError:
        destroy()
        raise
    if EMBEDDED:
        os.environ["RABBITMQ_URL"] = os.environ["REDIS_URL"] = ""
    os.environ.update(_urls())
    if POOLED:
        # Imported here: it imports this module.
        from tests.support import pooler

        pooler.give_limits_to_the_role()
        os.environ |= {"DATABASE_URL": start_pooler(), "DATABASE_POOLED": "on"}


def _urls() -> dict[str, str]:
    lines = (directory() / "services.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def start_pooler() -> str:
    """Start PgBouncer before the session's PostgreSQL, unless it runs; return its URL.

    Raises:
        NotThere: it is not on this machine, and cannot be installed.
    """
    _services("start", "pgbouncer")
    return _urls()["PGBOUNCER_URL"]


def _only_hands_out_tests() -> bool:
    """Whether this is the process that pytest-xdist runs no tests in."""
    return "PYTEST_XDIST_WORKER" not in os.environ and any(a.startswith(("-n", "--numprocesses")) for a in sys.argv)


def directory() -> Path:
    """Where the servers of this session live."""
    return Path(os.environ[_MARK])


def destroy() -> None:
    """Stop the servers and remove what they left."""
    if _started:
        _services("destroy")
        shutil.rmtree(directory(), ignore_errors=True)


def kill(name: str) -> None:
    """Send SIGKILL to a server: "postgres", "rabbitmq" or "redis"."""
    _services("kill", name)
    if name == "postgres":
        # All that this thread has are broken, also those to databases of which the test knows nothing, and the next
        # test would get them.
        connections.close_all()


def start(name: str) -> None:
    """Start a server again, on its old port and data."""
    _services("start", name)


@contextmanager
def standing_still(name: str) -> Iterator[None]:
    """A server that does nothing inside this block (SIGSTOP), and keeps its connections; it goes on after it."""
    # Workers import this module, too, and know no scripts.
    from private_services.instance import Instance

    process = Instance(directory()).process(name)
    assert process is not None
    process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send(signal.SIGCONT)


@contextmanager
def paused() -> Iterator[None]:
    """PostgreSQL stands still whole inside this block, also each session's process, as on a machine that is paused."""
    from private_services.instance import Instance

    main = Instance(directory()).process("postgres")
    assert main is not None
    # Stopped first, it starts no others meanwhile.
    main.send(signal.SIGSTOP)
    sessions = psutil.Process(main.pid).children(recursive=True)
    for process in sessions:
        process.suspend()
    try:
        yield
    finally:
        for process in sessions:
            process.resume()
        main.send(signal.SIGCONT)


def rabbitmqctl(*arguments: str) -> str:
    """Run ``rabbitmqctl`` on the session's node."""
    return _services("rabbitmqctl", *arguments)


def worker_environment() -> dict[str, str]:
    """The environment of a process that works on the test database."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return {
        **os.environ,
        "DATABASE_URL": urlunsplit(url._replace(path=f"/{TEST_DATABASE}")),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
    }


def _services(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "scripts" / "services"), "--ignore-environment", "--dir", str(directory())]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"scripts/services {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}"
        raise NotThere(done.stderr) if done.returncode == _MISSING else RuntimeError(msg)
    return done.stdout
