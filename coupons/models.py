"""Coupons, and their grants: each grant is one customer's right to use a coupon once.

A coupon is a pool of grants: ``available`` may still be granted, ``held`` are being issued, ``sold`` are granted. A
grant that replaces a refunded one counts as the same unit.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Trim, Upper
from django.utils.translation import gettext_lazy as _

from sagas.pool import Hold, Pool

#: The range of expiry dates. A year that Python cannot represent would break every list with the coupon.
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

#: The highest discount of one coupon, in cents.
MOST_CENTS = 10_000_000
#: The most grants of one coupon to one customer.
MOST_PER_CUSTOMER = 1000
#: Calls of a refund that are counted.
REFUND_CALLS = 3
#: So long after its time a grant may still be written as used: a participant reads the clock before it writes.
GRACE = timedelta(seconds=5)


class CouponKind(models.TextChoices):
    """What a coupon takes off."""

    AMOUNT = "AMOUNT", _("an amount")
    PERCENT = "PERCENT", _("a part of the price")


def codes_alike(code: Any) -> Upper:
    """The expression by which codes are compared: without case and surrounding blanks."""
    return Upper(Trim(code))


class Coupon(Pool):
    """A discount on an order, for so many grants, until it expires."""

    code = models.CharField(
        max_length=32, primary_key=True, help_text=_("Compared without case and surrounding blanks.")
    )
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Who may use it; empty for anyone."),
    )
    kind = models.CharField(max_length=7, choices=CouponKind.choices, default=CouponKind.AMOUNT, db_default="AMOUNT")
    discount_cents = models.PositiveIntegerField(
        "discount (cents)",
        default=0,
        db_default=0,
        validators=[MaxValueValidator(MOST_CENTS)],
        help_text=_("In cents of a yuan; 0 for a part of the price."),
    )
    percent = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Per cent of the price, rounded down to a cent; empty for an amount."),
    )
    cap_cents = models.PositiveIntegerField(
        "cap (cents)",
        null=True,
        blank=True,
        validators=[MaxValueValidator(MOST_CENTS)],
        help_text=_("The most that a part of the price comes to, in cents; empty for no cap."),
    )
    minimum_cents = models.PositiveIntegerField(
        "minimum spend (cents)",
        default=0,
        db_default=0,
        help_text=_("What an order must cost at least, before the discount, in cents."),
    )
    per_customer = models.PositiveSmallIntegerField(
        default=1,
        db_default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_PER_CUSTOMER)],
        help_text=_("How often one customer may have it."),
    )
    on_group_prices = models.BooleanField(
        default=False, db_default=False, help_text=_("Whether it may be used on the price of a group buy.")
    )
    public = models.BooleanField(
        default=True,
        db_default=True,
        help_text=_("Whether anyone who knows the code may claim and use it; if not, it must be issued to them."),
    )
    starts_at = models.DateTimeField(null=True, blank=True, help_text=_("From when it may be used; empty for at once."))
    expires_at = models.DateTimeField()
    active = models.BooleanField(default=True, db_default=True, help_text=_("Whether it can be redeemed."))
    # A coupon is for one order unless somebody says otherwise.
    available = models.BigIntegerField(default=1, db_default=1, help_text=_("How many may still be granted."))
    held = models.BigIntegerField(default=0, db_default=0, editable=False)
    sold = models.BigIntegerField(default=0, db_default=0, editable=False)

    class Meta(Pool.Meta):
        """Ordered by code, as its locks are."""

        ordering = ["code"]
        constraints = [
            *Pool.Meta.constraints,
            models.UniqueConstraint(
                codes_alike("code"),
                name="coupons_coupon_code_alike",
                violation_error_message=_("There is a coupon whose code differs by case or blanks only."),
            ),
            models.CheckConstraint(
                name="coupons_coupon_expires_in_range",
                condition=Q(expires_at__gte=FIRST, expires_at__lt=LAST),
                violation_error_message=_("A coupon expires between 2000 and 2100."),
            ),
            models.CheckConstraint(
                name="coupons_coupon_starts_before",
                condition=Q(starts_at__isnull=True) | Q(starts_at__gte=FIRST, starts_at__lt=F("expires_at")),
                violation_error_message=_("A coupon starts before it expires."),
            ),
            models.CheckConstraint(
                name="coupons_coupon_kind",
                condition=Q(kind="AMOUNT", percent__isnull=True, cap_cents__isnull=True)
                | Q(kind="PERCENT", percent__gte=1, percent__lte=100, discount_cents=0),
                violation_error_message=_("Give an amount, or a percentage with or without a cap."),
            ),
            models.CheckConstraint(
                name="coupons_coupon_per_customer",
                condition=Q(per_customer__gte=1, per_customer__lte=MOST_PER_CUSTOMER),
            ),
        ]

    def __str__(self) -> str:
        """Name it."""
        return self.code


class CouponHold(Hold):
    """The unit of a coupon that a run holds while it issues a grant."""

    class Meta(Hold.Meta):
        """The hold's constraint is inherited."""

    def __str__(self) -> str:
        """Say what is held."""
        return f"{self.quantity} of {self.pool_key} for {self.run_id}: {self.state}"


