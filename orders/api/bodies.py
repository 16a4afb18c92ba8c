"""Bodies of requests: JSON only, bounded in size and depth, and never a reason for a 500."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from sagas.validation import Malformed, parse

#: No body of this API is deeper than 4; what is far deeper would overflow the stack somewhere later.
MAX_DEPTH = 16
#: What is read of a body that is too large, so that the client hears why instead of a broken pipe.
DRAIN_LIMIT = 32 * 1024 * 1024
DRAIN_SECONDS = 5.0
_CHUNK = 64 * 1024


class StrictJSONParser(BaseParser):
    """JSON as RFC 8259 has it: UTF-8, no NaN, no name twice, no nesting without end."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], _media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Parse the body; ``ParseError`` if it is no JSON."""
        # Through request.body, which checks the size and keeps the bytes: idempotency and signatures need them.
        raw: bytes = parser_context["request"].body if parser_context else stream.read()
        try:
            return parse(raw, depth=MAX_DEPTH, once=True)
        except ValueError as error:
            raise ParseError(f"The body is no JSON: {_reason(error)}.") from None


def drain(request: Request) -> None:
    """Read and forget a body that was refused for its size.

    A server that closes a connection with unread data resets it, and the client loses the answer.
    """
    # The shop's own server has read it, or refused it, already: this is for others.
    left, until = DRAIN_LIMIT, time.monotonic() + DRAIN_SECONDS
    while left > 0 and time.monotonic() < until and (chunk := request._request.read(_CHUNK)):
        left -= len(chunk)


def _reason(error: Exception) -> str:
    match error:
        case Malformed():
            return str(error)
        case json.JSONDecodeError(msg=message, lineno=line, colno=column):
            return f"{message} at line {line}, column {column}"
        case UnicodeDecodeError():
            return "it is not UTF-8"
    return "a number is out of range"
