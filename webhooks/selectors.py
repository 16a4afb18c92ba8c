"""Reads: a customer's endpoints and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from django.db import connection
from django.db.models import QuerySet

from webhooks.models import Endpoint, Event


def endpoints_of(*, customer_id: int) -> QuerySet[Endpoint]:
    """List a customer's endpoints, the first one first."""
    return Endpoint.objects.filter(customer_id=customer_id)


def events_after(
    *,
    customer_id: int,
    after: tuple[int, int] = (0, 0),
    limit: int = 100,
    filters: Mapping[str, str] = MappingProxyType({}),
) -> Sequence[Event]:
    """List a customer's events behind a place, in an order in which none is missed.

    By the transaction that wrote them, and only as far as all older transactions have ended: ids are drawn before the
    commit, so an event with a lower one may appear later.

    Args:
        customer_id: the customer.
        after: transaction and id of the last event that is known.
        limit: the most events.
        filters: of these values only, by field.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        (open_since,) = cursor.fetchone()
    found = Event.objects.extra(where=["(transaction, id) > (%s, %s)"], params=list(after))
    return list(found.filter(customer_id=customer_id, transaction__lt=open_since, **filters)[:limit])
