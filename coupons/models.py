"""Coupons, each for one order, and their redemptions."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from sagas import limits

#: The range of expiry dates. A year that Python cannot represent would break every list with the coupon.
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

#: The highest discount of one coupon, in cents.
MOST_CENTS = 10_000_000


class Coupon(models.Model):
    """A discount on one order, until it expires."""

    code = models.CharField(max_length=32, primary_key=True)
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Who may use it; empty for anyone.",
    )
    discount_cents = models.PositiveIntegerField(
        "discount (cents)", validators=[MaxValueValidator(MOST_CENTS)], help_text="In cents of a yuan."
    )
    expires_at = models.DateTimeField()
    used = models.BooleanField(default=False, help_text="Whether an order has it; a refund frees it again.")
    active = models.BooleanField(default=True, db_default=True, help_text="Whether it can be redeemed.")

    class Meta:
        """Ordered by code, as its locks are."""

        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                name="coupons_coupon_expires_in_range",
                condition=Q(expires_at__gte=FIRST, expires_at__lt=LAST),
                violation_error_message="A coupon expires between 2000 and 2100.",
            )
        ]

    def __str__(self) -> str:
        """Name it."""
        return self.code


class RedemptionState(models.TextChoices):
    """The state of a redemption."""

    REDEEMED = "REDEEMED"
    REFUNDED = "REFUNDED"


class Redemption(models.Model):
    """The use of a coupon by one step of one run. It has no foreign keys, because it is written on the hot path."""

    run_id = models.UUIDField()
    step = models.CharField(max_length=limits.STEP_NAME)
    coupon_code = models.CharField(max_length=32)
    discount_cents = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=RedemptionState.choices, default=RedemptionState.REDEEMED)
    refunded_at = models.DateTimeField(null=True)

    class Meta:
        """A step redeems once, and a coupon has one open redemption."""

        constraints = [
            models.UniqueConstraint(name="coupons_redemption_once", fields=["run_id", "step"]),
            # The lock on the coupon prevents a second one; this constraint proves it.
            models.UniqueConstraint(
                name="coupons_redemption_one_open", fields=["coupon_code"], condition=Q(state="REDEEMED")
            ),
        ]

    def __str__(self) -> str:
        """Say what is redeemed."""
        return f"{self.coupon_code} for {self.run_id}: {self.state}"
