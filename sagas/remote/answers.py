"""What an HTTP answer means. 2xx: done. 409: rejected. 425: not yet. Anything else: failed, or not known."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from sagas.definition.participants import Done, NotYet
from sagas.errors import Rejected
from sagas.remote.exchange import Reply
from sagas.validation import InvalidJson, parse_json

#: Seconds after which a participant is asked again that answers "not yet" without ``Retry-After``; and the bounds of
#: ``Retry-After``.
DEFAULT_WAIT = 1.0
SHORTEST_WAIT, LONGEST_WAIT = 0.1, 60.0
#: Longest code of a rejection.
CODE_LIMIT = 64


class UnexpectedAnswer(Exception):
    """An answer outside the contract, or one that reports a failure: whether the call took effect is not known.

    Attributes:
        status: of the answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_breakdown(self) -> bool:
        """Whether the participant itself has failed, and not only this request."""
        return self.status >= 500


class ClientError(UnexpectedAnswer):
    """A 4xx that the request itself causes, and would cause again. For ``Retry(never=…)``."""


#: 4xx that pass: time-out, connection to the wrong server, locked, too early, too many requests.
_PASSING = frozenset({408, 421, 423, 425, 429})


def read(reply: Reply) -> Done | Rejected | NotYet:
    """Read the answer to an operation; ``UnexpectedAnswer`` for a status that decides nothing."""
    if 200 <= reply.status < 300:
        return Done(_json(reply))
    if reply.status == 409:
        return _rejection(_said(reply))
    if reply.status == 425:
        return NotYet(wait_of(reply))
    kind = " (redirects are not followed)" if 300 <= reply.status < 400 else ""
    msg = f"HTTP {reply.status}{kind}"
    raise _unexpected(msg, reply.status)


def read_query(reply: Reply) -> Done | Rejected | NotYet | None:
    """Read the answer to a query; ``None`` if the participant does not know the operation."""
    if reply.status in {404, 410}:
        return None
    if reply.status == 425:
        return NotYet(wait_of(reply))
    if reply.status != 200:
        msg = f"HTTP {reply.status} to a query"
        raise _unexpected(msg, reply.status)
    said = _said(reply)
    match said.get("outcome"):
        case "done":
            return Done(said.get("result"))
        case "rejected":
            return _rejection(said)
        case "pending":
            return NotYet(wait_of(reply))
        case _:
            msg = "an answer to a query without an outcome of done, rejected or pending"
            raise UnexpectedAnswer(msg, reply.status)


def wait_of(reply: Reply) -> float:
    """Seconds that ``Retry-After`` asks for, as a number or a date, within the bounds."""
    asked = reply.headers.get("retry-after", "").strip()
    try:
        seconds = float(asked) if asked.isdigit() else parsedate_to_datetime(asked).timestamp() - time()
    except (ValueError, OverflowError):
        seconds = DEFAULT_WAIT
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)


def _unexpected(message: str, status: int) -> UnexpectedAnswer:
    is_callers_fault = 400 <= status < 500 and status not in _PASSING
    return (ClientError if is_callers_fault else UnexpectedAnswer)(message, status)


def _rejection(said: dict[str, Any]) -> Rejected:
    code, detail = said.get("code"), said.get("detail") or said.get("title")
    return Rejected(
        detail if isinstance(detail, str) else "The remote participant says no.",
        # PostgreSQL could not store what cannot be printed, such as a NUL.
        code=code[:CODE_LIMIT] if isinstance(code, str) and code and code.isprintable() else "Rejected",
    )


def _said(reply: Reply) -> dict[str, Any]:
    found = _json(reply)
    return found if isinstance(found, dict) else {}


def _json(reply: Reply) -> Any:
    """The body, if it is JSON and its content type says so."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not reply.body or not (kind == "application/json" or kind.endswith("+json")):
        return None
    try:
        return parse_json(reply.body)
    except ValueError as error:
        why = f": {error}" if isinstance(error, InvalidJson) else ""
        msg = f"HTTP {reply.status} with a body that is no JSON{why}"
        raise UnexpectedAnswer(msg, reply.status) from None
