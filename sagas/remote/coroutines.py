"""``AsyncParticipant``: operations in other systems that coroutines perform, in one event loop of the worker process.

They are remote calls like those over HTTP: the engine commits that a call begins, then makes it outside any
transaction, then commits the answer. So the thousand calls that wait for a slow system hold neither a thread nor a
connection to the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

# asyncio's own is deprecated from Python 3.14 on, and inspect's does not know all of them on 3.11.
from asgiref.sync import iscoroutinefunction

from sagas.definition.participants import Accepted, Call, Done, NotYet
from sagas.errors import DefinitionError, NotSent, Rejected
from sagas.remote.circuit import Circuit
from sagas.remote.client import MARGIN, check_name, check_seconds
from sagas.remote.exchange import NoRequest

#: What a coroutine of an operation returns: its result as JSON, or ``Done``, ``Rejected`` or ``NotYet``.
Coroutine = Callable[[Call[Any]], Awaitable[object]]
#: What a query returns: the outcome of an operation, or ``None`` if the other system has never seen it.
Query = Callable[[Call[Any]], Awaitable[Done | Rejected | NotYet | None]]


class AsyncParticipant:
    """A participant in another system, which coroutines call with whatever client you like.

    >>> gateway = AsyncParticipant("gateway", timeout=5, concurrency=200)
    ...
    ... @gateway.operation
    ... async def charge(call: Call[Order]) -> dict[str, str]:
    ...     answer = await client.post("/charges", json={…}, headers={"Idempotency-Key": call.key})
    ...     if answer.status_code == 402:
    ...         raise Rejected("the card was declined")
    ...     answer.raise_for_status()
    ...     return {"charge": answer.json()["id"]}
    ...
    ... class PlaceOrder(Saga[Order]):
    ...     pay = Step(charge, compensate=refund, queue="payments")

    A coroutine returns the result, and raises ``Rejected`` or an exception in the step's ``rejects`` if the business
    says no. ``NotSent`` means that nothing was sent. Any other exception means that whether the operation took effect
    is not known: it is repeated, or undone, with the same ``call.key``. So the other system must know a repeat by it.
    All coroutines of a process share one event loop: one that computes, or blocks, stops the others.

    Args:
        name: its name in the log, and the name of its lane and its circuit.
        timeout: seconds after which a coroutine is cancelled.
        concurrency: calls at a time in each worker process.
        patience: seconds after which ``NotYet`` counts as a failed attempt.
        circuit: when calls are stopped for a while.

    Raises:
        DefinitionError: an argument is out of its range.
    """

    def __init__(
        self,
        name: str,
        *,
        timeout: float = 5.0,
        concurrency: int = 100,
        patience: float = 600.0,
        circuit: Circuit | None = None,
    ) -> None:
        check_name("AsyncParticipant", name)
        check_seconds("AsyncParticipant", name, timeout=timeout, patience=patience)
        if concurrency < 1:
            msg = f"AsyncParticipant({name!r}): concurrency is at least 1"
            raise DefinitionError(msg)
        self.name = name
        self.timeout = timeout
        self.concurrency = concurrency
        self.patience = patience
        self.circuit = circuit or Circuit()

    def __repr__(self) -> str:
        """Its name."""
        return f"AsyncParticipant({self.name!r})"

    def operation(self, function: Coroutine) -> AsyncOperation:
        """Make an operation of a coroutine function that takes one call. Use it as a decorator."""
        return AsyncOperation(self, function)


class AsyncOperation:
    """One operation of an ``AsyncParticipant``. For the engine it is a ``Remote`` participant."""

    def __init__(self, participant: AsyncParticipant, function: Coroutine) -> None:
        check_coroutine(participant, function)
        self._participant = participant
        self._function = function
        self._query: Query | None = None

    def __str__(self) -> str:
        """Its name in the log."""
        return f"{self._participant.name}: {getattr(self._function, '__name__', type(self._function).__name__)}"

    __repr__ = __str__

    def query(self, function: Query) -> Query:
        """Have a coroutine function asked for the outcome of a call whose answer was lost. Use it as a decorator.

        It returns ``Done``, ``Rejected`` or ``NotYet``, or ``None`` if the other system has never seen ``call.key``.
        """
        check_coroutine(self._participant, function)
        self._query = function
        return function

    @property
    def lane(self) -> str:
        """The name of the lane."""
        return self._participant.name

    @property
    def concurrency(self) -> int:
        """Calls at a time in each process."""
        return self._participant.concurrency

    @property
    def lease(self) -> float:
        """Seconds after which a call has surely ended: a query before it, the call, and a query after it."""
        return (3 if self._query else 1) * self._participant.timeout + MARGIN

    @property
    def patience(self) -> float:
        """Seconds after which ``NotYet`` counts as a failed attempt."""
        return self._participant.patience

    def admit(self, wanted: int) -> tuple[int, float]:
        """Ask the circuit."""
        return self._participant.circuit.admit(self._participant.name, wanted, self.lease)

    def call(self, call: Call[Any], *, repeated: bool) -> Done | Rejected | NotYet:
        """Call it from a thread without an event loop, as the test kit does; see ``Remote``."""
        return asyncio.run(self.acall(call, repeated=repeated))

    async def acall(self, call: Call[Any], *, repeated: bool) -> Done | Rejected | NotYet:
        """Call it; see ``Remote``. If the outcome is not known, query it, if there is a query."""
        if repeated and self._query is not None:
            known = await self._watched(self._query(call))
            if known is not None:
                return _outcome(self._query, known)
        try:
            answer = await self._watched(self._function(call))
        except (Rejected, NotSent):
            raise
        except Exception:
            known = await self._query_outcome(call)
            if known is None or isinstance(known, NotYet):
                raise
            return known
        return _outcome(self._function, answer)

    async def _query_outcome(self, call: Call[Any]) -> Done | Rejected | NotYet | None:
        """Query the outcome of a call without an answer; ``None`` also if the query fails."""
        if self._query is None:
            return None
        try:
            known = await self._watched(self._query(call))
            return None if known is None else _outcome(self._query, known)
        except Exception:
            return None

    async def _watched(self, asking: Awaitable[Any]) -> Any:
        """Await an answer, and tell the circuit whether the other system answers.

        An exception of another kind may be a mistake of the coroutine: it says nothing about the other system.
        """
        circuit, name = self._participant.circuit, self._participant.name
        try:
            async with asyncio.timeout(self._participant.timeout):
                answer = await asking
        except NoRequest:
            raise
        except Rejected:
            await asyncio.to_thread(circuit.answered, name)
            raise
        except (NotSent, TimeoutError, OSError):
            await asyncio.to_thread(circuit.broke, name)
            raise
        if answer is not None:
            await asyncio.to_thread(circuit.answered, name)
        return answer


def _outcome(function: object, answer: object) -> Done | Rejected | NotYet:
    if isinstance(answer, Accepted):
        msg = f"{function!r} returned Accepted, which only a local participant may; return NotYet to be asked again"
        raise TypeError(msg)
    return answer if isinstance(answer, Done | Rejected | NotYet) else Done(answer)


def check_coroutine(participant: AsyncParticipant, function: object) -> None:
    """Refuse what is no coroutine function."""
    if not (iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)):
        msg = f"{participant!r}: {function!r} is no coroutine function; write it with async def"
        raise DefinitionError(msg)
