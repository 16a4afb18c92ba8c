"""Idempotency keys: a repeated request gets the first answer, and does nothing.

The statement that inserts the order inserts the key's row. It also tries the key's lock, which the first request holds
until it commits or its session ends; a repeat that comes meanwhile is refused at once. A key is kept for a day. Once a
second each process deletes two expired keys for each new one, so the table holds about a day.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request

from orders import metrics
from orders.api.protocol.problems import Problem
from orders.services import Condition, Guard
from sagas.db import after_commit

#: Seconds for which a key is kept, by the database's clock.
KEPT_SECONDS = 24 * 60 * 60
#: Seconds between two deletions of expired keys by one process.
SWEEP_EVERY = 1.0
#: Seconds, never set back.
clock = time.monotonic
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
    #: The order's run, where this request has begun it.
    run_id: UUID | None = None


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
    header = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return None
    keys = _keys(header)
    if len(keys) > 1:
        raise Problem(400, "invalid-idempotency-key", _("The request has several Idempotency-Keys; send one."))
    if not keys or not 1 <= len(key := keys.pop()) <= _LONGEST:
        detail = _(
            "Idempotency-Key has 1 to %(most)d printable ASCII characters, "
            "and stands in quotation marks if there is a comma or a quotation mark in it."
        ) % {"most": _LONGEST}
        raise Problem(400, "invalid-idempotency-key", detail)
    return key


def _keys(header: str) -> set[str]:
    if not _KEYS.fullmatch(header):
        return set()
    found = re.findall(_MEMBER, header)
    return {_ESCAPED.sub(r"\1", member[1:-1]) if member.startswith('"') else member for member in found}


_LATER = frozenset({"expected_total_amount"})


def fingerprint(request: Request | HttpRequest, asked: Mapping[str, Any]) -> str:
    """Digest the endpoint and the validated body of a request, without its order of names and its white space.

    A field that was added later counts only if it is there: the keys of a day ago have their digests without it.
    """
    given = {name: value for name, value in asked.items() if name not in _LATER or value is not None}
    said = json.dumps([request.method, request.path, given], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


#: The lock ends with the transaction. With the lock, no other transaction uses this key, so a key that conflicts is
#: committed. An expired key is taken over.
_CLAIM = """
locked AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended(%(customer_id)s::int || ' ' || %(key)s::text, 20042)) AS ours
), claimed AS (
    INSERT INTO orders_idempotencykey AS kept (customer_id, key, fingerprint, status, body, location)
    SELECT %(customer_id)s::int, %(key)s::text, %(fingerprint)s, %(answer)s::smallint, %(body)s, %(location)s
    FROM locked WHERE CASE WHEN ours THEN {guard} END
    ON CONFLICT (customer_id, key) DO UPDATE SET fingerprint = EXCLUDED.fingerprint, status = EXCLUDED.status,
        body = EXCLUDED.body, location = EXCLUDED.location, created_at = EXCLUDED.created_at
    WHERE kept.created_at <= statement_timestamp() - make_interval(secs => %(kept)s::float8)
    RETURNING id
)
"""


def claim(*, customer_id: int, key: Key, answer: Answer, guard: Guard | None = None) -> Condition:
    """The condition that a key is new. Then its answer is stored with the order, by the same statement.

    ``guard`` must hold, too. It is evaluated behind the key's lock, so that a repeat does not wait for anything.
    """
    params = {
        "customer_id": customer_id,
        "key": key.key,
        "fingerprint": key.fingerprint,
        "answer": answer.status,
        "body": json.dumps(answer.body),
        "location": answer.location,
        "kept": KEPT_SECONDS,
    }
    if guard is None:
        return Condition(_CLAIM.format(guard="true"), "claimed", params)
    return Condition(_CLAIM.format(guard=guard.sql), "claimed", {**params, **guard.params})


def answer_before(*, customer_id: int, key: Key) -> Answer | None:
    """The stored answer under a key, if there is one: a request that was not accepted now may be a repeat.

    Raises:
        Problem: 409, a request with this key is being processed; 422, the key came before with another request.
    """
    with connection.cursor() as cursor:
        # Free, if only for a moment: who had it has committed or given up, and the next statement sees which.
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s::int || ' ' || %s::text, 20042))",
            [customer_id, key.key],
        )
        (free,) = cursor.fetchone()
    if not free:
        detail = _("A request with this Idempotency-Key is at work. Repeat it later to learn how it ended.")
        raise Problem(409, "request-in-progress", detail, headers={"Retry-After": "1"})
    return _find(customer_id, key)


def _find(customer_id: int, key: Key) -> Answer | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT fingerprint, status, body, location FROM orders_idempotencykey WHERE customer_id = %s AND key = %s "
            "AND created_at > statement_timestamp() - make_interval(secs => %s)",
            [customer_id, key.key, KEPT_SECONDS],
        )
        found = cursor.fetchone()
    if found is None:
        return None
    first, status, body, location = found
    if first != key.fingerprint:
        raise Problem(422, "idempotency-key-reused", _("This Idempotency-Key came before with another request."))
    metrics.REPLAYS.add_now()
    return Answer(status, json.loads(body), location, replayed=True)


def is_repeat(*, customer_id: int, key: str) -> bool:
    """Whether a request with this key was accepted before, so that it has an answer whatever the load."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM orders_idempotencykey WHERE customer_id = %s AND key = %s "
            "AND created_at > statement_timestamp() - make_interval(secs => %s))",
            [customer_id, key, KEPT_SECONDS],
        )
        (found,) = cursor.fetchone()
    return bool(found)


_SWEEP = """
DELETE FROM orders_idempotencykey WHERE id IN (
    SELECT id FROM orders_idempotencykey WHERE created_at <= statement_timestamp() - make_interval(secs => %s)
    ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""
_SWEPT_AT_ONCE = 1000


def sweep() -> int:
    """Delete all expired keys, a thousand a transaction; return how many.

    New keys delete old ones, too; this is for cron in a shop without new orders.
    """
    swept, last = 0, _SWEPT_AT_ONCE
    while last == _SWEPT_AT_ONCE:
        last = _sweep(_SWEPT_AT_ONCE)
        swept += last
    return swept


def _sweep(most: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SWEEP, [KEPT_SECONDS, most])
        return int(cursor.rowcount)


class _Sweeping:
    """The new keys of this process since it last deleted expired ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at = -math.inf
        self._new = 0

    def count(self) -> None:
        """Count a new key. Once a second, delete two expired keys for each new one, after the commit."""
        with self._lock:
            self._new += 1
            if clock() < self._at + SWEEP_EVERY:
                return
            self._at, new, self._new = clock(), self._new, 0
        after_commit(_sweep, 2 * new)


_sweeping = _Sweeping()


def note_new() -> None:
    """A key was stored: sometimes delete expired ones."""
    _sweeping.count()
