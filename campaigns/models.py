"""Group buys, their members, and two pools of each: places and cups.

A campaign goes OPEN → FORMED, SHORT or CALLED_OFF → SETTLED. Triggers refuse every other change of state, and every
change of what was offered once somebody has joined (migration ``0002_guards``).
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sagas.pool import Hold, Pool

#: The highest price of one cup, in cents, and the most places and cups of one campaign.
MOST_CENTS, MOST_PLACES, MOST_CUPS = 10_000_000, 100_000, 1_000_000


class CampaignState(models.TextChoices):
    """The state of a campaign."""

    #: It takes joins until its time is over, and waits for enough of them to be paid.
    OPEN = "OPEN"
    #: Enough have paid. It still takes joins until its time is over, and they are confirmed once paid.
    FORMED = "FORMED"
    #: Too few had paid when it was decided. Every member's order is undone, and the money goes back.
    SHORT = "SHORT"
    #: A person has called it off, with a reason, before it formed.
    CALLED_OFF = "CALLED_OFF"
    #: Nothing is held any more. Cups that were not sold are given back to the stock.
    SETTLED = "SETTLED"


#: The states in which a campaign is decided and not settled.
DECIDED = (CampaignState.FORMED, CampaignState.SHORT, CampaignState.CALLED_OFF)


class Campaign(models.Model):
    """A group buy of one drink, for delivery to one slot."""

    slug = models.SlugField(max_length=40, help_text="The last part of the page's address, /g/….")
    title = models.CharField(max_length=100)
    sku = models.CharField("SKU", max_length=32, help_text="Code of the drink.")
    price_cents = models.PositiveIntegerField(
        "price (cents)",
        validators=[MaxValueValidator(MOST_CENTS)],
        help_text="Price of one cup in the group, in cents.",
    )
    slot = models.BigIntegerField(help_text="Id of the delivery slot for the whole group.")
    minimum = models.PositiveIntegerField(help_text="So many members must have paid for the group to form.")
    capacity = models.PositiveIntegerField(
        validators=[MaxValueValidator(MOST_PLACES)], help_text="So many members find a place."
    )
    quota = models.PositiveIntegerField(
        validators=[MaxValueValidator(MOST_CUPS)], help_text="Cups that are set aside for the group."
    )
    most_cups = models.PositiveSmallIntegerField(default=5, help_text="Cups that one member may order.")
    presale = models.BooleanField(default=False, help_text="Whether the cups do not come out of the present stock.")
    takes_coupons = models.BooleanField(default=False, help_text="Whether members may use coupons.")
    closes_at = models.DateTimeField(help_text="When the last customer may join.")
    payment_window = models.DurationField(
        default=timedelta(seconds=30), help_text="How long after that a member may pay; then the campaign is decided."
    )
    closed_at = models.DateTimeField(
        null=True, editable=False, help_text="When a person has closed it, before its time was over."
    )
    state = models.CharField(max_length=10, choices=CampaignState.choices, default=CampaignState.OPEN, editable=False)
    outcome = models.CharField(
        max_length=10,
        choices=[(state.value, state.label) for state in DECIDED],
        blank=True,
        editable=False,
        help_text="How it was decided.",
    )
    #: Counts changes of what is offered. A join names the revision that its customer has seen.
    revision = models.PositiveIntegerField(default=1, editable=False)
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    decided_at = models.DateTimeField(null=True, editable=False)
    settled_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        """What is offered must make sense by itself."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="campaigns_campaign_slug_once", fields=["slug"]),
            models.CheckConstraint(
                name="campaigns_campaign_minimum_in_capacity",
                condition=Q(minimum__gte=1, minimum__lte=F("capacity"), capacity__lte=MOST_PLACES),
                violation_error_message="The minimum is at least 1 and at most the capacity.",
            ),
            models.CheckConstraint(
                name="campaigns_campaign_quota_for_minimum",
                condition=Q(quota__gte=F("minimum"), quota__lte=MOST_CUPS, most_cups__gte=1),
                violation_error_message="The quota has a cup for each member of the minimum at least.",
            ),
            models.CheckConstraint(
                name="campaigns_campaign_has_price", condition=Q(price_cents__gte=1, price_cents__lte=MOST_CENTS)
            ),
            models.CheckConstraint(
                name="campaigns_campaign_window", condition=Q(payment_window__gte=timedelta(seconds=1))
            ),
            models.CheckConstraint(
                name="campaigns_campaign_decision_on_record",
                condition=Q(state=CampaignState.OPEN, outcome="", decided_at=None, settled_at=None)
                | Q(state__in=DECIDED, outcome=F("state"), decided_at__isnull=False, settled_at=None)
                | Q(
                    state=CampaignState.SETTLED,
                    outcome__in=DECIDED,
                    decided_at__isnull=False,
                    settled_at__isnull=False,
                ),
            ),
        ]
        indexes = [
            # Few campaigns are not settled; they are looked at again and again.
            models.Index(name="campaigns_campaign_unsettled", fields=["id"], condition=~Q(state="SETTLED"))
        ]

    def __str__(self) -> str:
        """Name it as its page does."""
        return self.title

    @property
    def page_path(self) -> str:
        """The path of its page, which people share."""
        return f"/g/{self.slug}/"


