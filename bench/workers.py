"""Celery workers as processes."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.servers import DIRECTORY, ROOT

#: Processes that perform tasks, for orders as for the bare chain: one ``celery worker -c 2``.
CHILDREN = 2
#: No variables besides this process's.
NOTHING: Mapping[str, str] = {}
_STARTUP = 90.0
_SHUTDOWN = 20.0
#: What Celery logs when a worker consumes, and each process of ``manage.py sagas work``.
_READY = " ready."
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Bare:
    """How bare chains are carried and performed.

    Attributes:
        title: as in tables.
        pool: of Celery's worker: one ``prefork`` worker with two children, or two ``solo`` workers.
        prefetch: messages that a process gets at a time.
        safe: quorum queue and publisher confirms, as the engine has them, instead of Celery's defaults.
    """

    title: str
    pool: str = "prefork"
    prefetch: int = 16
    safe: bool = True


#: By name. The best of them all is the one with which nothing is lost but the guarantees.
BARE = {
    "prefetch_1": Bare("chain, prefetch 1", prefetch=1),
    "prefetch_16": Bare("chain, prefetch 16"),
    "solo": Bare("chain, two solo", pool="solo"),
    "classic": Bare("chain, no confirms", safe=False),
    "solo_classic": Bare("chain, two solo, no confirms", pool="solo", safe=False),
}


@contextmanager
def bare_worker(bare: Bare = BARE["prefetch_16"]) -> Iterator[list[int]]:
    """The worker of bare chains, without Django, which Celery would set up together with the engine's ticker.

    Yields:
        its processes.
    """
    environment = {"DJANGO_SETTINGS_MODULE": "", "BENCH_BARE": "quorum" if bare.safe else "classic"}
    solo = bare.pool == "solo"
    options = ["--pool", bare.pool, "--prefetch-multiplier", str(bare.prefetch)]
    with ExitStack() as stack:
        started = [
            stack.enter_context(_worker("bench.bare", 1 if solo else CHILDREN, options, environment))
            for _ in range(CHILDREN if solo else 1)
        ]
        for log, process in started:
            await_text(log, process, _READY)
        yield [process.pid for _, process in started]


@contextmanager
def order_worker(children: int = CHILDREN, environment: Mapping[str, str] = NOTHING) -> Iterator[list[int]]:
    """The worker of orders: all queues of the platform.

    Args:
        children: processes that perform tasks.
        environment: variables besides this process's.

    Yields:
        its processes.
    """
    with _worker("bench.ours", children, [], environment) as (log, process):
        await_text(log, process, _READY)
        yield [process.pid]


@contextmanager
def local_worker(children: int = CHILDREN, environment: Mapping[str, str] = NOTHING) -> Iterator[list[int]]:
    """``manage.py sagas work``, which needs neither RabbitMQ nor Redis; all its processes are ready.

    Args:
        children: processes that perform.
        environment: variables besides this process's.

    Yields:
        its processes.
    """
    log = DIRECTORY / f"work-{os.getpid()}-{next(_numbers)}.log"
    command = [sys.executable, "manage.py", "sagas", "work", "--processes", str(children)]
    with running(command, log, {**environment, "RABBITMQ_URL": "", "REDIS_URL": ""}) as process:
        await_text(log, process, _READY, times=children)
        yield [process.pid]


@contextmanager
def _worker(
    app: str, children: int, options: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Start a Celery worker, and stop it afterwards.

    Args:
        app: its module, such as ``bench.bare``.
        children: its concurrency.
        options: of the command besides.
        environment: variables besides this process's.
    """
    name = f"{app}-{os.getpid()}-{next(_numbers)}"
    log = DIRECTORY / f"{name}.log"
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-n", name, "-c", str(children), *options]
    command += ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with running(command, log, environment) as process:
        yield log, process


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str], *, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, by default in the repository, and end it afterwards."""
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - ours
            command, stdout=stream, stderr=subprocess.STDOUT, cwd=cwd, env={**os.environ, **environment}
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=_SHUTDOWN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_text(log: Path, process: subprocess.Popen[bytes], text: str, *, times: int = 1) -> None:
    """Wait until a process has logged this text so often.

    Raises:
        RuntimeError: it ended before, or took too long.
    """
    end = time.monotonic() + _STARTUP
    while log.read_text(errors="replace").count(text) < times:
        if process.poll() is not None or time.monotonic() > end:
            msg = f"a process did not start: {log}: {log.read_text(errors='replace')[-2000:]}"
            raise RuntimeError(msg)
        time.sleep(0.01)
