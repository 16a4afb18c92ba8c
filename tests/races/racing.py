"""Two transactions at the same time, driven step by step. No step is taken by the clock.

A ``Racer`` works in a thread with connections of its own, as a worker does, and stops right before a statement or a
COMMIT. Whether another one is blocked by it is asked of PostgreSQL (``pg_blocking_pids``), not guessed from the time.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from django.db import connection, connections

from tests.support.awaiting import eventually

T = TypeVar("T")
U = TypeVar("U")
#: Seconds until a race is given up: far longer than it takes, also on a slow machine.
PATIENCE = 20.0
_PREPARE = re.compile(r"PREPARE (?P<name>\w+) AS (?P<body>.*)", re.DOTALL)
_EXECUTE = re.compile(r"EXECUTE (?P<name>\w+)")


@dataclass(frozen=True)
class Stop:
    """Where a racer stops: when it is about to commit, or to execute a statement with these words.

    Attributes:
        words: of the statement.
        alias: in which database.
        time: which one of such statements: 1 is the first.
    """

    words: str = "COMMIT"
    alias: str = "default"
    time: int = 1


COMMIT = Stop()


class Racer(Generic[T]):
    """Somebody who works, stops where it is told to, and goes on when it is let go.

    Args:
        work: what it does.
        stop: where it stops; ``None`` for nowhere.
        aliases: the databases that it uses.
    """

    def __init__(self, work: Callable[[], T], stop: Stop | None, aliases: tuple[str, ...]) -> None:
        self.work = work
        self.stop = stop
        self.aliases = aliases
        self.error: BaseException | None = None
        self._found: list[T] = []
        self._stopped = threading.Event()
        self._go = threading.Event()
        self._over = threading.Event()
        self._connections: dict[str, Any] = {}
        #: What it has prepared, by name: an ``EXECUTE`` does not say which statement it is.
        self._prepared: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # -- What it does, in its thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                for alias in self.aliases:
                    mine: Any = connections[alias]
                    mine.ensure_connection()
                    self._connections[alias] = mine
                    stack.enter_context(mine.execute_wrapper(self._before_statement))
                    self._stop_before_commit(alias, mine)
                self._found.append(self.work())
        except BaseException as error:
            self.error = error
        finally:
            # Over for the others is what is over for the database.
            connections.close_all()
            self._over.set()

    def _before_statement(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        prepared = _PREPARE.match(str(sql))
        if prepared:
            self._prepared[prepared["name"]] = prepared["body"]
        else:
            self._pause(self._text(str(sql)), context["connection"].alias)
        return execute(sql, params, many, context)

    def _text(self, sql: str) -> str:
        """A statement; of one that executes a prepared one, that."""
        executes = _EXECUTE.match(sql)
        return self._prepared[executes["name"]] if executes else sql

    def _stop_before_commit(self, alias: str, mine: Any) -> None:
        # Of this thread's connection only, which ends with it.
        commit = mine.commit

        def stop_and_commit() -> None:
            self._pause("COMMIT", alias)
            commit()

        mine.commit = stop_and_commit

    def _pause(self, words: str, alias: str) -> None:
        stop = self.stop
        if stop is not None and alias == stop.alias and stop.words in words:
            if stop.time > 1:
                self.stop = replace(stop, time=stop.time - 1)
                return
            self.stop = None
            self._stopped.set()
            if not self._go.wait(4 * PATIENCE):
                raise AssertionError("nobody has let it go")

    # -- What the test does -----------------------------------------------------------------------------------

    def pid(self, alias: str = "default") -> int:
        """Of its connection, in the server."""
        return int(self._connections[alias].connection.info.backend_pid)

    def is_over(self) -> bool:
        """Whether it has done all, or failed."""
        return self._over.is_set()

    def await_stop(self) -> None:
        """Wait until it has come to where it stops."""
        eventually(lambda: self._stopped.is_set() or self.is_over(), within=PATIENCE, what="the stop")
        assert self._stopped.is_set(), f"it was over before it came to the stop: {self.error!r}"

    def is_blocked(self, by: Racer[Any], alias: str = "default") -> bool:
        """Whether it waits for a lock that the other one has."""
        if alias not in self._connections or self.is_over():
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s = ANY(pg_blocking_pids(%s))", [by.pid(alias), self.pid(alias)])
            return bool(cursor.fetchone()[0])

    def waiting_statement(self, alias: str = "default") -> str:
        """What it waits in."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [self.pid(alias)])
            return self._text(str(cursor.fetchone()[0]))

    def go(self) -> None:
        """Let it go on."""
        self._go.set()

    def cut(self, alias: str = "default") -> None:
        """Break its connection, as a server does that is restarted: its locks are gone when this returns."""
        pid = self.pid(alias)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        eventually(lambda: not _is_there(pid), within=PATIENCE, what="the end of its connection")

    def await_end(self) -> None:
        """Wait until it is over, and closed its connections."""
        eventually(self.is_over, within=PATIENCE, what="the end of a racer")
        self._thread.join(PATIENCE)

    def outcome(self) -> T | BaseException:
        """What came of it: what its work has returned, or raised."""
        self.await_end()
        return self.error if self.error is not None else self._found[0]


def _is_there(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
        return bool(cursor.fetchone()[0])


class Race:
    """Starts racers, and sees to it that all end.

    ``blind`` is for showing that a race can be lost: it is not asked who is blocked, so that the harm is seen.
    """

    def __init__(self) -> None:
        self.blind = False
        self._racers: list[Racer[Any]] = []

    def start(
        self, work: Callable[[], T], stop: Stop | None = None, *, aliases: tuple[str, ...] = ("default",)
    ) -> Racer[T]:
        """Have somebody work; return when it has come to where it stops, if it does."""
        racer = Racer(work, stop, aliases)
        self._racers.append(racer)
        if stop is not None:
            racer.await_stop()
        return racer

    def await_blocked(self, racer: Racer[Any], by: Racer[Any], *, at: str, alias: str = "default") -> None:
        """Wait until one waits for the other, in a statement with these words; fail if it never does."""
        eventually(lambda: racer.is_over() or racer.is_blocked(by, alias), within=PATIENCE, what="somebody blocked")
        if self.blind:
            return
        assert not racer.is_over(), f"nobody was in its way: {racer.error!r}"
        waits_in = racer.waiting_statement(alias)
        assert at in waits_in, f"it waits in {waits_in}"

    def overtake(
        self, first: Callable[[], T], second: Callable[[], U], *, at: str = "FOR NO KEY UPDATE"
    ) -> tuple[T | BaseException, U | BaseException]:
        """Let the second come when the first is about to commit: it must wait, and sees what the first has done."""
        leader = self.start(first, COMMIT)
        follower = self.start(second)
        self.await_blocked(follower, leader, at=at)
        leader.go()
        return leader.outcome(), follower.outcome()

    def end(self) -> None:
        """Let everybody go, and wait for them."""
        for racer in self._racers:
            racer.go()
        for racer in self._racers:
            racer.await_end()
