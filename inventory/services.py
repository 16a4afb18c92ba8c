"""Changes of the stock by people. Those by sagas are in ``participants``."""

from __future__ import annotations

from django.db.models import F

from inventory.models import Sku


def restock(*, code: str, quantity: int) -> None:
    """Add cups to the available ones, or remove some (below 0).

    It takes a difference and not a new total, because runs change the same counts at the same time.

    Raises:
        IntegrityError: more would be removed than are available.
    """
    Sku.objects.filter(code=code).update(available=F("available") + quantity)
