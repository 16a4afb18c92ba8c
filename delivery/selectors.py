"""Reads of the slots. The database's clock, which all processes share, decides whether one has begun."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from delivery.models import Slot


class Standing(Enum):
    """Whether a slot takes orders. It may still be full."""

    OPEN = "open"
    BEGUN = "begun"
    INACTIVE = "inactive"


def upcoming() -> QuerySet[Slot]:
    """List the slots that are active and have not begun, the next first."""
    return Slot.objects.filter(starts_at__gt=Now(), active=True).order_by("starts_at", "id")


def begun(*, slots: Iterable[int]) -> set[int]:
    """Which of these slots have begun."""
    return set(Slot.objects.filter(id__in=set(slots), starts_at__lte=Now()).values_list("id", flat=True))


def standing(*, slot: int) -> Standing | None:
    """Whether the slot takes orders; ``None`` if there is no such slot."""
    with connection.cursor() as cursor:
        # Not by the ORM, because every order passes here.
        cursor.execute("SELECT starts_at <= clock_timestamp(), active FROM delivery_slot WHERE id = %s", [slot])
        row = cursor.fetchone()
    if row is None:
        return None
    begun, active = row
    if begun:
        return Standing.BEGUN
    return Standing.OPEN if active else Standing.INACTIVE
