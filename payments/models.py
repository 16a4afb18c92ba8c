"""Payments, and every message of the gateway about them. Money is in minor units: cents of a yuan."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

#: The longest payment id of a gateway.
PAYMENT_ID_LIMIT = 100
#: The longest order number that a gateway may name.
ORDER_NO_LIMIT = 32


class PaymentState(models.TextChoices):
    """The state of a payment. A trigger enforces the transitions (migration ``0002_guards``)."""

    #: It pays its order. It is settled once the order's run is past its pivot, which the run shows.
    TAKEN = "TAKEN"
    #: It pays for nothing and must be given back.
    DUE_BACK = "DUE_BACK"
    #: Somebody is giving it back.
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"
    #: The gateway names it for two orders, or with two amounts: a person must decide what it pays.
    CONFLICT = "CONFLICT"


class Outcome(models.TextChoices):
    """The outcome of a signed message, which also says why a payment is due back."""

    TAKEN = "taken"
    #: The order was undone before the payment came, or waits for a person, or its run was pruned.
    TOO_LATE = "too_late"
    #: Another payment has paid the order.
    DUPLICATE = "duplicate"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_CURRENCY = "wrong_currency"
    UNKNOWN_ORDER = "unknown_order"
    #: The payment was taken, and then its order was undone.
    UNDONE = "undone"
    #: The message reports no money, for example a failed payment.
    NOT_PAID = "not_paid"
    #: The payment is known for another order, or with another amount.
    CONFLICT = "conflict"
    #: The signed order is not the order of the URL.
    ANOTHER_ORDER = "another_order"


class Payment(models.Model):
    """A payment, by the gateway's id. Its run is locked before it."""

    payment_id = models.CharField("payment id", max_length=PAYMENT_ID_LIMIT)
    order_no = models.CharField("order number", max_length=ORDER_NO_LIMIT)
    run_id = models.UUIDField(null=True, editable=False, help_text="The order's run; none of an unknown order.")
    amount = models.PositiveBigIntegerField(help_text="In minor units of its currency.")
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=9, choices=PaymentState.choices)
    reason = models.CharField(max_length=16, choices=Outcome.choices, blank=True, help_text="Why it is due back.")
    return_run_id = models.UUIDField(null=True, editable=False, help_text="The run in which it is given back.")
    received_at = models.DateTimeField(db_default=Now())
    returned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """One row a payment, and one payment an order."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="payments_payment_once", fields=["payment_id"]),
            # The run's lock prevents a second one; this constraint proves it.
            models.UniqueConstraint(
                name="payments_payment_one_taken", fields=["run_id"], condition=Q(state=PaymentState.TAKEN)
            ),
            models.CheckConstraint(
                name="payments_payment_taken_has_run", condition=~Q(state=PaymentState.TAKEN) | Q(run_id__isnull=False)
            ),
            # A payment that is due back has a reason and a run that returns it.
            models.CheckConstraint(
                name="payments_payment_due_back_has_run",
                condition=~Q(state__in=["DUE_BACK", "RETURNING", "CONFLICT"])
                | (Q(return_run_id__isnull=False) & ~Q(reason="")),
            ),
        ]
        indexes = [
            models.Index(name="payments_payment_of_order", fields=["order_no"]),
            models.Index(name="payments_payment_of_run", fields=["run_id"]),
        ]

    def __str__(self) -> str:
        """Name it as the gateway does."""
        return self.payment_id


class PaymentEvent(models.Model):
    """A signed message of the gateway, as it came. Append-only; a repeat with the same outcome is not stored again."""

    webhook_id = models.CharField("webhook id", max_length=255)
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the body.")
    order_no = models.CharField("order number", max_length=ORDER_NO_LIMIT)
    payment_id = models.CharField("payment id", max_length=PAYMENT_ID_LIMIT)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=32)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    body = models.TextField(help_text="What is signed.")
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        """The gateway repeats a message under its id until it is answered."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="payments_paymentevent_once", fields=["webhook_id", "digest", "outcome"])
        ]
        indexes = [
            models.Index(name="payments_event_of_payment", fields=["payment_id"]),
            models.Index(name="payments_event_of_order", fields=["order_no"]),
        ]

    def __str__(self) -> str:
        """Name the payment and the outcome."""
        return f"{self.payment_id} {self.status}: {self.outcome}"
