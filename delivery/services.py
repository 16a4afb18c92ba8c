"""Writes of the delivery domain: slots by opening hours, closures, moves of orders in a store, rebooking.

Each is one transaction. Rows are locked in one order: a store, then slots by id, then a hold, then a fulfilment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from delivery.errors import (
    DayUnusable,
    IllegalMove,
    NotInQueue,
    NotRebookable,
    ReasonMissing,
    SlotUnusable,
    StaleVersion,
)
from delivery.models import BY_REFUND, NEXT, OPEN, Closure, Fulfilment, FulfilmentState, Slot, SlotHold, Store
from sagas.pool import HoldState

#: How far ahead a person makes slots.
AHEAD = timedelta(days=366)
#: The shortest and the longest slot that a person makes.
SHORTEST, LONGEST = timedelta(minutes=5), timedelta(hours=24)


def open_slots(*, store: int, day: date, length: timedelta, capacity: int) -> list[Slot]:
    """Make the slots of a store's day, by its opening hours and its own clock, outside its closures.

    A day on which the clock is set has a longer or shorter time. Slots that there are stay as they are, and none is
    made that overlaps one of them; so a repeat makes none.

    Returns:
        The new slots.
    """
    with transaction.atomic():
        # So that no closure is written meanwhile.
        owner = Store.objects.select_for_update(no_key=True).get(pk=store)
        wanted = list(_times(owner, day, length))
        if not wanted:
            return []
        closed = list(owner.closures.filter(starts_at__lt=wanted[-1][1], ends_at__gt=wanted[0][0]))
        there = list(owner.slots.filter(starts_at__lt=wanted[-1][1], ends_at__gt=wanted[0][0]))
        made = [
            Slot(store=owner, starts_at=begin, ends_at=end, available=capacity)
            for begin, end in wanted
            if not any(of.starts_at < end and of.ends_at > begin for of in closed)
            and not any(of.starts_at < end and of.ends_at > begin for of in there)
        ]
        return Slot.objects.bulk_create(made)


def open_day(*, store: int, day: date, length: timedelta, capacity: int) -> list[Slot]:
    """Make the slots of a day as a person asks for them, who may err; all else is as for ``open_slots``.

    Slots that would have begun are left out.

    Returns:
        The new slots, by time.

    Raises:
        DayUnusable: the store is not open on that day, or not for so long; or the day is past, or more than a year
            ahead.
    """
    owner = Store.objects.get(pk=store)
    now = timezone.now()
    today = now.astimezone(owner.zone).date()
    if not today <= day <= today + AHEAD:
        msg = f"{day} is past, or more than a year ahead"
        raise DayUnusable(msg)
    if not any(begin > now for begin, _ in _times(owner, day, length)):
        msg = f"{owner.name} is not open on {day}, or not for so long"
        raise DayUnusable(msg)
    with transaction.atomic():
        made = {slot.pk for slot in open_slots(store=store, day=day, length=length, capacity=capacity)}
        Slot.objects.filter(pk__in=made, starts_at__lte=now).delete()
        # With the end of orders, which a trigger sets.
        return list(Slot.objects.filter(pk__in=made).select_related("store").order_by("starts_at"))


def _times(store: Store, day: date, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Begin and end of each slot that lies wholly within the store's hours of this day."""
    for hours in store.hours.filter(weekday=day.isoweekday()):
        # Wall times become moments before they are compared: an hour of a wall clock may not exist, or come twice.
        begin = datetime.combine(day, hours.opens, store.zone).astimezone(UTC)
        last_day = day + timedelta(days=1) if hours.closes == time(0) else day
        until = datetime.combine(last_day, hours.closes, store.zone).astimezone(UTC)
        while begin + length <= until:
            yield begin, begin + length
            begin += length


def close(*, store: int, starts_at: datetime, ends_at: datetime, reason: str, by: str) -> Closure:
    """Close a store for a time: its slots in it take no more orders. What is booked stays: refuse or rebook it."""
    with transaction.atomic():
        owner = Store.objects.select_for_update(no_key=True).get(pk=store)
        made = Closure.objects.create(store=owner, starts_at=starts_at, ends_at=ends_at, reason=reason, closed_by=by)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE delivery_slot SET active = false WHERE id IN (SELECT id FROM delivery_slot WHERE store_id = %s "
                "AND active AND starts_at < %s AND ends_at > %s ORDER BY id FOR NO KEY UPDATE)",
                [store, ends_at, starts_at],
            )
    return made


def move(*, order_no: str, to: FulfilmentState, version: int, by: str, reason: str = "") -> Fulfilment:
    """Move an order in its store's queue. Who does it has seen it in ``version``.

    A trigger writes who has moved it, from where and why.

    Raises:
        NotInQueue: no store has this order.
        StaleVersion: somebody was faster.
        IllegalMove: it cannot go there from where it is.
        ReasonMissing: it is refused without a reason.
    """
    if to is FulfilmentState.REFUSED and not reason:
        raise ReasonMissing
    with transaction.atomic():
        found = Fulfilment.objects.select_for_update(no_key=True).filter(order_no=order_no).first()
        if found is None:
            raise NotInQueue(order_no)
        if found.version != version:
            msg = f"{order_no} is {found.state} by now"
            raise StaleVersion(msg)
        if to not in NEXT[FulfilmentState(found.state)]:
            msg = f"{order_no} is {found.state}, and cannot become {to}"
            raise IllegalMove(msg)
        found.state, found.changed_by, found.reason = to, by[:150], reason[:500]
        found.save(update_fields=["state", "changed_by", "reason"])
        found.refresh_from_db()
    return found


