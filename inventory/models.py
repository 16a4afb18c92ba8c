"""The drinks that the shop sells, their stock in batches, and the ledger that explains each batch."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sagas import limits
from sagas import pool as pools

#: The highest price of one cup, in cents.
MOST_CENTS = 10_000_000


class Sku(models.Model):
    """A drink of one size. Its stock is in its batches; each SKU has one of its own that never spoils (a trigger)."""

    code = models.CharField("SKU", max_length=32, primary_key=True)
    name = models.CharField(max_length=100)
    price_cents = models.PositiveIntegerField(
        "price (cents)",
        validators=[MaxValueValidator(MOST_CENTS)],
        help_text="Price of one cup, in cents of a yuan.",
    )
    active = models.BooleanField(default=True, help_text="Whether it is on the menu and can be ordered.")
    shelf_life_minutes = models.PositiveIntegerField(
        "shelf life (minutes)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="For how long it is good once it is made; empty: it keeps.",
    )

    class Meta:
        """Listed as the menu is."""

        ordering = ["code"]
        verbose_name = "SKU"

    def __str__(self) -> str:
        """Name it as the menu does."""
        return f"{self.name} ({self.code})"


class Batch(pools.Batch):
    """Cups of a SKU that spoil at one time, or never."""

    sku = models.ForeignKey(Sku, on_delete=models.CASCADE, related_name="batches", db_index=False, verbose_name="SKU")

    class Meta(pools.Batch.Meta):
        """A SKU's own batch has the code of the SKU as its key, and cannot spoil or be recalled."""

        ordering = ["key"]
        verbose_name_plural = "batches"
        constraints = [
            *pools.Batch.Meta.constraints,
            models.CheckConstraint(
                name="inventory_batch_own_never_spoils",
                condition=~Q(key=F("sku")) | Q(spoils_at__isnull=True, recalled_at__isnull=True),
                violation_error_message="The SKU's own batch never spoils.",
            ),
        ]
        indexes = [
            # A SKU whose stock does not spoil has no row in it.
            models.Index(name="inventory_batch_others", fields=["sku", "spoils_at"], condition=~Q(key=F("sku"))),
        ]

    def __str__(self) -> str:
        """Name it."""
        return self.key


class SkuHold(pools.TimedHold):
    """The cups of a batch that one run holds."""

    class Meta(pools.TimedHold.Meta):
        """The hold's constraint is inherited; the index finds the holds of a batch that is recalled or explained."""

        verbose_name = "SKU hold"

    def __str__(self) -> str:
        """Say what is held."""
        return f"{self.quantity} of {self.pool_key} for {self.run_id}: {self.state}"


class SkuHoldDay(pools.HoldDay):
    """What the holds of pruned runs did to a batch on one day."""

    class Meta(pools.HoldDay.Meta):
        """The day's constraint is inherited."""

        verbose_name = "day of pruned holds"
        verbose_name_plural = "days of pruned holds"

    def __str__(self) -> str:
        """Name it."""
        return f"{self.pool_key} on {self.day}"


class MoveKind(models.TextChoices):
    """What a person did to the stock."""

    #: What there was when the ledger began.
    OPENED = "OPENED"
    RESTOCKED = "RESTOCKED"
    ADJUSTED = "ADJUSTED"
    WRITTEN_OFF = "WRITTEN_OFF"
    RECALLED = "RECALLED"
    #: Given to something else, such as a campaign; above 0 where it came back.
    ALLOCATED = "ALLOCATED"


class Move(models.Model):
    """A change of a batch by a person, append-only. With the holds, the moves explain each count of each batch."""

    batch = models.CharField(max_length=limits.POOL_KEY)
    kind = models.CharField(max_length=11, choices=MoveKind.choices)
    available = models.BigIntegerField(default=0, help_text="By how much it changed.")
    held = models.BigIntegerField(default=0)
    sold = models.BigIntegerField(default=0)
    written_off = models.BigIntegerField(default=0)
    reason = models.CharField(max_length=200)
    by = models.CharField(max_length=150, help_text="Who did it.")
    #: Not a foreign key: this domain knows no campaigns.
    allocated_to = models.CharField(max_length=64, blank=True, db_default="", default="")
    at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        """What a kind may change is checked; a trigger refuses every change of a row."""

        ordering = ["-id"]
        indexes = [
            models.Index(name="inventory_move_of_batch", fields=["batch", "at"]),
            models.Index(name="inventory_move_allocated", fields=["allocated_to"], condition=~Q(allocated_to="")),
        ]
        constraints = [
            models.CheckConstraint(
                name="inventory_move_of_its_kind",
                condition=Q(kind="OPENED", written_off=0)
                | Q(held=0, sold=0)
                & (
                    Q(kind="RESTOCKED", available__gt=0, written_off=0)
                    | Q(kind="ADJUSTED", written_off=0)
                    | Q(kind__in=["WRITTEN_OFF", "RECALLED"], written_off__gte=0, available=-F("written_off"))
                    | Q(kind="ALLOCATED", written_off__gte=0)
                ),
            ),
            models.CheckConstraint(name="inventory_move_says_why", condition=~Q(reason="") & ~Q(by="")),
            models.CheckConstraint(
                name="inventory_move_allocated_to_something",
                condition=Q(kind="ALLOCATED") & ~Q(allocated_to="") | ~Q(kind="ALLOCATED") & Q(allocated_to=""),
            ),
        ]

    def __str__(self) -> str:
        """Say what was done."""
        return f"{self.kind} {self.available:+} of {self.batch}: {self.reason}"
