"""Writes: register an endpoint, and record what has happened, in the transaction in which it happens."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from sagas import trace_context
from sagas.db import array
from sagas.trace_context import TraceContext
from webhooks.errors import EndpointNotFound, EndpointRefused, TooManyEndpoints
from webhooks.models import URL_LIMIT, Endpoint, Event
from webhooks.requests import Delivery
from webhooks.sagas import DeliverEvent

#: The most endpoints of one customer.
MOST = 10
#: Days for which events are kept.
KEPT_DAYS = 30
#: Seconds, never set back.
clock = time.monotonic
#: The kind of an event that only says that an endpoint works.
TEST = "endpoint.test"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that has happened.

    Attributes:
        customer_id: whom it is told to.
        subject: what it happened to. Its facts must come one after the other: the caller has a lock of it.
        kind: such as "order.confirmed".
        data: what is told, as JSON.
        trace: the trace that its delivery joins; by default that in which it is recorded.
    """

    customer_id: int
    subject: str
    kind: str
    data: Mapping[str, Any]
    trace: TraceContext | None = None


def register(*, customer_id: int, url: str, kinds: Sequence[str] = ()) -> Endpoint:
    """Register an address. A repeat returns the endpoint that there is, enabled again, with these kinds.

    Raises:
        EndpointRefused: the URL cannot be used; or the customer has too many.
    """
    check_url(url)
    with transaction.atomic():
        # One after the other for a customer, so that the limit holds.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('webhooks' || %s::int, 0))", [customer_id])
        known = Endpoint.objects.select_for_update().filter(customer_id=customer_id, url=url).first()
        if known is None:
            if Endpoint.objects.filter(customer_id=customer_id).count() >= MOST:
                msg = f"You have {MOST} endpoints, which is the most."
                raise TooManyEndpoints(msg)
            known = Endpoint(customer_id=customer_id, url=url)
        known.kinds, known.disabled_at, known.disabled_reason = list(kinds), None, ""
        known.save()
    known.refresh_from_db()
    _known.forget()
    return known


def check_url(url: str) -> None:
    """Refuse what is no address of a public server. Where it leads is looked at again at each attempt.

    Raises:
        EndpointRefused: the URL cannot be used.
    """
    why = _fault_of(url)
    if why:
        msg = f"{why}."
        raise EndpointRefused(msg)


def _fault_of(url: str) -> str:
    if len(url) > URL_LIMIT or not url.isascii() or not url.isprintable() or " " in url:
        return f"A URL has at most {URL_LIMIT} printable ASCII characters"
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        return "The URL cannot be read"
    schemes = {"https", "http"} if settings.WEBHOOKS_PRIVATE else {"https"}
    if parts.scheme not in schemes:
        return "The URL begins with https://"
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return "The URL has a host, and neither a user nor a fragment"
    if port is not None and not settings.WEBHOOKS_PRIVATE and port not in {443, 8443}:
        return "The port is 443 or 8443"
    return ""


def remove(*, customer_id: int, endpoint_id: UUID) -> None:
    """Remove an endpoint: nothing more is sent there.

    Raises:
        EndpointNotFound: the customer has none of this id.
    """
    removed, _ = Endpoint.objects.filter(customer_id=customer_id, pk=endpoint_id).delete()
    if not removed:
        raise EndpointNotFound(endpoint_id)


def disable(endpoint_ids: Sequence[UUID], *, reason: str) -> None:
    """Send nothing more to endpoints until they are registered again."""
    Endpoint.objects.filter(pk__in=endpoint_ids, disabled_at=None).update(disabled_at=Now(), disabled_reason=reason)


def record(facts: Iterable[Fact]) -> None:
    """Record facts for those of their customers who have endpoints, and begin to tell these, if the caller commits.

    Where nobody has an endpoint, the facts are not even made: each process looks once a second.
    """
    if not _known.are_any():
        return
    facts = list(facts)
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            [
                array(fact.customer_id for fact in facts),
                array(fact.subject for fact in facts),
                array(fact.kind for fact in facts),
                [json.dumps(fact.data) for fact in facts],
            ],
        )
        told = cursor.fetchall()
    traces = {(fact.customer_id, fact.subject, fact.kind): fact.trace for fact in facts}
    for event_id, endpoint_id, *of in told:
        with trace_context.use(traces.get(tuple(of))):
            DeliverEvent.start(Delivery(event_id, endpoint_id), business_key=f"event {event_id}")


_RECORD = """
WITH fact AS (
    SELECT * FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[]::jsonb[])
        WITH ORDINALITY AS v(customer_id, subject, kind, data, position)
    WHERE EXISTS (SELECT FROM webhooks_endpoint AS e WHERE e.customer_id = v.customer_id)
), told AS (
    INSERT INTO webhooks_event (event_id, customer_id, kind, subject, sequence, data, transaction)
    SELECT gen_random_uuid(), customer_id, kind, subject,
        COALESCE((SELECT max(sequence) FROM webhooks_event AS e WHERE e.subject = fact.subject), 0)
            + row_number() OVER (PARTITION BY subject ORDER BY position),
        data, pg_current_xact_id()::text::bigint
    FROM fact ORDER BY position
    RETURNING id, customer_id, subject, kind
)
SELECT told.id, endpoint.id, customer_id, told.subject, told.kind
FROM told JOIN webhooks_endpoint AS endpoint USING (customer_id)
WHERE endpoint.disabled_at IS NULL AND (endpoint.kinds = '{}' OR told.kind = ANY(endpoint.kinds))
ORDER BY told.id, endpoint.id
"""


def send_test(*, customer_id: int, endpoint_id: UUID) -> Event:
    """Send an event to one endpoint that only says that it works.

    Raises:
        EndpointNotFound: the customer has none of this id, or it is disabled.
    """
    with transaction.atomic():
        endpoint = (
            Endpoint.objects.select_for_update(no_key=True)
            .filter(customer_id=customer_id, pk=endpoint_id, disabled_at=None)
            .first()
        )
        if endpoint is None:
            raise EndpointNotFound(endpoint_id)
        subject = str(endpoint_id)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            (number,) = cursor.fetchone()
        last = Event.objects.filter(subject=subject).order_by("-sequence").values_list("sequence", flat=True).first()
        event = Event.objects.create(
            customer_id=customer_id, kind=TEST, subject=subject, sequence=(last or 0) + 1, data={}, transaction=number
        )
        DeliverEvent.start(Delivery(event.pk, endpoint_id), business_key=f"event {event.pk}")
    event.refresh_from_db()
    return event


def prune() -> int:
    """Delete events that are older than they are kept for; return how many."""
    deleted = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM webhooks_event WHERE id IN (SELECT id FROM webhooks_event "
                "WHERE created_at < statement_timestamp() - make_interval(days => %s) "
                "ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED)",
                [KEPT_DAYS],
            )
            some = int(cursor.rowcount)
        deleted += some
        if some < 1000:
            return deleted


class _Known:
    """Whether anybody has an endpoint, as this process has read a moment ago."""

    LASTS = 1.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._any = False
        self._until = -math.inf

    def are_any(self) -> bool:
        """Look, unless that was done within the last second."""
        now = clock()
        if now >= self._until:
            found = Endpoint.objects.exists()
            with self._lock:
                self._any, self._until = found, now + self.LASTS
        return self._any

    def forget(self) -> None:
        """Look again next time."""
        with self._lock:
            self._until = -math.inf


_known = _Known()


def forget() -> None:
    """Look again at who has endpoints, as after a change that the next fact must see."""
    _known.forget()
