"""When the shop delivers, and how many orders it can carry each time."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from sagas.pool import Hold, Pool


class Slot(Pool):
    """A time of delivery. The pool counts orders: its capacity is available + held + sold."""

    id = models.BigAutoField(primary_key=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta(Pool.Meta):
        """The pool's constraints are kept."""

        ordering = ["starts_at", "id"]
        constraints = [
            *Pool.Meta.constraints,
            models.UniqueConstraint(name="delivery_slot_once", fields=["starts_at", "ends_at"]),
            models.CheckConstraint(name="delivery_slot_ends_after_start", condition=Q(ends_at__gt=F("starts_at"))),
        ]

    def __str__(self) -> str:
        """Name it by its time."""
        return f"{self.starts_at:%Y-%m-%d %H:%M} to {self.ends_at:%H:%M}"


class SlotHold(Hold):
    """The place of one run in a slot."""

    class Meta(Hold.Meta):
        """The hold's constraint is inherited."""

    def __str__(self) -> str:
        """Say what is held."""
        return f"slot {self.pool_key} for {self.run_id}: {self.state}"
