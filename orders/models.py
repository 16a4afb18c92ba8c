"""Orders, their lines, and the stored answers to requests with an idempotency key."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class OrderStatus(models.TextChoices):
    """The status that the saga's steps write. The engine has the state of the order's run."""

    #: Accepted by the API; no step has been performed. It stays so if a run fails before its first step and its hook
    #: is lost: see ``orders.sagas.mark_unplaced``.
    RECEIVED = "RECEIVED"
    PLACED = "PLACED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"


class Order(models.Model):
    """An order of a customer. Money is in cents of a yuan."""

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
        """One index serves a customer's list, newest first; the other the limit of unpaid orders of an address."""

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
    """A quantity of one SKU, at the price at which the order was accepted."""

    # One statement on the hot path writes the lines and places their order: checking the foreign key of each line
    # would prove nothing.
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
    """The answer to a customer's request, kept for a day under the request's key."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of what the request asked.")
    status = models.PositiveSmallIntegerField()
    body = models.TextField(help_text="JSON, to the byte: jsonb would forget the order of its keys.")
    location = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """The constraint proves what the key's lock promises; the index finds expired keys."""

        constraints = [models.UniqueConstraint(name="orders_idempotencykey_once", fields=["customer", "key"])]
        indexes = [models.Index(name="orders_idempotencykey_age", fields=["created_at"])]

    def __str__(self) -> str:
        """Name it."""
        return self.key
