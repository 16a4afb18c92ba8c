"""Orders, their lines, and the answers that repeated requests get again."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class OrderStatus(models.TextChoices):
    """What the saga's steps have made of an order. How its run stands is the engine's to say."""

    #: Accepted by the API; no step has been performed. (It stays so where the hook is lost that tells of a run
    #: which failed before its first step: see ``orders.sagas.mark_unplaced``.)
    RECEIVED = "RECEIVED"
    PLACED = "PLACED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"


class Order(models.Model):
    """What a customer ordered. Money is in cents of a yuan."""

    order_no = models.CharField("order number", max_length=32)
    run_id = models.UUIDField(editable=False)
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    status = models.CharField(max_length=9, choices=OrderStatus.choices, default=OrderStatus.RECEIVED)
    slot = models.BigIntegerField(help_text="Id of the delivery slot.")
    coupon = models.CharField(max_length=32, null=True, blank=True)  # noqa: DJ001 - no coupon is not a coupon without letters
    discount_cents = models.PositiveIntegerField(default=0)
    total_cents = models.PositiveBigIntegerField(null=True, help_text="What is to be paid.")
    address = models.GenericIPAddressField(null=True, editable=False, help_text="From which it was placed, if known.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """One index serves a customer's list, newest first; one the bound on what an address has open."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="orders_order_no_once", fields=["order_no"]),
            models.UniqueConstraint(name="orders_order_run_once", fields=["run_id"]),
            models.CheckConstraint(
                name="orders_order_placed_has_total",
                condition=Q(status__in=["RECEIVED", "REJECTED"]) | Q(total_cents__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="orders_order_of_customer", fields=["customer", "-id"]),
            models.Index(name="orders_order_of_address", fields=["address", "-id"], condition=Q(address__isnull=False)),
        ]

    def __str__(self) -> str:
        """Name it as everyone does."""
        return self.order_no


class OrderLine(models.Model):
    """A number of cups of one SKU, at the price at which the order was accepted."""

    # Lines are written by the one statement that also places their order, on the hot path: checking the
    # foreign key line by line would prove nothing.
    order = models.ForeignKey(
        Order, on_delete=models.CASCADE, related_name="lines", db_constraint=False, db_index=False
    )
    sku = models.CharField("SKU", max_length=32)
    quantity = models.PositiveIntegerField()
    unit_price_cents = models.PositiveIntegerField()

    class Meta:
        """An order names a SKU once; the same index finds its lines."""

        ordering = ["id"]
        constraints = [models.UniqueConstraint(name="orders_orderline_once", fields=["order", "sku"])]

    def __str__(self) -> str:
        """Say what is ordered."""
        return f"{self.quantity} of {self.sku}"


class IdempotencyKey(models.Model):
    """The answer that a customer's request got, kept for a day under the key that came with it."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of what the request asked.")
    status = models.PositiveSmallIntegerField()
    body = models.TextField(help_text="JSON, to the byte: jsonb would forget the order of its keys.")
    location = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """The constraint proves what the key's lock promises; the index finds the keys that are kept no longer."""

        constraints = [models.UniqueConstraint(name="orders_idempotencykey_once", fields=["customer", "key"])]
        indexes = [models.Index(name="orders_idempotencykey_age", fields=["created_at"])]

    def __str__(self) -> str:
        """Name it."""
        return self.key
