"""Idempotency keys: a repeated request gets the first answer, and does nothing.

The first statement of the request's transaction inserts the key's row. It also tries the key's lock, which the first
request holds until it commits or its session ends; a repeat that comes meanwhile is refused at once. A key is kept
for a day. Each new key deletes up to two expired ones, so the table holds about a day.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection
from rest_framework.request import Request

from orders.api.problems import Problem

#: Seconds for which a key is kept, by the database's clock.
KEPT_SECONDS = 24 * 60 * 60
#: The header's value: keys, each a string of RFC 9651 (``"…"``) or bare, with commas between. WSGI joins headers of one
#: name by commas.
_MEMBER = r'"(?:[ !#-\[\]-~]|\\["\\])*"|[!#-+\--~](?:[ !#-+\--~]*[!#-+\--~])?'
_KEYS = re.compile(rf"\s*(?:{_MEMBER})\s*(?:,\s*(?:{_MEMBER})\s*)*")
_ESCAPED = re.compile(r'\\(["\\])')
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request. It is known before the work is done, because a saga does the work."""

    status: int
    body: dict[str, Any]
    location: str
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a request, and a digest of its content."""

    key: str
    fingerprint: str


def key_of(request: Request) -> str | None:
    """Read the ``Idempotency-Key`` of a request, if it has one. ``"k"`` and ``k`` are the same key.

    Raises:
        Problem: 400, the key is invalid, or there are two different keys.
    """
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    keys = _keys(header)
    if len(keys) > 1:
        raise Problem(400, "invalid-idempotency-key", "The request has several Idempotency-Keys; send one.")
    if not keys or not 1 <= len(key := keys.pop()) <= _LONGEST:
        detail = (
            f"Idempotency-Key has 1 to {_LONGEST} printable ASCII characters, "
            "and stands in quotation marks if there is a comma or a quotation mark in it."
        )
        raise Problem(400, "invalid-idempotency-key", detail)
    return key


def _keys(header: str) -> set[str]:
    if not _KEYS.fullmatch(header):
        return set()
    found = re.findall(_MEMBER, header)
    return {_ESCAPED.sub(r"\1", member[1:-1]) if member.startswith('"') else member for member in found}


def fingerprint(request: Request, asked: Mapping[str, Any]) -> str:
    """Digest the endpoint and the validated body of a request, without its order of names and its white space."""
    said = json.dumps([request.method, request.path, asked], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


#: One statement. The lock ends with the transaction. With the lock, no other transaction uses this key, so a key that
#: conflicts is committed. An expired key is taken over. Rows that another transaction has locked are not swept.
_CLAIM = """
WITH lock AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended(%(customer_id)s || ' ' || %(key)s, 20042)) AS ours
), mine AS (
    INSERT INTO orders_idempotencykey AS kept (customer_id, key, fingerprint, status, body, location)
    SELECT %(customer_id)s, %(key)s, %(fingerprint)s, %(status)s, %(body)s, %(location)s FROM lock WHERE ours
    ON CONFLICT (customer_id, key) DO UPDATE SET fingerprint = EXCLUDED.fingerprint, status = EXCLUDED.status,
        body = EXCLUDED.body, location = EXCLUDED.location, created_at = EXCLUDED.created_at
    WHERE kept.created_at <= statement_timestamp() - make_interval(secs => %(kept)s)
    RETURNING id
), old AS (
    SELECT id FROM orders_idempotencykey
    WHERE created_at <= statement_timestamp() - make_interval(secs => %(kept)s)
        AND NOT (customer_id = %(customer_id)s AND key = %(key)s)
    ORDER BY created_at LIMIT 2 FOR UPDATE SKIP LOCKED
), swept AS (
    DELETE FROM orders_idempotencykey WHERE id IN (SELECT id FROM old) AND EXISTS (SELECT FROM mine)
)
SELECT ours, EXISTS (SELECT FROM mine) FROM lock
"""


def claim(*, customer_id: int, key: Key, answer: Answer) -> Answer | None:
    """Store the answer under the key, or find the stored one. Call it first in the transaction.

    Returns:
        ``None`` if the key is new and the caller must do the work; otherwise the first answer.

    Raises:
        Problem: 409, a request with this key is being processed; 422, the key came before with another request.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "customer_id": customer_id,
                "key": key.key,
                "fingerprint": key.fingerprint,
                "status": answer.status,
                "body": json.dumps(answer.body),
                "location": answer.location,
                "kept": KEPT_SECONDS,
            },
        )
        locked, new = cursor.fetchone()
        if not locked:
            detail = "A request with this Idempotency-Key is at work. Repeat it later to learn how it ended."
            raise Problem(409, "request-in-progress", detail, headers={"Retry-After": "1"})
        if new:
            return None
        cursor.execute(
            "SELECT fingerprint, status, body, location FROM orders_idempotencykey WHERE customer_id = %s AND key = %s",
            [customer_id, key.key],
        )
        first, status, body, location = cursor.fetchone()
    if first != key.fingerprint:
        raise Problem(422, "idempotency-key-reused", "This Idempotency-Key came before with another request.")
    return Answer(status, json.loads(body), location, replayed=True)


_SWEEP = """
DELETE FROM orders_idempotencykey WHERE id IN (
    SELECT id FROM orders_idempotencykey WHERE created_at <= statement_timestamp() - make_interval(secs => %s)
    ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""
_SWEPT_AT_ONCE = 1000


def sweep() -> int:
    """Delete all expired keys, a thousand a transaction; return how many.

    Each new key deletes two, too; this is for cron in a shop without new orders.
    """
    swept, last = 0, _SWEPT_AT_ONCE
    with connection.cursor() as cursor:
        while last == _SWEPT_AT_ONCE:
            cursor.execute(_SWEEP, [KEPT_SECONDS, _SWEPT_AT_ONCE])
            last = int(cursor.rowcount)
            swept += last
    return swept
