"""Payments, refunds, and every message of a gateway about them. Money is in minor units: cents of a yuan."""

from __future__ import annotations

import uuid_utils.compat
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

#: The longest name of a gateway.
GATEWAY_LIMIT = 32
#: The longest payment id or refund id of a gateway.
PAYMENT_ID_LIMIT = 100
#: The longest order number that a gateway may name.
ORDER_NO_LIMIT = 32


class PaymentState(models.TextChoices):
    """The state of a payment. A trigger enforces the transitions, and checks what each state means for the money."""

    #: It pays its order. It is settled once the order's run is past its pivot, which the run shows.
    TAKEN = "TAKEN"
    #: Its order waits for a person. It is offered again when the person lets the order go on.
    PARKED = "PARKED"
    #: It pays for nothing, and its refund has not begun.
    DUE_BACK = "DUE_BACK"
    #: A refund is under way.
    RETURNING = "RETURNING"
    #: All of it is returned.
    RETURNED = "RETURNED"
    #: A part of it is returned, and the rest pays its order.
    PARTLY_RETURNED = "PARTLY_RETURNED"
    #: The gateway's messages about it contradict each other: a person must decide what it pays.
    CONFLICT = "CONFLICT"


class Outcome(models.TextChoices):
    """The outcome of a signed message, which also says why a payment is due back."""

    TAKEN = "taken"
    PARKED = "parked"
    #: The order was undone before the payment came, or its run was pruned.
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
    #: The gateway takes no payment for the order any more, so the order is undone.
    CLOSED = "closed"
    #: The payment, or a part of it, is returned: by a refund of the order, or by the gateway.
    REFUNDED = "refunded"
    #: The payer disputes the payment: a person sees to it, and no refund begins.
    DISPUTED = "disputed"
    #: The payment is known for another order, or with another amount.
    CONFLICT = "conflict"
    #: The signed order is not the order of the URL.
    ANOTHER_ORDER = "another_order"


