"""Reads of the slots. Whether one has begun is asked of the database's clock, which all processes share."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from delivery.models import Slot


def upcoming() -> QuerySet[Slot]:
    """List the slots that have not begun, the next first."""
    return Slot.objects.filter(starts_at__gt=Now()).order_by("starts_at", "id")


def begun(*, slots: Iterable[int]) -> set[int]:
    """Which of these slots have begun."""
    return set(Slot.objects.filter(id__in=set(slots), starts_at__lte=Now()).values_list("id", flat=True))


def is_open(*, slot: int) -> bool | None:
    """Whether the slot has not begun; ``None`` if there is no such slot. It may be full all the same."""
    with connection.cursor() as cursor:
        # Not the ORM: every order passes here.
        cursor.execute("SELECT starts_at > clock_timestamp() FROM delivery_slot WHERE id = %s", [slot])
        row = cursor.fetchone()
    return None if row is None else bool(row[0])
