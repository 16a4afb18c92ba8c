"""Kills a real process: a forked child gets SIGKILL right before or right after a commit."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from django.db import connections

from sagas.testing.clock import Clock

#: Seconds after which SIGALRM ends a child that was not killed.
CHILD_TIMEOUT = 30
#: The parent's connections, kept in the child: garbage collection would close them for the parent, too.
_kept: list[object] = []


class NotKilled(AssertionError):
    """The child ended before the commit at which it was to be killed."""


def kill_at_commit(act: Callable[[], object], clock: Clock, *, database: str, commit: int, before: bool) -> None:
    """Fork a child process that calls ``act`` and is killed right before or right after one of its commits.

    Args:
        act: called in the child, which has its own connections.
        clock: the clock of the child.
        database: the database of the commit.
        commit: number of the commit, from 1.
        before: whether the child is killed before the commit instead of after it.

    Raises:
        NotKilled: the child ended in another way; with its output.
    """
    if any(one.in_atomic_block for one in connections.all(initialized_only=True)):
        msg = "a killed process sees only what is committed: this case needs a test that commits (transactional_db)"
        raise RuntimeError(msg)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads, whose locks stay locked in the child. It needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _run_child(act, clock, writing, database=database, commit=commit, before=before)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        output = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        msg = f"the process was to be killed at commit {commit} in {database!r}, and ended with {status}\n{output}"
        raise NotKilled(msg)


def _run_child(
    act: Callable[[], object], clock: Clock, writing: int, *, database: str, commit: int, before: bool
) -> None:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_TIMEOUT)
        for one in connections.all(initialized_only=True):
            _kept.append(one.connection)
            one.connection = None
        clock.attach_to_new_connection()
        _kill_at(connections[database], commit, before=before)
        act()
        os.write(writing, b"it reached its end without being killed")
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
    finally:
        # Exit without cleaning up, because everything here belongs to the parent.
        os._exit(1)


def _kill_at(connection: Any, number: int, *, before: bool) -> None:
    commit: Callable[[], None] = connection._commit
    done = 0

    def commit_or_kill() -> None:
        nonlocal done
        done += 1
        if done < number:
            commit()
            return
        if not before:
            commit()
        os.kill(os.getpid(), signal.SIGKILL)

    connection.ensure_connection()
    connection._commit = commit_or_kill
