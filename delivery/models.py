"""The times at which the shop delivers, and how many orders it can deliver at each."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from sagas.pool import Hold, Pool

#: The range of slots. A year that Python cannot represent would break every list with the slot.
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

#: The highest number of orders in one slot.
MOST_ORDERS = 1_000_000


class Slot(Pool):
    """A time of delivery. The pool counts orders: its capacity is available + held + sold."""

    id = models.BigAutoField(primary_key=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    active = models.BooleanField(default=True, db_default=True, help_text="Whether it is offered and takes orders.")

    class Meta(Pool.Meta):
        """The pool's constraints are kept."""

        ordering = ["starts_at", "id"]
        constraints = [
            *Pool.Meta.constraints,
            models.UniqueConstraint(name="delivery_slot_once", fields=["starts_at", "ends_at"]),
            models.CheckConstraint(name="delivery_slot_ends_after_start", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(
                name="delivery_slot_in_range",
                condition=Q(starts_at__gte=FIRST, ends_at__lt=LAST),
                violation_error_message="A slot lies between 2000 and 2100.",
            ),
        ]

    def __str__(self) -> str:
        """Name it by its time, in the shop's time zone."""
        start, end = timezone.localtime(self.starts_at), timezone.localtime(self.ends_at)
        return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M}"


class SlotHold(Hold):
    """The place that one run has in a slot."""

    class Meta(Hold.Meta):
        """The hold's constraint is inherited."""

    def __str__(self) -> str:
        """Say what is held."""
        return f"slot {self.pool_key} for {self.run_id}: {self.state}"
