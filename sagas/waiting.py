"""Wait until a run has ended: ``wait`` in a thread, ``await_run`` in a coroutine.

Both ask the database, first often, then rarely. A thread asks for its run. The coroutines of an event loop have one
query for all their runs, in a thread of its own, so that a thousand of them hold one connection, and none when nobody
waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from uuid import UUID

from django.db import connections
from django.db.transaction import TransactionManagementError, get_connection

from sagas import runtime, store
from sagas.errors import InvalidArgument, RunNotFound
from sagas.states import FINAL, State
from sagas.validation import parse_run_id

#: Where nothing happens any more, or nothing until a person does it.
_AT_REST = FINAL | {State.ESCALATED}
#: Seconds between two questions, at least and at most.
_SHORTEST, _LONGEST = 0.01, 0.5


def wait(run_id: UUID, timeout: float, *, until: Collection[State] = ()) -> State:
    """Wait until a run has ended or is escalated, and return its state.

    Args:
        run_id: the run.
        timeout: seconds, at most.
        until: further states in which to return, such as AWAITING_CONFIRM. A state that a run has left again within
            moments may be missed; then it is waited for the next one of them, or the end.

    Raises:
        TimeoutError: the run was in none of these states in time. It goes on.
        RunNotFound: there is no such run.
        InvalidArgument: ``timeout`` is no number of seconds, or ``until`` has what is no state.
        TransactionManagementError: this is called inside a transaction. The run may be one that it starts, which begins
            when the transaction commits.
    """
    if get_connection().in_atomic_block:
        msg = "sagas.wait() inside a transaction: a run that it starts begins at its commit. Wait behind it"
        raise TransactionManagementError(msg)
    wanted = _Wanted.of(run_id, timeout, until)
    while True:
        wanted.check(store.runs.find_states([wanted.run_id]))
        if wanted.state is not None:
            return wanted.state
        time.sleep(wanted.pause())


async def await_run(run_id: UUID, timeout: float, *, until: Collection[State] = ()) -> State:
    """Wait in a coroutine; see ``wait``. The run must be committed."""
    wanted = _Wanted.of(run_id, timeout, until)
    loop = asyncio.get_running_loop()
    with runtime.own.lock:
        waiters = runtime.own.waiters.setdefault(loop, Waiters(loop))
    return await waiters.wait(wanted)


@dataclass(slots=True, eq=False)
class _Wanted:
    """A run that somebody waits for. Moments are those of ``time.monotonic()``."""

    run_id: UUID
    states: frozenset[State]
    since: float
    end: float
    state: State | None = None
    future: asyncio.Future[State] | None = None

    @classmethod
    def of(cls, run_id: UUID, timeout: object, until: Collection[State]) -> _Wanted:
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
            msg = f"a time-out is a number of seconds, and not {timeout!r:.80}"
            raise InvalidArgument(msg)
        try:
            states = frozenset(map(State, until))
        except (TypeError, ValueError):
            msg = f"until= has states, such as State.AWAITING_CONFIRM, and not {until!r:.80}"
            raise InvalidArgument(msg) from None
        now = time.monotonic()
        return cls(parse_run_id(run_id), _AT_REST | states, now, now + timeout)

    def check(self, states: Mapping[UUID, State]) -> None:
        """Take the state, if it is one of those waited for; raise what ends the wait otherwise."""
        state = states.get(self.run_id)
        if state is None:
            msg = f"there is no run {self.run_id}"
            raise RunNotFound(msg)
        if state in self.states:
            self.state = state
        elif time.monotonic() >= self.end:
            msg = f"run {self.run_id} is {state} after {self.end - self.since:g} s"
            raise TimeoutError(msg)

    def finish(self) -> None:
        """Let its coroutine go on, if the run is where it was waited for."""
        if self.state is not None and self.future is not None and not self.future.done():
            self.future.set_result(self.state)

    def fail(self, error: Exception) -> None:
        """Raise an error in its coroutine."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    def pause(self) -> float:
        """Seconds until the next question: a quarter of what was waited, and no longer than the time-out."""
        now = time.monotonic()
        return max(_SHORTEST, min((now - self.since) / 4, _LONGEST, self.end - now))


class Waiters:
    """The runs that coroutines of one event loop wait for, and the task that asks for them while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wanted: set[_Wanted] = set()
        self._came = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None

    async def wait(self, wanted: _Wanted) -> State:
        """Wait for a run."""
        wanted.future = self._loop.create_future()
        self._wanted.add(wanted)
        self._came.set()
        if self._asking is None:
            # In a context of its own: that of a request ends with the request.
            self._asking = self._loop.create_task(self._ask(), context=Context())
        try:
            return await wanted.future
        finally:
            self._wanted.discard(wanted)

    async def _ask(self) -> None:
        with ThreadPoolExecutor(1, "sagas-waiting") as thread:
            try:
                while self._wanted:
                    await self._ask_once(thread)
                    # Those who come at once are asked for together; those who come later, before the next question.
                    await asyncio.sleep(_SHORTEST)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(min((w.pause() for w in self._wanted), default=0.0)):
                            await self._came.wait()
            finally:
                # Before anything is awaited: who comes now starts another task.
                self._asking = None
                await self._loop.run_in_executor(thread, connections.close_all)

    async def _ask_once(self, thread: ThreadPoolExecutor) -> None:
        self._came.clear()
        asked = list(self._wanted)
        try:
            states = await self._loop.run_in_executor(
                thread, store.runs.find_states, [wanted.run_id for wanted in asked]
            )
        except Exception as error:
            # The next question makes a new connection.
            await self._loop.run_in_executor(thread, connections.close_all)
            for wanted in asked:
                wanted.fail(error)
            return
        for wanted in asked:
            try:
                wanted.check(states)
            except (RunNotFound, TimeoutError) as error:
                wanted.fail(error)
            else:
                wanted.finish()
