"""Bodies of requests: JSON only, limited in size and depth, and never the cause of a 500."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from sagas.validation import InvalidJson, parse_json

#: No body of this API is nested deeper than 4; a much deeper one would overflow the stack later.
MAX_DEPTH = 16
#: Bytes that are read of a body that is too large, so that the client gets the answer instead of a broken pipe.
DRAIN_LIMIT = 32 * 1024 * 1024
DRAIN_SECONDS = 5.0
_CHUNK = 64 * 1024


class StrictJSONParser(BaseParser):
    """JSON by RFC 8259: UTF-8, no NaN, no name twice, limited nesting."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], _media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Parse the body; ``ParseError`` if it is not JSON."""
        # By request.body, which checks the size and keeps the bytes for idempotency and signatures.
        raw: bytes = parser_context["request"].body if parser_context else stream.read()
        try:
            return parse_json(raw, depth=MAX_DEPTH, once=True)
        except ValueError as error:
            raise ParseError(f"The body is no JSON: {_reason(error)}.") from None


def drain(request: Request) -> None:
    """Read and discard a body that was refused for its size.

    A server that closes a connection with unread data resets it, and the client loses the answer.
    """
    # The shop's own server has already read or refused it: this is for other servers.
    left, until = DRAIN_LIMIT, time.monotonic() + DRAIN_SECONDS
    while left > 0 and time.monotonic() < until and (chunk := request._request.read(_CHUNK)):
        left -= len(chunk)


def _reason(error: Exception) -> str:
    match error:
        case InvalidJson():
            return str(error)
        case json.JSONDecodeError(msg=message, lineno=line, colno=column):
            return f"{message} at line {line}, column {column}"
        case UnicodeDecodeError():
            return "it is not UTF-8"
    return "a number is out of range"