def rebook(*, run_id: UUID, slot: int) -> tuple[int, datetime]:
    """Move the place of a confirmed order to another slot of its store: book the new one, then release the old one.

    All of it is one transaction, and the hold names the new slot afterwards. A repeat changes nothing.

    Returns:
        The old slot, and the begin of the new one.

    Raises:
        NotRebookable: the run has no confirmed place, its slot takes no changes any more, or the store has begun.
        SlotUnusable: the new slot is none of the store's, takes no orders, or is full.
    """
    with transaction.atomic():
        # Read without a lock: only what is locked afterwards is believed.
        key = (
            SlotHold.objects.filter(run_id=run_id, state=HoldState.CONFIRMED).values_list("pool_key", flat=True).first()
        )
        if key is None:
            msg = f"run {run_id} has no confirmed place"
            raise NotRebookable(msg)
        with connection.cursor() as cursor:
            cursor.execute(_LOCK_SLOTS, [sorted({int(key), slot})])
            rows = {row[0]: row[1:] for row in cursor.fetchall()}
        hold = SlotHold.objects.select_for_update(no_key=True).filter(run_id=run_id, state=HoldState.CONFIRMED).first()
        work = lock(run_id=run_id)
        if hold is None or hold.pool_key != key or work is None:
            msg = f"the place of run {run_id} was changed meanwhile"
            raise NotRebookable(msg)
        old = int(key)
        if slot not in rows:
            msg = f"there is no slot {slot}"
            raise SlotUnusable(msg)
        store, starts_at, closed, active, available = rows[slot]
        if slot == old:
            return old, starts_at
        if rows[old][2] or work.state != FulfilmentState.ACCEPTED:
            msg = f"slot {old} is past its cut-off, or its store has begun with the order"
            raise NotRebookable(msg)
        if store != rows[old][0] or closed or not active or available < 1:
            msg = f"slot {slot} is another store's, takes no orders, or is full"
            raise SlotUnusable(msg)
        with connection.cursor() as cursor:
            cursor.execute(_BOOK, [slot])
            cursor.execute(_RELEASE, [old])
        hold.pool_key = str(slot)
        hold.save(update_fields=["pool_key"])
        work.slot, work.due_at = slot, starts_at
        work.save(update_fields=["slot", "due_at"])
    return old, starts_at


def lock(*, run_id: UUID) -> Fulfilment | None:
    """Lock what a store does for the order of a run, in the caller's transaction; ``None`` if it is not confirmed.

    Until the transaction ends nobody begins with the order, and nobody refuses it.
    """
    return Fulfilment.objects.select_for_update(no_key=True).filter(run_id=run_id).first()


class Returned(NamedTuple):
    """What became of a store's work when a refund took cups out of it.

    Attributes:
        are_unmade: whether the store had not begun with it, so that nothing of it is made; ``None`` if no store has it.
        moved: the work, if this has changed it. It is locked.
    """

    are_unmade: bool | None
    moved: Fulfilment | None


def give_back(
    *,
    run_id: UUID,
    cups: Mapping[str, int],
    whole: bool,
    by: str = BY_REFUND,
    reason: str = "the order was refunded",
) -> Returned:
    """Take refunded cups out of a store's queue, in the caller's transaction, which must do it once.

    With the last cup the order leaves the queue, and its place in the slot is free. An order that is handed over stays
    so. The lock of the work decides between a refund and the store that begins: either the store has begun, or it is
    told of the cups that it is not to make. The holds of a run that was pruned are gone, and its slot is over.

    Args:
        run_id: the confirmed run.
        cups: what is refunded, by SKU.
        whole: whether nothing of the order is left.
        by: who takes them out.
        reason: why.
    """
    with transaction.atomic():
        if whole:
            _free_place(run_id)
        work = Fulfilment.objects.select_for_update(no_key=True).filter(run_id=run_id).first()
        if work is None:
            return Returned(None, None)
        are_unmade = work.state == FulfilmentState.ACCEPTED or (
            work.state == FulfilmentState.REFUSED
            and work.moves.filter(target=FulfilmentState.REFUSED, source=FulfilmentState.ACCEPTED).exists()
        )
        if whole and work.state in OPEN:
            work.state = FulfilmentState.REFUSED
        elif not whole and work.state == FulfilmentState.ACCEPTED:
            left = [(sku, quantity - cups.get(sku, 0)) for sku, quantity in work.lines]
            work.lines = [[sku, quantity] for sku, quantity in left if quantity > 0]
        else:
            return Returned(are_unmade, None)
        work.changed_by, work.reason = by[:150], reason[:500]
        work.save(update_fields=["state", "lines", "changed_by", "reason"])
        work.refresh_from_db()
    return Returned(are_unmade, work)


def _free_place(run_id: UUID) -> None:
    keys = SlotHold.objects.filter(run_id=run_id, state=HoldState.CONFIRMED).values_list("pool_key", flat=True)
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_SLOTS, [sorted(map(int, keys))])
    for hold in SlotHold.objects.select_for_update(no_key=True).filter(run_id=run_id, state=HoldState.CONFIRMED):
        hold.state = HoldState.CANCELLED
        hold.save(update_fields=["state"])
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, [int(hold.pool_key)])


_LOCK_SLOTS = (
    "WITH locked AS MATERIALIZED (SELECT * FROM delivery_slot WHERE id = ANY(%s::bigint[]) ORDER BY id "
    "FOR NO KEY UPDATE) SELECT id, store_id, starts_at, closes_at <= clock_timestamp(), active, available FROM locked"
)
_BOOK = "UPDATE delivery_slot SET available = available - 1, sold = sold + 1 WHERE id = %s"
_RELEASE = "UPDATE delivery_slot SET available = available + 1, sold = sold - 1 WHERE id = %s"
