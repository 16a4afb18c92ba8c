"""``HttpParticipant``: the operations of a participant in another system, in any language, over HTTP."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic_core import to_jsonable_python

from sagas import trace_context
from sagas.definition.participants import Call, Done, NotYet, TccResource
from sagas.errors import DefinitionError, NotSent, Rejected
from sagas.remote.answers import UnexpectedAnswer, read, read_query
from sagas.remote.circuit import Circuit
from sagas.remote.exchange import NoRequest, Reply, Request, TooLarge, Unanswered, exchange

Body = Callable[[Call[Any]], object]
#: Seconds of a lease beyond the exchanges: for the commits before and after them, and for a busy machine.
MARGIN = 5.0
#: Methods without a body.
_BARE = frozenset({"GET", "DELETE"})
#: Names of participants: they are parts of keys in Redis.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PLACES = re.compile(r"\{(tx|branch|operation)\}")


def whole_call(call: Call[Any]) -> object:
    """The default body: the run's request, and the results of the steps before."""
    return {"request": call.request, "results": call.results}


class HttpParticipant:
    """A participant that is called over HTTP; see ``docs/reference/remote-participants.md`` for what it must do.

    >>> points = HttpParticipant("points", lambda: settings.POINTS_URL, timeout=2)
    ...
    ... class PlaceOrder(Saga[Order]):
    ...     pay = Step(points.post("/debits"), compensate=points.delete("/debits/{tx}"), queue="points")
    ...     hold = Tcc(points.tcc("/reservations"), queue="points")

    Args:
        name: its name in the log, and the name of its lane and its circuit.
        base_url: its address, or a function that returns it for each call.
        connect_timeout: seconds to connect.
        timeout: seconds from then to the end of the answer.
        concurrency: calls at a time in each worker process.
        headers: further headers, such as ``Authorization``; or a function that returns them.
        query: path for queries of an operation by its key, if there is one.
        answer_limit: longest answer in bytes.
        patience: seconds after which "not yet" (425) counts as a failed attempt.
        circuit: when calls are stopped for a while.

    Raises:
        DefinitionError: an argument is out of its range.
    """

    def __init__(
        self,
        name: str,
        base_url: str | Callable[[], str],
        *,
        connect_timeout: float = 1.0,
        timeout: float = 3.0,
        concurrency: int = 8,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        query: str = "",
        answer_limit: int = 65_536,
        patience: float = 600.0,
        circuit: Circuit | None = None,
    ) -> None:
        check_name("HttpParticipant", name)
        if isinstance(base_url, str):
            check_url(name, base_url)
        check_seconds("HttpParticipant", name, connect_timeout=connect_timeout, timeout=timeout, patience=patience)
        if query and not query.startswith("/"):
            # Without a slash the path would become part of the host's name.
            msg = f"HttpParticipant({name!r}, query={query!r}): a path begins with a slash"
            raise DefinitionError(msg)
        if concurrency < 1 or answer_limit < 1:
            msg = f"HttpParticipant({name!r}): concurrency and answer_limit are at least 1"
            raise DefinitionError(msg)
        self.name = name
        self.concurrency = concurrency
        self.patience = patience
        self.circuit = circuit or Circuit()
        self._base_url = base_url
        self._headers = headers
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._query = query
        self._limit = answer_limit

    def __repr__(self) -> str:
        """Its name. The address and the headers may contain secrets."""
        return f"HttpParticipant({self.name!r})"

    @property
    def lease(self) -> float:
        """Seconds after which a call has surely ended: a query before it, the call, and a query after it."""
        return (3 if self._query else 1) * (self._connect_timeout + self._timeout) + MARGIN

    @property
    def can_be_queried(self) -> bool:
        """Whether an operation can be queried by its key."""
        return bool(self._query)

    def post(self, path: str, body: Body = whole_call) -> HttpOperation:
        """An operation: ``POST`` to a path, in which ``{tx}`` and ``{branch}`` are replaced by run and step."""
        return HttpOperation(self, "POST", path, body)

    def put(self, path: str, body: Body = whole_call) -> HttpOperation:
        """An operation: ``PUT``."""
        return HttpOperation(self, "PUT", path, body)

    def patch(self, path: str, body: Body = whole_call) -> HttpOperation:
        """An operation: ``PATCH``."""
        return HttpOperation(self, "PATCH", path, body)

    def delete(self, path: str) -> HttpOperation:
        """An operation: ``DELETE``, without a body."""
        return HttpOperation(self, "DELETE", path, None)

    def tcc(self, path: str, body: Body = whole_call) -> TccResource[Any]:
        """A TCC resource: try is ``POST``, confirm ``PUT``, cancel ``DELETE``, all of one path."""
        return HttpResource(self.post(path, body), self.put(path, body), self.delete(path))

    def send(self, method: str, path: str, call: Call[Any], body: bytes | None) -> Reply:
        """Make one exchange for a call. Raises what ``exchange`` raises, and ``NoRequest``."""
        try:
            base = self._base_url if isinstance(self._base_url, str) else self._base_url()
            check_url(self.name, base)
            own = self._headers() if callable(self._headers) else self._headers or {}
            headers = {**own, **_headers_of(call), **({"Content-Type": "application/json"} if body else {})}
            request = Request(method, base.rstrip("/") + _fill(path, call), headers, body)
        except Exception as error:
            # The error's text is left out: it may quote a secret that cannot be a header.
            msg = f"no request could be made for {self.name}: {type(error).__name__}"
            raise NoRequest(msg) from None
        return exchange(request, connect_timeout=self._connect_timeout, timeout=self._timeout, limit=self._limit)

    def query(self, call: Call[Any]) -> Done | Rejected | NotYet | None:
        """Query the outcome of a call; ``None`` if the participant has never seen it."""
        return read_query(self.send("GET", self._query, call, None))


