"""Stores, their opening hours, the times at which they make orders, and how far each confirmed order has come."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sagas.pool import Hold, Pool

#: The range of slots. A year that Python cannot represent would break every list with the slot.
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

#: The highest number of orders in one slot.
MOST_ORDERS = 1_000_000

#: The store of slots that name none. A trigger makes it where it is missing (migration 0005).
DEFAULT_STORE = 1


def check_time_zone(name: str) -> None:
    """Refuse a name that is no time zone; the table refuses it, too."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(_("%(name)s is no time zone, such as Asia/Shanghai."), params={"name": name})


class Store(models.Model):
    """A store that makes drinks. Its hours are in its own time zone."""

    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=100)
    timezone = models.CharField(max_length=64, validators=[check_time_zone])
    cut_off_minutes = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="How long before its begin a new slot takes the last order."
    )
    active = models.BooleanField(default=True, db_default=True)

    class Meta:
        """A cut-off is a day at most."""

        ordering = ["code"]
        constraints = [
            models.CheckConstraint(name="delivery_store_cut_off", condition=Q(cut_off_minutes__lte=24 * 60)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """Its time zone."""
        return zoneinfo.ZoneInfo(self.timezone)


class OpeningHours(models.Model):
    """From when to when a store is open on one day of the week, by its own clock. A day may have several."""

    class Weekday(models.IntegerChoices):
        """By ISO 8601."""

        MONDAY = 1, _("Monday")
        TUESDAY = 2, _("Tuesday")
        WEDNESDAY = 3, _("Wednesday")
        THURSDAY = 4, _("Thursday")
        FRIDAY = 5, _("Friday")
        SATURDAY = 6, _("Saturday")
        SUNDAY = 7, _("Sunday")

    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="hours")
    weekday = models.PositiveSmallIntegerField(choices=Weekday.choices)
    opens = models.TimeField()
    closes = models.TimeField(help_text="00:00 is the end of the day.")

    class Meta:
        """It closes after it opens."""

        ordering = ["store", "weekday", "opens"]
        verbose_name_plural = "opening hours"
        constraints = [
            models.UniqueConstraint(name="delivery_hours_once", fields=["store", "weekday", "opens"]),
            models.CheckConstraint(name="delivery_hours_weekday", condition=Q(weekday__gte=1, weekday__lte=7)),
            models.CheckConstraint(
                name="delivery_hours_close_after_open",
                condition=Q(closes__gt=F("opens")) | Q(closes=time(0)),
                violation_error_message=_("It closes after it opens."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_weekday_display()} {self.opens:%H:%M} to {self.closes:%H:%M}"


class Closure(models.Model):
    """A time in which a store is closed although its hours say otherwise. ``services.close`` writes it."""

    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="closures")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=200)
    closed_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """It ends after it has begun."""

        ordering = ["starts_at"]
        constraints = [
            models.CheckConstraint(name="delivery_closure_ends_after_start", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(
                name="delivery_closure_in_range", condition=Q(starts_at__gte=FIRST, ends_at__lt=LAST)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} to {self.ends_at:%Y-%m-%d %H:%M}: {self.reason}"


class Slot(Pool):
    """A time at which a store hands out orders. The pool counts orders: its capacity is available + held + sold."""

    id = models.BigAutoField(primary_key=True)
    store = models.ForeignKey(
        Store, on_delete=models.PROTECT, related_name="slots", default=DEFAULT_STORE, db_default=DEFAULT_STORE
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    closes_at = models.DateTimeField(
        blank=True,
        help_text="Until when it takes orders; by default its begin less the store's cut-off.",
    )
    active = models.BooleanField(default=True, db_default=True, help_text="Whether it is offered and takes orders.")

    class Meta(Pool.Meta):
        """The pool's constraints are kept."""

        ordering = ["starts_at", "id"]
        constraints = [
            *Pool.Meta.constraints,
            models.UniqueConstraint(name="delivery_slot_of_store_once", fields=["store", "starts_at", "ends_at"]),
            models.CheckConstraint(name="delivery_slot_ends_after_start", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(name="delivery_slot_closes", condition=Q(closes_at__lte=F("starts_at"))),
            models.CheckConstraint(
                name="delivery_slot_in_range",
                condition=Q(starts_at__gte=FIRST, ends_at__lt=LAST),
                violation_error_message="A slot lies between 2000 and 2100.",
            ),
        ]

    def __str__(self) -> str:
        """Name it by its time, in the shop's time zone."""
        start, end = timezone.localtime(self.starts_at), timezone.localtime(self.ends_at)
        return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M}"


class SlotHold(Hold):
    """The place that one run has in a slot."""

    class Meta(Hold.Meta):
        """The hold's constraint is inherited."""

    def __str__(self) -> str:
        """Say what is held."""
        return f"slot {self.pool_key} for {self.run_id}: {self.state}"


class FulfilmentState(models.TextChoices):
    """How far a confirmed order has come in its store. A trigger refuses every change that is not in ``NEXT``."""

    ACCEPTED = "ACCEPTED", _("accepted")
    MAKING = "MAKING", _("making")
    READY = "READY", _("ready")
    HANDED_OVER = "HANDED_OVER", _("handed over")
    NOT_COLLECTED = "NOT_COLLECTED", _("not collected")
    #: The store cannot make it, or the customer was refunded.
    REFUSED = "REFUSED", _("refused")


#: What may follow on each state. Migration 0007 has the same.
NEXT = {
    FulfilmentState.ACCEPTED: (FulfilmentState.MAKING, FulfilmentState.REFUSED),
    FulfilmentState.MAKING: (FulfilmentState.READY, FulfilmentState.REFUSED),
    FulfilmentState.READY: (FulfilmentState.HANDED_OVER, FulfilmentState.NOT_COLLECTED, FulfilmentState.REFUSED),
    FulfilmentState.HANDED_OVER: (),
    FulfilmentState.NOT_COLLECTED: (),
    FulfilmentState.REFUSED: (),
}
#: States in which the store has something to do.
OPEN = tuple(state for state, following in NEXT.items() if following)


class FulfilmentKind(models.TextChoices):
    """How the customer gets the order."""

    SLOT = "SLOT", _("delivery")
    PICK_UP = "PICK_UP", _("pick-up")
    COURIER = "COURIER", _("courier")


class Fulfilment(models.Model):
    """What a store does for one confirmed order. The commit that confirms the order's place in its slot makes it.

    ``version`` grows with each change of the state, and a trigger writes each into ``FulfilmentMove``.
    """

    run_id = models.UUIDField(unique=True, editable=False)
    order_no = models.CharField("order number", max_length=32, unique=True)
    # Without constraints, because the rows are written on the hot path from those of the slot.
    store = models.ForeignKey(Store, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    slot = models.BigIntegerField()
    due_at = models.DateTimeField(help_text="The begin of its slot.")
    kind = models.CharField(max_length=7, choices=FulfilmentKind.choices)
    lines = models.JSONField(help_text="What is to be made: pairs of a SKU and a quantity.")
    state = models.CharField(
        max_length=13, choices=FulfilmentState.choices, default=FulfilmentState.ACCEPTED, db_default="ACCEPTED"
    )
    version = models.PositiveIntegerField(default=1, db_default=1)
    changed_by = models.CharField(max_length=150, default="", db_default="")
    reason = models.CharField(max_length=500, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        """The index is the queue of a store."""

        ordering = ["due_at", "id"]
        permissions = [("fulfil", "Can see a store's queue, and move orders in it")]
        constraints = [
            models.CheckConstraint(name="delivery_fulfilment_state", condition=Q(state__in=FulfilmentState.values)),
            models.CheckConstraint(name="delivery_fulfilment_kind", condition=Q(kind__in=FulfilmentKind.values)),
            models.CheckConstraint(
                name="delivery_fulfilment_who",
                condition=Q(state="ACCEPTED") | ~Q(changed_by=""),
            ),
            models.CheckConstraint(
                name="delivery_fulfilment_refused_why", condition=~Q(state="REFUSED") | ~Q(reason="")
            ),
        ]
        indexes = [
            models.Index(
                name="delivery_queue", fields=["store", "due_at", "id"], condition=Q(state__in=[str(s) for s in OPEN])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_no}: {self.get_state_display()}"

    @property
    def cups(self) -> int:
        """How many cups it has."""
        return sum(quantity for _sku, quantity in self.lines)


#: In whose name cups leave a store's queue when they are refunded.
BY_REFUND = "refund"


class FulfilmentMove(models.Model):
    """Who moved an order from one state to another, when and why. A trigger writes it; it is never changed."""

    fulfilment = models.ForeignKey(Fulfilment, on_delete=models.PROTECT, related_name="moves")
    version = models.PositiveIntegerField()
    source = models.CharField(max_length=13)
    target = models.CharField(max_length=13)
    by = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()

    class Meta:
        """Each version has one."""

        ordering = ["fulfilment", "version"]
        constraints = [models.UniqueConstraint(name="delivery_move_once", fields=["fulfilment", "version"])]

    def __str__(self) -> str:
        return f"{self.source} to {self.target} by {self.by}"
