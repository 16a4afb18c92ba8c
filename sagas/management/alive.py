"""``manage.py sagas alive``: whether this machine's workers are alive, told by the exit code. For health checks.

It reads the heartbeats in the database. So it tells a worker that has ended, that hangs, or that does not reach the
database. It is the same for Celery's workers and for the processes of ``manage.py sagas work`` and their parent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas import store
from sagas.local.activity import is_parent, pid_of
from sagas.postgresql.watchdog import within
from sagas.store.workers import SILENT, KnownWorker

#: Seconds that the database has for its answer, so that a health check gets one before its own time-out.
ANSWER_WITHIN = 5.0
#: Seconds for which messages may wait of which an idle worker gets none.
STALLED = 20.0


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="Workers, as the doctor names them; by default those of this machine."
    )
    parser.add_argument(
        "--hangs-after",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="Of one delivery, after which its process counts as hanging; 300 by default.",
    )


def run(out: OutputWrapper, *, names: Sequence[str], hangs_after: float, **_: Any) -> None:
    """Say who is alive.

    Raises:
        CommandError: one of the workers is not, or there is none.
    """
    with within(ANSWER_WITHIN):
        known = store.workers.known_workers()
    asked = [worker for worker in known if worker.beat.name in names] if names else list(_of_this_machine(known))
    problems = [problem for worker in asked for problem in _problems(worker, hangs_after)]
    problems += [f"{name} is not there" for name in names if name not in {worker.beat.name for worker in asked}]
    if not names and all(is_parent(worker.beat.name) for worker in asked):
        problems.append(f"no worker of {socket.gethostname()} has given a sign of life")
    if problems:
        raise CommandError("; ".join(problems))
    out.write(f"alive: {', '.join(worker.beat.name for worker in asked)}")


def _problems(worker: KnownWorker, hangs_after: float) -> Iterator[str]:
    beat = worker.beat
    if worker.is_silent:
        yield (
            f"{beat.name} has been silent for {worker.silent:.0f} s (at most {SILENT:.0f}): it has ended, hangs, or "
            "does not reach the database"
        )
    elif beat.stalled is not None and beat.stalled > STALLED:
        yield (
            f"{beat.name} has got no message for {beat.stalled:.0f} s (at most {STALLED:.0f}), and some wait: its "
            "consumer has stopped"
        )
    elif beat.busy and beat.longest > hangs_after:
        yield f"{beat.name} has been at one delivery for {beat.longest:.0f} s (at most {hangs_after:.0f})"


def _of_this_machine(known: Sequence[KnownWorker]) -> Iterator[KnownWorker]:
    """Workers whose names end with the name of this machine.

    A process of ``manage.py sagas work`` that was killed is left out, because its parent has started another one, or
    has ended, too, and somebody has started another: its row is there for an hour.
    """
    for worker in known:
        name = worker.beat.name
        if name.rpartition("@")[2] != socket.gethostname():
            continue
        pid = pid_of(name)
        if worker.is_silent and pid is not None and not _is_running(pid):
            continue
        yield worker


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True