class HttpOperation:
    """One operation of an ``HttpParticipant``. For the engine it is a ``Remote`` participant."""

    def __init__(self, participant: HttpParticipant, method: str, path: str, body: Body | None) -> None:
        if not path.startswith("/"):
            msg = f"{participant.name}: the path {path!r} begins with a slash"
            raise DefinitionError(msg)
        self._participant = participant
        self._method = method
        self._path = path
        self._body = body

    def __str__(self) -> str:
        """Its name in the log."""
        return f"{self._participant.name}: {self._method} {self._path}"

    __repr__ = __str__

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
        """Seconds after which a call has surely ended."""
        return self._participant.lease

    @property
    def patience(self) -> float:
        """Seconds after which "not yet" counts as a failed attempt."""
        return self._participant.patience

    def admit(self, wanted: int) -> tuple[int, float]:
        """Ask the circuit."""
        return self._participant.circuit.admit(self._participant.name, wanted, self.lease)

    def call(self, call: Call[Any], *, repeated: bool) -> Done | Rejected | NotYet:
        """Call it; see ``Remote``. If the outcome is not known, query it, if the participant has queries."""
        asks = self._participant.can_be_queried
        if repeated and asks:
            known = self._watched(lambda: self._participant.query(call))
            if known is not None:
                return known
        try:
            return self._watched(lambda: self._send(call)) or Done()
        except (Unanswered, UnexpectedAnswer, TooLarge):
            known = self._query_outcome(call) if asks else None
            if known is None or isinstance(known, NotYet):
                raise
            return known

    def _send(self, call: Call[Any]) -> Done | Rejected | NotYet:
        return read(self._participant.send(self._method, self._path, call, self._encode(call)))

    def _encode(self, call: Call[Any]) -> bytes | None:
        if self._method in _BARE or self._body is None:
            return None
        try:
            return json.dumps(to_jsonable_python(self._body(call)), allow_nan=False).encode()
        except Exception as error:
            msg = f"no body could be made for {self}: {type(error).__name__}: {error}"
            raise NoRequest(msg) from error

    def _query_outcome(self, call: Call[Any]) -> Done | Rejected | NotYet | None:
        """Query the outcome of a call without an answer; ``None`` also if the query fails."""
        try:
            return self._participant.query(call)
        except Exception:
            return None

    def _watched(self, ask: Callable[[], Done | Rejected | NotYet | None]) -> Done | Rejected | NotYet | None:
        """Make a call or a query, and tell the circuit whether the participant answers.

        A query for an operation that the participant does not know does not count: that it answers queries does not
        mean that it works. The operation itself, which is sent next, counts.
        """
        circuit, name = self._participant.circuit, self._participant.name
        try:
            answer = ask()
        except NoRequest:
            raise  # says nothing about the participant
        except (NotSent, Unanswered):
            circuit.broke(name)
            raise
        except UnexpectedAnswer as error:
            if error.is_breakdown:
                circuit.broke(name)
            else:
                circuit.answered(name)
            raise
        except TooLarge:
            circuit.answered(name)
            raise
        if answer is not None:
            circuit.answered(name)
        return answer


