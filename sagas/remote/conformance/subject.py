"""The examined participant: how to call its operations, and how to see their effects."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import UUID, uuid4

from sagas.definition.participants import Call, Done, NotYet, Operation
from sagas.errors import DefinitionError, NotSent, Rejected
from sagas.remote.answers import UnexpectedAnswer, read
from sagas.remote.client import HttpParticipant
from sagas.remote.exchange import Reply, TooLarge, Unanswered

#: Seconds for which a call with the answer "not yet" is repeated, and a restarted participant is awaited.
PATIENCE = 30.0

T = TypeVar("T")


class Violation(Exception):
    """The participant does not keep the contract. The text has the call and the answer."""


class Away(Violation):
    """The participant was not reached, or gave no answer."""


@dataclass(frozen=True, slots=True)
class Route:
    """Method and path of one operation."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Operations that belong together: forward and compensate; or try and cancel, with a confirm.

    Attributes:
        do: forward or try.
        undo: compensate or cancel.
        confirm: the confirm of a try.
    """

    do: Operation
    undo: Operation
    confirm: Operation | None = None


FORWARD = Pair(Operation.FORWARD, Operation.COMPENSATE)
TRY = Pair(Operation.TRY, Operation.CANCEL, Operation.CONFIRM)


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a new global transaction."""

    tx: UUID = field(default_factory=uuid4)
    name: str = "conformance"
    trace_id: str = field(default_factory=lambda: str(uuid4()))

    def beside(self) -> Branch:
        """Another branch of the same transaction."""
        return replace(self, name=f"{self.name}_beside")


#: The answer to an operation, as the engine reads it.
Answer = Done | Rejected


def told(answer: Answer | None) -> str:
    """Describe an answer in one line."""
    match answer:
        case None:
            return "404, it never came"
        case Done():
            return f"done, {json.dumps(answer.result)[:200]}"
        case Rejected():
            return f"rejected, {answer.code}: {answer.detail[:200]}"


class Subject:
    """A running participant.

    Args:
        base_url: its address.
        routes: method and path of each of its operations, such as ``{Operation.FORWARD: Route("POST", "/debits")}``.
        body: the body for forward and try, which the participant can accept many times.
        refused: a body that the participant rejects; ``None`` if none is known.
        headers: further headers, such as ``Authorization``.
        query: path for queries of operations by their key, if there is one.
        observe: path of a ``GET`` whose answer differs before and after an effect, if there is one.
        restart: a command that kills it (``kill -9``) and starts it again, if there is one.
        timeout: seconds for an answer.

    Raises:
        DefinitionError: the address or a path is wrong.
    """

    def __init__(
        self,
        base_url: str,
        routes: Mapping[Operation, Route],
        body: object,
        *,
        refused: object = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        observe: str = "",
        restart: Sequence[str] = (),
        timeout: float = 10.0,
    ) -> None:
        if observe and not observe.startswith("/"):
            msg = f"observe={observe!r}: a path begins with a slash"
            raise DefinitionError(msg)
        self.routes = dict(routes)
        self.body = body
        self.refused = refused
        self.queries = bool(query)
        self.observes = bool(observe)
        self.restarts = bool(restart)
        self._asked: set[Branch] = set()
        self._observe = observe
        self._restart = list(restart)
        self._participant = HttpParticipant(
            "conformance", base_url, connect_timeout=timeout, timeout=timeout, headers=headers, query=query
        )

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of operations that it has."""
        return [pair for pair in (FORWARD, TRY) if pair.do in self.routes]

    def ask(self, branch: Branch, operation: Operation, *, refused: bool = False) -> Answer:
        """Call an operation, again after the answer "not yet", until it is done or rejected.

        Raises:
            Violation: there was no such answer.
        """
        self._asked.add(branch)
        route = self.routes[operation]
        wanted = self.refused if refused else self.body
        body = json.dumps(wanted).encode() if operation in {Operation.FORWARD, Operation.TRY} else None

        def ask() -> Answer | NotYet:
            return read(self._send(route, branch, operation, body))

        answer = self._patiently(f"{operation} ({route})", ask)
        assert answer is not None  # only a query may answer that
        return answer

    def forget(self) -> None:
        """Do not take back what was called until now."""
        self._asked.clear()

    def take_back(self, undo: Operation) -> None:
        """Undo what was called, if possible, so that the effects of one broken rule do not break the next check."""
        for branch in list(self._asked):
            with contextlib.suppress(Violation):
                self.ask(branch, undo)
        self._asked.clear()

    def query(self, branch: Branch, operation: Operation) -> Answer | None:
        """Query an operation; ``None`` if the participant says that it never came."""
        call = _call(branch, operation)
        return self._patiently(f"a query for {operation}", lambda: self._participant.query(call))

    def observed(self) -> object:
        """What can be observed from outside; always the same without ``observe``."""
        if not self.observes:
            return None
        what = f"GET {self._observe}"
        reply = _judged(what, lambda: self._send(Route("GET", self._observe), Branch(), Operation.FORWARD, None))
        answer = _judged(what, lambda: read(reply))
        if not isinstance(answer, Done):
            msg = f"{what}: HTTP {reply.status}"
            raise Violation(msg)
        return reply.body if answer.result is None else answer.result

    def restart(self, branch: Branch, operation: Operation) -> Answer:
        """Kill the participant and start it again; call an operation when it is back."""
        # Not captured, for the process that it starts would keep a pipe open.
        code = subprocess.run(  # noqa: S603 - the user's own command
            self._restart,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        if code:
            msg = f"the restart command failed: {code}"
            raise Violation(msg)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.ask(branch, operation)
            except Away:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _patiently(self, what: str, ask: Callable[[], Answer | NotYet | None]) -> Answer | None:
        end = time.monotonic() + PATIENCE
        while True:
            answer = _judged(what, ask)
            if not isinstance(answer, NotYet):
                return answer
            if time.monotonic() > end:
                msg = f'{what}: "not yet" (425) for {PATIENCE:g} s'
                raise Violation(msg)
            time.sleep(answer.after)

    def _send(self, route: Route, branch: Branch, operation: Operation, body: bytes | None) -> Reply:
        return self._participant.send(route.method, route.path, _call(branch, operation), body)


def _call(branch: Branch, operation: Operation) -> Call[None]:
    return Call(branch.tx, branch.name, operation, 1, None, trace_id=branch.trace_id)


def _judged(what: str, ask: Callable[[], T]) -> T:
    """Call, and raise a ``Violation`` for an answer that decides nothing."""
    try:
        return ask()
    except NotSent as error:
        msg = f"{what}: not reached: {error}"
        raise Away(msg) from None
    except Unanswered as error:
        msg = f"{what}: no answer: {error}"
        raise Away(msg) from None
    except (TooLarge, UnexpectedAnswer) as error:
        msg = f"{what}: {error}"
        raise Violation(msg) from None