class GrantState(models.TextChoices):
    """The state of a grant. A trigger enforces the transitions (migration ``0006_guards``)."""

    #: It is being issued: the run that issues it has a lock, which lapses.
    CREATED = "CREATED"
    #: The customer may use it.
    ISSUED = "ISSUED"
    #: An order uses it, from the order's forward step on.
    USED = "USED"
    #: The order is being undone, and the grant is being given back.
    REFUNDING = "REFUNDING"
    #: Final. Another grant replaces it.
    REFUNDED = "REFUNDED"


#: The states in which a grant counts to its customer's limit.
LIVE = (GrantState.CREATED, GrantState.ISSUED, GrantState.USED, GrantState.REFUNDING)


class Grant(models.Model):
    """One customer's right to use a coupon once.

    It has no foreign keys in the database, because it is written on the hot path. Who changes a grant that no run uses
    has locked its coupon; who changes one that a run uses has locked the run.
    """

    coupon = models.ForeignKey(
        Coupon, on_delete=models.PROTECT, related_name="grants", db_constraint=False, db_index=False
    )
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    nth = models.PositiveSmallIntegerField(help_text=_("Which of the customer's grants of this coupon it is, from 1."))
    per_customer = models.PositiveSmallIntegerField(help_text=_("The coupon's limit when it was granted."))
    state = models.CharField(max_length=9, choices=GrantState.choices)
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)
    lock_token = models.BigIntegerField(
        null=True, help_text=_("Fencing token: who comes with an older one has lost the lock.")
    )
    lock_expires_at = models.DateTimeField(
        null=True, help_text=_("When it can be used no more; while it is created: when the lock lapses.")
    )
    issued_by_run = models.UUIDField(null=True, help_text=_("The run that issued it; none if it was used at once."))
    used_by_run = models.UUIDField(null=True, help_text=_("The run that uses or has used it."))
    used_at = models.DateTimeField(null=True)
    discount_cents = models.PositiveIntegerField(null=True, help_text=_("What it took off."))
    refund_calls = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text=_("Calls that gave it back, up to three; broken ones count, too.")
    )
    refunded_at = models.DateTimeField(null=True)
    replaces = models.BigIntegerField(null=True, help_text=_("Id of the refunded grant that it replaces."))
    reason = models.CharField(max_length=200, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """The locks prevent what these constraints refuse; the constraints prove it."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="coupons_grant_token_once", fields=["lock_token"]),
            models.UniqueConstraint(
                name="coupons_grant_replaces_once", fields=["replaces"], condition=Q(replaces__isnull=False)
            ),
            # A run uses one coupon, and a step that was undone is never redone in its run.
            models.UniqueConstraint(
                name="coupons_grant_used_once", fields=["used_by_run"], condition=Q(used_by_run__isnull=False)
            ),
            models.UniqueConstraint(
                name="coupons_grant_issued_once", fields=["issued_by_run"], condition=Q(issued_by_run__isnull=False)
            ),
            # Also the index of a customer's coupons.
            models.UniqueConstraint(
                name="coupons_grant_nth_once", fields=["customer", "coupon", "nth"], condition=Q(state__in=LIVE)
            ),
            models.CheckConstraint(
                name="coupons_grant_nth_in_limit", condition=Q(nth__gte=1, nth__lte=F("per_customer"))
            ),
            models.CheckConstraint(
                name="coupons_grant_locked",
                condition=Q(state="CREATED") | Q(lock_token__isnull=False, lock_expires_at__isnull=False),
            ),
            models.CheckConstraint(
                name="coupons_grant_created_by_run", condition=~Q(state="CREATED") | Q(issued_by_run__isnull=False)
            ),
            models.CheckConstraint(
                name="coupons_grant_used",
                condition=Q(
                    state__in=["CREATED", "ISSUED"],
                    used_by_run__isnull=True,
                    used_at__isnull=True,
                    discount_cents__isnull=True,
                )
                | Q(
                    state__in=["USED", "REFUNDING", "REFUNDED"],
                    used_by_run__isnull=False,
                    used_at__isnull=False,
                    discount_cents__isnull=False,
                ),
            ),
            models.CheckConstraint(
                name="coupons_grant_used_in_time",
                condition=Q(used_at__isnull=True) | Q(used_at__lte=F("lock_expires_at") + GRACE),
            ),
            models.CheckConstraint(
                name="coupons_grant_refund_calls",
                condition=Q(state__in=["CREATED", "ISSUED", "USED"], refund_calls=0)
                | Q(state__in=["REFUNDING", "REFUNDED"], refund_calls__gte=1, refund_calls__lte=REFUND_CALLS),
            ),
            models.CheckConstraint(
                name="coupons_grant_refunded",
                condition=Q(state="REFUNDED", refunded_at__isnull=False)
                | (~Q(state="REFUNDED") & Q(refunded_at__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        """Say whose it is, and of what."""
        return f"{self.coupon_id} for {self.customer_id}: {self.state}"