class HttpResource:
    """A TCC resource of an ``HttpParticipant``."""

    def __init__(self, try_: HttpOperation, confirm: HttpOperation, cancel: HttpOperation) -> None:
        self.try_ = try_
        self.confirm = confirm
        self.cancel = cancel


def check_name(kind: str, name: str) -> None:
    """Refuse a participant's name that cannot be a part of a key in Redis; ``kind`` is its class."""
    if not _NAME.fullmatch(name):
        msg = f"{kind}({name!r}): a name has letters, digits, dots, dashes, at most 64"
        raise DefinitionError(msg)


def check_seconds(kind: str, name: str, **given: float) -> None:
    """Refuse arguments of a participant that are no seconds above 0."""
    for what, value in given.items():
        if not 0 < value < math.inf:
            msg = f"{kind}({name!r}, {what}={value}): give seconds above 0"
            raise DefinitionError(msg)


def check_url(name: str, url: str) -> None:
    """Refuse an address that cannot be called, or contains a password, without quoting it."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        # A wrong port, or half an IPv6 address. The error's text quotes it, and is left out.
        known = None
    if not known or parts.query or parts.fragment:
        msg = f"HttpParticipant({name!r}): base_url is an address such as https://points.example/api"
        raise DefinitionError(msg) from None
    if parts.username is not None or parts.password is not None:
        msg = f"HttpParticipant({name!r}): base_url has a user or a password in it; give headers= instead"
        raise DefinitionError(msg)


def _headers_of(call: Call[Any]) -> dict[str, str]:
    headers = {
        "X-Tx-ID": str(call.run_id),
        "X-Branch-ID": call.step,
        "X-Operation": call.operation.value,
        "Idempotency-Key": call.key,
        "Accept": "application/json",
        "User-Agent": "drinkgroup-sagas",
    }
    return headers | trace_headers(call)


def trace_headers(call: Call[Any]) -> dict[str, str]:
    """The headers by which another system joins the run's trace, with a span of its own for this request."""
    trace = call.trace
    if trace is None:
        return {}
    # The span in which this call is made, if it is recorded.
    span = trace_context.current()
    if span is None or span.trace_id != trace.trace_id or span == trace:
        span = replace(trace, span_id=secrets.token_hex(8))
    headers = {"traceparent": span.traceparent, "baggage": f"sagas.run.id={call.run_id}"}
    return headers | ({"tracestate": span.state} if span.state else {})


def _fill(path: str, call: Call[Any]) -> str:
    known = {"tx": str(call.run_id), "branch": call.step, "operation": call.operation.value}
    return _PLACES.sub(lambda found: quote(known[found[1]], safe=""), path)
