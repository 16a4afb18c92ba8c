"""Orders, their lines, and the stored answers to requests with an idempotency key."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from orders.reconciliation.models import Finding, ReconciliationPass, WatchedRun

__all__ = [
    "Finding",
    "IdempotencyKey",
    "Order",
    "OrderLine",
    "OrderRefund",
    "OrderStatus",
    "ReconciliationPass",
    "WatchedRun",
]


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
    campaign = models.BigIntegerField(null=True, editable=False, help_text="Id of the group buy that it joins, if any.")
    discount_cents = models.PositiveIntegerField(default=0)
    total_cents = models.PositiveBigIntegerField(null=True, help_text="What is to be paid.")
    refunded_cents = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="What is refunded of it, since it was confirmed."
    )
    address = models.GenericIPAddressField(null=True, editable=False, help_text="From which it was placed, if known.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """One index serves a customer's list, newest first; the other the limit of unpaid orders of an address."""

        permissions = [("refund_order", "Can refund orders")]
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="orders_order_no_once", fields=["order_no"]),
            models.UniqueConstraint(name="orders_order_run_once", fields=["run_id"]),
            models.CheckConstraint(
                name="orders_order_placed_has_total",
                condition=Q(status__in=["RECEIVED", "REJECTED"]) | Q(total_cents__isnull=False),
            ),
            models.CheckConstraint(
                name="orders_order_refunded_at_most",
                condition=Q(refunded_cents=0) | Q(status="CONFIRMED", refunded_cents__lte=F("total_cents")),
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
    discount_cents = models.PositiveIntegerField(
        default=0, db_default=0, help_text="The line's share of the order's discount."
    )
    refunded_quantity = models.PositiveIntegerField(default=0, db_default=0, help_text="Cups that are refunded.")

    class Meta:
        """An order names a SKU once; the same index finds its lines."""

        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(name="orders_orderline_once", fields=["order", "sku"]),
            models.CheckConstraint(
                name="orders_orderline_refunded_at_most", condition=Q(refunded_quantity__lte=F("quantity"))
            ),
        ]

    def __str__(self) -> str:
        """Say what is ordered."""
        return f"{self.quantity} of {self.sku}"


class OrderRefund(models.Model):
    """A refund of a confirmed order, or of some of its lines, as it was accepted. Its run does the work."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="refunds")
    key = models.CharField(max_length=255, help_text="A repeat under the same key is the same refund.")
    run_id = models.UUIDField(editable=False)
    amount = models.PositiveBigIntegerField(help_text="In minor units.")
    whole = models.BooleanField(help_text="Whether nothing of the order is left.")
    lines = models.JSONField(help_text="The cups that are refunded, by SKU.")
    reason = models.CharField(max_length=500)
    by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """One refund a key, and one run a refund."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="orders_orderrefund_once", fields=["order", "key"]),
            models.UniqueConstraint(name="orders_orderrefund_run_once", fields=["run_id"]),
        ]

    def __str__(self) -> str:
        """Say what is refunded."""
        return f"{self.amount} of order {self.order_id}"


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
