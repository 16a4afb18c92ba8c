"""The tables of a pool: something countable, and what runs hold of it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from sagas import limits


class Pool(models.Model):
    """Something countable, in whole pieces. A subclass adds the primary key and other columns.

    ``available + held + sold`` changes only when a person adds or removes stock.
    """

    available = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0, editable=False)
    sold = models.BigIntegerField(default=0, editable=False)
    settled = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text="Of what is sold: that of runs that were pruned."
    )

    class Meta:
        """The database refuses negative counts."""

        abstract = True
        constraints = [
            models.CheckConstraint(name="%(app_label)s_%(class)s_available_ge_0", condition=Q(available__gte=0)),
            models.CheckConstraint(name="%(app_label)s_%(class)s_held_ge_0", condition=Q(held__gte=0)),
            models.CheckConstraint(name="%(app_label)s_%(class)s_sold_ge_0", condition=Q(sold__gte=0)),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_sold_ge_settled", condition=Q(settled__gte=0, settled__lte=F("sold"))
            ),
        ]


class HoldState(models.TextChoices):
    """The state of a hold."""

    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"


class Hold(models.Model):
    """The quantity that a step of a run holds of a pool row. It has no foreign keys: it is on the hot path."""

    run_id = models.UUIDField()
    step = models.CharField(max_length=limits.STEP_NAME)
    pool_key = models.CharField(max_length=limits.POOL_KEY)
    quantity = models.PositiveIntegerField()
    state = models.CharField(max_length=limits.HOLD_STATE, choices=HoldState.choices, default=HoldState.HELD)

    class Meta:
        """A step of a run has one hold of a row."""

        abstract = True
        constraints = [
            models.UniqueConstraint(name="%(app_label)s_%(class)s_once", fields=["run_id", "step", "pool_key"]),
        ]


class TimedHold(Hold):
    """A hold that says when it began and ended, by the database's clock at the statements that did it.

    Both are empty for what happened before the table had these columns.
    """

    held_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta(Hold.Meta):
        """A step of a run has one hold of a row."""

        abstract = True


class Batch(Pool):
    """A part of the stock of an item that spoils at one time, or never. A subclass adds the item.

    Each item has one batch whose key is that of the item. It never spoils, and it is the first that is locked: who
    holds its lock may change all batches of the item. The keys of the others are ``<item>#<number>``.

    ``available + held + sold + written_off`` changes only when a person adds or removes stock.
    """

    key = models.CharField(max_length=limits.POOL_KEY, primary_key=True)
    spoils_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it never spoils.")
    recalled_at = models.DateTimeField(null=True, editable=False)
    written_off = models.BigIntegerField(default=0, db_default=0, editable=False, help_text="Thrown away.")

    class Meta(Pool.Meta):
        """The database refuses negative counts."""

        abstract = True
        constraints = [
            *Pool.Meta.constraints,
            models.CheckConstraint(name="%(app_label)s_%(class)s_written_off_ge_0", condition=Q(written_off__gte=0)),
        ]


class HoldDay(models.Model):
    """What the holds of a row that are gone did on one day (UTC), so that the row is still explained."""

    pool_key = models.CharField(max_length=limits.POOL_KEY)
    day = models.DateField()
    taken = models.BigIntegerField(default=0, help_text="From what was available.")
    sold = models.BigIntegerField(default=0, help_text="Confirmed.")
    returned = models.BigIntegerField(default=0, help_text="Cancelled, and available again.")
    lost = models.BigIntegerField(default=0, help_text="Cancelled, and spoiled or recalled by then.")

    class Meta:
        """A row has one sum a day."""

        abstract = True
        constraints = [models.UniqueConstraint(name="%(app_label)s_%(class)s_once", fields=["pool_key", "day"])]
