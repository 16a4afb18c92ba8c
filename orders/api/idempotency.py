"""Idempotency keys: a repeated request gets the first answer, and does nothing.

The key's row is the first statement of the request's transaction. Of two concurrent repeats the second
waits there for the first to commit (then it finds the answer) or to roll back (then it is the first).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from django.db import connection
from rest_framework.request import Request

from orders.api.problems import Problem
from orders.models import IdempotencyKey

_VALID = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with. It is known before the work is done: the work is a saga's."""

    status: int
    body: dict[str, Any]
    location: str
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a request, and what its body was."""

    key: str
    fingerprint: str


def key_of(request: Request) -> Key | None:
    """Read the ``Idempotency-Key`` of a request, if it has one."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _VALID.fullmatch(key):
        detail = "Idempotency-Key has 1 to 255 printable ASCII characters."
        raise Problem(400, "invalid-idempotency-key", detail)
    return Key(key, hashlib.sha256(request.body).hexdigest())


def claim(*, customer_id: int, key: Key, answer: Answer) -> Answer | None:
    """Keep the answer under the key, or find the one that is kept. Call it first in the transaction.

    Returns:
        ``None`` if the key is new, so that the caller does the work; else the first answer.

    Raises:
        Problem: 422, the key came before with another body.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders_idempotencykey (customer_id, key, fingerprint, status, body, location) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (customer_id, key) DO NOTHING",
            [customer_id, key.key, key.fingerprint, answer.status, json.dumps(answer.body), answer.location],
        )
        if cursor.rowcount:
            return None
    first = IdempotencyKey.objects.get(customer_id=customer_id, key=key.key)
    if first.fingerprint != key.fingerprint:
        raise Problem(422, "idempotency-key-reused", "This Idempotency-Key came before with another body.")
    return Answer(first.status, json.loads(first.body), first.location, replayed=True)