class Payment(models.Model):
    """A payment, by the gateway's id. Its order's run is locked before it."""

    gateway = models.CharField(max_length=GATEWAY_LIMIT)
    payment_id = models.CharField("payment id", max_length=PAYMENT_ID_LIMIT)
    order_no = models.CharField("order number", max_length=ORDER_NO_LIMIT)
    run_id = models.UUIDField(null=True, editable=False, help_text="The order's run; none of an unknown order.")
    amount = models.PositiveBigIntegerField(help_text="In minor units of its currency.")
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=15, choices=PaymentState.choices)
    reason = models.CharField(max_length=16, choices=Outcome.choices, blank=True, help_text="Why it is due back.")
    #: The sums of its refunds. A trigger compares them at the commit.
    returning_amount = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Refunds that are under way.")
    returned_amount = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Refunds that are made.")
    review_run_id = models.UUIDField(null=True, editable=False, help_text="The run in which a person decides.")
    disputed_at = models.DateTimeField(null=True, blank=True, help_text="Since when the payer disputes it.")
    received_at = models.DateTimeField(db_default=Now())
    returned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """One row a payment, one payment an order, and never more returned than was paid."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="payments_payment_once", fields=["gateway", "payment_id"]),
            # The run's lock prevents a second one; this constraint proves it.
            models.UniqueConstraint(
                name="payments_payment_one_taken", fields=["run_id"], condition=Q(state=PaymentState.TAKEN)
            ),
            models.CheckConstraint(
                name="payments_payment_no_more_than_paid",
                condition=Q(amount__gte=F("returning_amount") + F("returned_amount")),
            ),
            models.CheckConstraint(
                name="payments_payment_taken_is_whole",
                condition=~Q(state__in=["TAKEN", "PARKED"])
                | Q(run_id__isnull=False, returning_amount=0, returned_amount=0),
            ),
            # What is due back has a reason, and refunds of all of it.
            models.CheckConstraint(
                name="payments_payment_due_back_has_refund",
                condition=~Q(state="DUE_BACK")
                | (Q(returning_amount__gt=0, amount=F("returning_amount") + F("returned_amount")) & ~Q(reason="")),
            ),
            models.CheckConstraint(
                name="payments_payment_returning_has_refund",
                condition=~Q(state="RETURNING") | Q(returning_amount__gt=0),
            ),
            models.CheckConstraint(
                name="payments_payment_returned_is_all",
                condition=~Q(state="RETURNED") | Q(returning_amount=0, returned_amount=F("amount")),
            ),
            models.CheckConstraint(
                name="payments_payment_part_is_part",
                condition=~Q(state="PARTLY_RETURNED")
                | Q(returning_amount=0, returned_amount__gt=0, returned_amount__lt=F("amount")),
            ),
            # A person is called.
            models.CheckConstraint(
                name="payments_payment_review_has_run",
                condition=Q(review_run_id__isnull=False) | (~Q(state="CONFLICT") & Q(disputed_at__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(name="payments_payment_of_order", fields=["order_no"]),
            models.Index(name="payments_payment_of_run", fields=["run_id"]),
            # For the sweep: all others are settled or on their way.
            models.Index(name="payments_payment_parked", fields=["id"], condition=Q(state="PARKED")),
        ]

    def __str__(self) -> str:
        """Name it as the gateway does."""
        return self.payment_id


class RefundState(models.TextChoices):
    """The state of a refund."""

    #: Its run sees to it.
    REQUESTED = "REQUESTED"
    RETURNED = "RETURNED"


class RefundSource(models.TextChoices):
    """Who makes a refund."""

    #: A run of ``RefundPayment``, which has the refund's id.
    SHOP = "shop"
    #: The gateway, by itself or by a person in its console: it has told us so.
    GATEWAY = "gateway"
    #: A person, who has noted it here.
    PERSON = "person"


class Refund(models.Model):
    """A return of a payment, or of a part of it. Its id is what the gateway knows it by, and its run's id."""

    id = models.UUIDField(primary_key=True, default=uuid_utils.compat.uuid7, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount = models.PositiveBigIntegerField(help_text="In minor units of the payment's currency.")
    state = models.CharField(max_length=9, choices=RefundState.choices, default=RefundState.REQUESTED)
    source = models.CharField(max_length=7, choices=RefundSource.choices, default=RefundSource.SHOP)
    reason = models.CharField(max_length=16, choices=Outcome.choices, help_text="Why it is returned.")
    note = models.CharField(max_length=500, blank=True, help_text="What people have said of it.")
    by = models.CharField(max_length=150, blank=True, help_text="Who wants it, or has made it by hand.")
    gateway_refund_id = models.CharField(
        max_length=PAYMENT_ID_LIMIT, blank=True, help_text="The gateway's own id, if it has told one."
    )
    requested_at = models.DateTimeField(db_default=Now())
    returned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """A refund of the gateway's is noted once."""

        ordering = ["-requested_at"]
        constraints = [
            models.CheckConstraint(name="payments_refund_of_something", condition=Q(amount__gt=0)),
            models.UniqueConstraint(
                name="payments_refund_once",
                fields=["payment", "gateway_refund_id"],
                condition=~Q(gateway_refund_id=""),
            ),
            models.CheckConstraint(
                name="payments_refund_returned_at_its_time",
                condition=Q(state="REQUESTED", returned_at__isnull=True, source="shop")
                | Q(state="RETURNED", returned_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        """Say what is returned."""
        return f"{self.amount} of payment {self.payment_id}: {self.state}"


class PaymentEvent(models.Model):
    """A signed message of a gateway, as it came. Append-only; a repeat is not stored again."""

    gateway = models.CharField(max_length=GATEWAY_LIMIT)
    webhook_id = models.CharField("webhook id", max_length=255)
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the body.")
    order_no = models.CharField("order number", max_length=ORDER_NO_LIMIT)
    payment_id = models.CharField("payment id", max_length=PAYMENT_ID_LIMIT)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=32)
    occurred_at = models.DateTimeField(null=True, help_text="When it happened, by the gateway's clock.")
    refund_id = models.CharField(max_length=PAYMENT_ID_LIMIT, db_default="", default="", blank=True)
    refund_amount = models.BigIntegerField(null=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, help_text="What it came to at first.")
    body = models.TextField(help_text="What is signed.")
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        """The gateway repeats a message under its id until it is answered."""

        ordering = ["-id"]
        constraints = [models.UniqueConstraint(name="payments_paymentevent_once", fields=["gateway", "webhook_id"])]
        indexes = [
            models.Index(name="payments_event_of_payment", fields=["payment_id"]),
            models.Index(name="payments_event_of_order", fields=["order_no"]),
        ]

    def __str__(self) -> str:
        """Name the payment and the outcome."""
        return f"{self.payment_id} {self.status}: {self.outcome}"
