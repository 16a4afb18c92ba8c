"""A process that is killed, really: a child does what is asked, and gets SIGKILL at the door of a commit."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from django.db import connections

from sagas.testing.clock import Clock

#: Seconds after which a child that does not die is killed in another way.
PATIENCE = 30
#: Connections of the parent, in the child: collected as garbage they would be closed, for the parent too.
_kept: list[object] = []


class NotDead(AssertionError):
    """The child was to be killed at a commit, and did not come there."""


def die(act: Callable[[], object], clock: Clock, *, database: str, commit: int, before: bool) -> None:
    """Have a child process do something, and be killed right before or right after a commit of it.

    Args:
        act: what it does, on connections of its own.
        clock: the clock that it sees.
        database: at a commit in this database.
        commit: at which one, from 1.
        before: before the commit, or after it.

    Raises:
        NotDead: it ended otherwise; with what it said.
    """
    if any(one.in_atomic_block for one in connections.all(initialized_only=True)):
        msg = "a killed process sees only what is committed: this case needs a test that commits (transactional_db)"
        raise RuntimeError(msg)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of other threads, whose locks the child must not want. It needs none, and does not live.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _live_and_die(act, clock, writing, database=database, commit=commit, before=before)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        msg = f"the process was to be killed at commit {commit} in {database!r}, and ended with {status}\n{said}"
        raise NotDead(msg)


def _live_and_die(
    act: Callable[[], object], clock: Clock, writing: int, *, database: str, commit: int, before: bool
) -> None:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        for one in connections.all(initialized_only=True):
            _kept.append(one.connection)
            one.connection = None
        clock.enter_again()
        _arm(connections[database], commit, before=before)
        act()
        os.write(writing, b"it came to its end")
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
    finally:
        # Nothing of the parent's is to be cleaned up here.
        os._exit(1)


def _arm(connection: Any, number: int, *, before: bool) -> None:
    commit: Callable[[], None] = connection._commit
    done = 0

    def deadly() -> None:
        nonlocal done
        done += 1
        if done < number:
            commit()
            return
        if not before:
            commit()
        os.kill(os.getpid(), signal.SIGKILL)

    connection.ensure_connection()
    connection._commit = deadly
