"""Writes to the stock that people ask for; those of sagas are in ``participants``."""

from __future__ import annotations

from django.db.models import F

from inventory.models import Sku


def restock(*, code: str, quantity: int) -> None:
    """Add cups to what is available, or take some away (below 0).

    A difference, never a new total: runs move the same counts at the same time.

    Raises:
        IntegrityError: fewer are available than are to be taken away.
    """
    Sku.objects.filter(code=code).update(available=F("available") + quantity)