class Places(Pool):
    """The places of a campaign. The pool counts members, and takes none when the time is over."""

    campaign = models.OneToOneField(Campaign, on_delete=models.PROTECT, primary_key=True, related_name="places")
    closes_at = models.DateTimeField(help_text="From this time on no place can be held.")

    class Meta(Pool.Meta):
        """The pool's constraints are inherited."""

        verbose_name_plural = "places"

    def __str__(self) -> str:
        """Name it by its campaign."""
        return f"places of campaign {self.campaign_id}"


class PlaceHold(Hold):
    """The place that one run has in a campaign."""

    class Meta(Hold.Meta):
        """The hold's constraint is inherited."""

    def __str__(self) -> str:
        """Say what is held."""
        return f"place in campaign {self.pool_key} for {self.run_id}: {self.state}"


class Quota(Pool):
    """The cups that are set aside for a campaign."""

    campaign = models.OneToOneField(Campaign, on_delete=models.PROTECT, primary_key=True, related_name="cups")

    class Meta(Pool.Meta):
        """The pool's constraints are inherited."""

    def __str__(self) -> str:
        """Name it by its campaign."""
        return f"cups of campaign {self.campaign_id}"


class QuotaHold(Hold):
    """The cups of a campaign that one run holds."""

    class Meta(Hold.Meta):
        """The hold's constraint is inherited."""

    def __str__(self) -> str:
        """Say what is held."""
        return f"{self.quantity} cups of campaign {self.pool_key} for {self.run_id}: {self.state}"


class MemberState(models.TextChoices):
    """The state of a membership."""

    JOINED = "JOINED"
    PAID = "PAID"
    #: The order was undone: not paid in time, left, or the campaign did not form. Rejoining is another membership.
    LEFT = "LEFT"


#: The states of a membership that counts.
LIVE = (MemberState.JOINED, MemberState.PAID)


class Member(models.Model):
    """One customer's membership of one campaign, by one run. It is kept, whatever becomes of it."""

    # No constraint in the database: the run holds a place of the campaign, so the campaign exists.
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, related_name="members", db_constraint=False, db_index=False
    )
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    run_id = models.UUIDField(editable=False)
    order_no = models.CharField("order number", max_length=32)
    quantity = models.PositiveIntegerField(help_text="Cups.")
    state = models.CharField(max_length=6, choices=MemberState.choices, default=MemberState.JOINED)
    joined_at = models.DateTimeField(db_default=Now())
    paid_at = models.DateTimeField(null=True)
    left_at = models.DateTimeField(null=True)

    class Meta:
        """One membership a run, and one live membership a customer."""

        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(name="campaigns_member_run_once", fields=["run_id"]),
            models.UniqueConstraint(
                name="campaigns_member_one_live", fields=["campaign", "customer"], condition=Q(state__in=LIVE)
            ),
            models.CheckConstraint(
                name="campaigns_member_times_fit",
                condition=Q(state=MemberState.JOINED, paid_at=None, left_at=None)
                | Q(state=MemberState.PAID, paid_at__isnull=False, left_at=None)
                | Q(state=MemberState.LEFT, left_at__isnull=False),
            ),
        ]
        indexes = [models.Index(name="campaigns_member_of_campaign", fields=["campaign", "state", "id"])]

    def __str__(self) -> str:
        """Name the order and its state."""
        return f"{self.order_no}: {self.state}"


class ChangeKind(models.TextChoices):
    """What a person has done to a campaign."""

    OPENED = "OPENED"
    TERMS = "TERMS", "Terms changed"
    RAISED = "RAISED", "Capacity or quota raised"
    CLOSED = "CLOSED", "Closed early"
    CALLED_OFF = "CALLED_OFF", "Called off"


class Change(models.Model):
    """What a person has done to a campaign, and why. Append-only."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(max_length=10, choices=ChangeKind.choices)
    reason = models.TextField(blank=True)
    by = models.CharField(max_length=150)
    data = models.JSONField(default=dict, help_text="What was changed, and to what.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        """The newest last."""

        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                name="campaigns_change_has_reason", condition=Q(kind__in=["OPENED", "TERMS"]) | ~Q(reason="")
            )
        ]

    def __str__(self) -> str:
        """Say what was done."""
        return f"{self.kind} by {self.by}"
