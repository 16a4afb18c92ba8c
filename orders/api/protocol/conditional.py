"""Conditional requests (RFC 9110): who has the present version of something is answered 304, without its body."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.utils.cache import get_conditional_response
from django.utils.translation import get_language
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from orders.api.protocol.problem_types import is_english

#: What is one customer's, and what changes at any time: it may be kept, and is asked for again each time.
CACHE_CONTROL = "private, no-cache"


def tag(version: str) -> str:
    """A weak entity tag: what is the same to a client may be written differently. Each language has its own."""
    if not is_english():
        version = f"{version} {get_language()}"
    return f'W/"{hashlib.sha256(version.encode()).hexdigest()[:20]}"'


def headers(etag: str) -> dict[str, str]:
    """The headers of an answer with this entity tag."""
    return {"ETag": etag, "Cache-Control": CACHE_CONTROL}


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has this version already."""
    if not request.META.get("HTTP_IF_NONE_MATCH"):
        return False
    found = get_conditional_response(request._request, etag=etag)
    return found is not None and found.status_code == 304


def unchanged(etag: str) -> Response:
    """The answer to a client that has this version."""
    return Response(status=304, headers=headers(etag))


def answer(request: Request, body: Any) -> Response:
    """Answer with a body that is at hand, or 304 if the client has it."""
    etag = tag(json.dumps(body, cls=JSONEncoder, sort_keys=True))
    if is_known(request, etag):
        return unchanged(etag)
    return Response(body, headers=headers(etag))
