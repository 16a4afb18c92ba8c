"""Reads of the slots. The database's clock, which all processes share, decides whether one has begun."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import F, Prefetch, QuerySet, Window
from django.db.models.functions import Now, RowNumber

from delivery.models import BY_REFUND, OPEN, Closure, Fulfilment, FulfilmentState, Slot, SlotHold, Store
from sagas.db import array, uuid_array
from sagas.pool import HoldState
from sagas.postgresql import prepared


class Term(NamedTuple):
    """What an order needs of a slot: whether it takes orders, and when it ends."""

    standing: Standing
    ends_at: datetime


class Standing(Enum):
    """Whether a slot takes orders. It may still be full."""

    OPEN = "open"
    #: It has begun, or its cut-off is over.
    BEGUN = "begun"
    INACTIVE = "inactive"


def upcoming() -> QuerySet[Slot]:
    """List the slots that are active and still take orders, the next first."""
    return Slot.objects.filter(closes_at__gt=Now(), active=True).select_related("store").order_by("starts_at", "id")


def terms(*, slot: int) -> Term | None:
    """Whether the slot takes orders, and when it ends; ``None`` if there is no such slot."""
    with connection.cursor() as cursor:
        # Not by the ORM, because every order passes here.
        prepared.execute(cursor, _TERMS, {"slot": slot})
        row = cursor.fetchone()
    if row is None:
        return None
    begun, active, ends_at = row
    if begun:
        return Term(Standing.BEGUN, ends_at)
    return Term(Standing.OPEN if active else Standing.INACTIVE, ends_at)


def standing(*, slot: int) -> Standing | None:
    """Whether the slot takes orders; ``None`` if there is no such slot."""
    found = terms(slot=slot)
    return None if found is None else found.standing


def is_before_cut_off(*, slot: int) -> bool:
    """Whether nobody makes the drinks of a slot yet: its cut-off is not over. ``False`` of one that is not there."""
    return Slot.objects.filter(pk=slot, closes_at__gt=Now()).exists()


def open_slots(*, most: int) -> dict[int, Term]:
    """The slots that take orders, at most so many, the next first."""
    with connection.cursor() as cursor:
        prepared.execute(cursor, _OPEN, {"most": most})
        return {slot: Term(Standing.OPEN, ends_at) for slot, ends_at in cursor.fetchall()}


def places_left(*, slots: Iterable[int]) -> dict[int, int]:
    """How many places each slot has left; what does not exist is left out."""
    with connection.cursor() as cursor:
        prepared.execute(cursor, _LEFT, {"slots": array(sorted(set(slots)))}, rows=prepared.ANY)
        return dict(cursor.fetchall())


_LEFT = "SELECT id, available FROM delivery_slot WHERE id = ANY(%(slots)s::bigint[])"
_OPEN = (
    "SELECT id, ends_at FROM delivery_slot WHERE closes_at > statement_timestamp() AND active ORDER BY starts_at "
    "LIMIT %(most)s::int"
)
_TERMS = "SELECT closes_at <= clock_timestamp(), active, ends_at FROM delivery_slot WHERE id = %(slot)s::bigint"


def booking_of(*, run_id: UUID) -> int | None:
    """The id of the place that an order's run has in a slot, if it has one."""
    held = SlotHold.objects.filter(run_id=run_id).exclude(state=HoldState.CANCELLED)
    return held.values_list("id", flat=True).first()


def stores() -> QuerySet[Store]:
    """List the active stores."""
    return Store.objects.filter(active=True)


@dataclass(frozen=True, slots=True)
class StoreView:
    """A store as customers see it: its hours and closures are those of ``store``.

    Attributes:
        slots: the next that take orders; some of them may be full.
    """

    store: Store
    slots: Sequence[Slot]


def store_views(*, most: int) -> list[StoreView]:
    """List the active stores with their hours, the closures that are not over, and the next slots of each.

    Args:
        most: slots of a store.
    """
    closures = Prefetch("closures", Closure.objects.filter(ends_at__gt=Now()))
    found = list(stores().prefetch_related("hours", closures))
    place = Window(RowNumber(), partition_by=F("store"), order_by=[F("starts_at").asc(), F("id").asc()])
    slots: defaultdict[int | None, list[Slot]] = defaultdict(list)
    for slot in upcoming().filter(store__in=found).annotate(place=place).filter(place__lte=most):
        slots[slot.store_id].append(slot)
    return [StoreView(store, slots[store.pk]) for store in found]


def queue(*, store: int) -> QuerySet[Fulfilment]:
    """List what a store has to do, the next first."""
    return Fulfilment.objects.filter(store_id=store, state__in=OPEN).order_by("due_at", "id")


def fulfilment_of(*, order_no: str) -> Fulfilment | None:
    """What a store does for an order, with who did what; ``None`` while the order is not confirmed."""
    return Fulfilment.objects.filter(order_no=order_no).prefetch_related("moves").first()


def queue_version(*, store: int) -> str:
    """A text that is another one whenever the store's queue is: an order more or less, moved, or in another slot."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT md5(coalesce(string_agg(id || '.' || version || '@' || slot, ',' ORDER BY due_at, id), '')) "
            "FROM delivery_fulfilment WHERE store_id = %s AND state = ANY(%s)",
            [store, [str(state) for state in OPEN]],
        )
        return str(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class Stage:
    """A state that a store's work has come to.

    Attributes:
        version: of the work, from 1 on: ``ACCEPTED``.
        reason: why it is refused, or cups were given back; "" otherwise.
        is_refund: whether it came by a refund, and not by the store.
    """

    version: int
    state: FulfilmentState
    at: datetime
    reason: str
    is_refund: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What a store does for a confirmed order, as its customer may see it: not who has done it.

    Attributes:
        stages: all states that it has come to, in order, each with its time.
    """

    work: Fulfilment
    stages: Sequence[Stage]

    @property
    def is_over(self) -> bool:
        """Whether the store has nothing more to do."""
        return self.work.state not in OPEN

    def after(self, version: int) -> list[Stage]:
        """The stages behind one."""
        return [stage for stage in self.stages if stage.version > version]


def progress_of(*, run_id: UUID) -> Progress | None:
    """How far a store has come with the order of a run; ``None`` if the order is not confirmed."""
    work = Fulfilment.objects.filter(run_id=run_id).select_related("store").first()
    if work is None:
        return None
    # Behind the work: a move that is committed between both reads is left for the next time.
    moves = [
        Stage(move.version, FulfilmentState(move.target), move.at, move.reason, move.by == BY_REFUND)
        for move in work.moves.filter(version__lte=work.version).order_by("version")
    ]
    return Progress(work, [Stage(1, FulfilmentState.ACCEPTED, work.created_at, ""), *moves])


def versions(run_ids: Collection[UUID]) -> dict[UUID, str]:
    """For each of these runs whose order a store has, a text that is another after each move, and in another slot."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, version || '@' || slot FROM delivery_fulfilment WHERE run_id = ANY(%s::uuid[])",
            [uuid_array(run_ids)],
        )
        return dict(cursor.fetchall())
