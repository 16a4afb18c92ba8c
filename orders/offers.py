"""What is offered, as it was at most a second ago: prices, and which SKUs and slots take orders.

Every order asks for the same few rows. This process remembers each row for ``REMEMBERED`` seconds, so an order may get
the price of at most a second ago. Nothing is decided by it that a step does not decide again: the participants check
the stock and the slot when they hold them. What does not exist is not remembered: a new row is there at once.

Where many rows are asked for, all that take orders are read at once: the whole menu costs as much as five single rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Generic, TypeVar

from django.utils import timezone

import delivery.selectors
import inventory.selectors
from delivery.selectors import Term
from inventory.selectors import Offer

#: Seconds for which a row is remembered.
REMEMBERED = 1.0
#: So many rows of a kind are remembered at most; and so many are read at once.
_MOST = 2000
#: All are read at once where more orders than this have come in the second before.
_FEW = 8
#: Seconds without another try after there were too many rows for that.
_TOO_MANY_FOR = 60.0
#: Seconds, never set back.
clock = time.monotonic

K = TypeVar("K")
V = TypeVar("V")


class Pace:
    """How often something is asked for: about, because counts of other threads may be lost."""

    __slots__ = ("_asked", "_asked_before", "_began")

    def __init__(self) -> None:
        #: When the present second began, how often it was asked for in it, and how often in the one before.
        self._began, self._asked, self._asked_before = -1e9, 0, 0

    def count(self, now: float) -> int:
        """Count that it is asked for now; return how often it was in a second, this one or the one before."""
        if now >= self._began + REMEMBERED:
            is_next = now < self._began + 2 * REMEMBERED
            self._asked_before = self._asked if is_next else 0
            self._began, self._asked = now, 0
        self._asked += 1
        return max(self._asked, self._asked_before)


class Recent(Generic[K, V]):
    """Rows by their keys, each remembered for a while. All threads share the rows: nobody changes one.

    Args:
        read: the rows of these keys.
        read_all: the rows that take orders, at most so many; ``None``: each is always read by its key.
    """

    def __init__(
        self,
        read: Callable[[Collection[K]], Mapping[K, V]],
        read_all: Callable[[int], Mapping[K, V]] | None = None,
    ) -> None:
        self._read, self._read_all = read, read_all
        self._lock = threading.Lock()
        self._kept: dict[K, tuple[float, V]] = {}
        self._pace = Pace()
        self._all_again_at = -1e9
        self._reading_all = threading.Lock()

    def get(self, keys: Collection[K]) -> dict[K, V]:
        """The rows of these keys; those that do not exist are left out. What is not remembered is read at once."""
        now = clock()
        asked = self._pace.count(now)
        found = self._remembered(keys, now)
        if len(found) < len(keys) and self._read_all and self._may_read_all(asked, now):
            try:
                self._keep_all(self._read_all, now)
            finally:
                self._reading_all.release()
            found = self._remembered(keys, now)
        missing = [key for key in keys if key not in found]
        if missing:
            read = self._read(missing)
            found.update(read)
            self._keep(read, now)
        return found

    def forget(self) -> None:
        """Read every row again, and know nothing of what was asked for."""
        with self._lock:
            self._kept.clear()
            self._pace = Pace()
            self._all_again_at = -1e9

    def _remembered(self, keys: Collection[K], now: float) -> dict[K, V]:
        kept = ((key, self._kept.get(key)) for key in keys)
        return {key: row[1] for key, row in kept if row is not None and now < row[0]}

    def _may_read_all(self, asked: int, now: float) -> bool:
        """Whether this thread reads all; it then holds ``_reading_all``. Others read what they need meanwhile."""
        is_worth_it = asked > _FEW and now >= self._all_again_at
        return is_worth_it and self._reading_all.acquire(blocking=False)

    def _keep_all(self, read_all: Callable[[int], Mapping[K, V]], now: float) -> None:
        rows = read_all(_MOST)
        if len(rows) >= _MOST:
            self._all_again_at = now + _TOO_MANY_FOR
        self._keep(rows, now)

    def _keep(self, rows: Mapping[K, V], now: float) -> None:
        with self._lock:
            if len(self._kept) + len(rows) > _MOST:
                self._kept.clear()
            # From before the query, because a row may change while it is read.
            until = now + REMEMBERED
            self._kept.update({key: (until, row) for key, row in rows.items()})


def _terms(slots: Collection[int]) -> dict[int, Term]:
    found = {slot: delivery.selectors.terms(slot=slot) for slot in slots}
    return {slot: terms for slot, terms in found.items() if terms is not None}


_skus: Recent[str, Offer] = Recent(
    lambda codes: inventory.selectors.offers(codes=codes), lambda most: inventory.selectors.on_menu(most=most)
)
_slots: Recent[int, Term] = Recent(_terms, lambda most: delivery.selectors.open_slots(most=most))


def skus(*, codes: Collection[str]) -> dict[str, Offer]:
    """The SKUs of these codes, for their price and whether they are on the menu; unknown codes are left out."""
    return _skus.get(codes)


def terms(*, slot: int) -> Term | None:
    """Whether the slot takes orders, and when it ends; ``None`` if there is no such slot."""
    return _slots.get([slot]).get(slot)


#: Drinks that are good for less are short-lived: their orders are performed in one commit (``PlaceShortLivedOrder``).
SHORT_LIFE = timedelta(hours=2)
#: An order with less time to live is short-lived, too, and worth answers that wait for it (``orders.api.waiting``).
SHORT_TTL = timedelta(minutes=15)


def is_short_lived(*, codes: Collection[str], slot: int) -> bool:
    """Whether an order of these SKUs in this slot is short-lived: by its drinks, or by its time to live."""
    shelf_lives = (offer.shelf_life_minutes for offer in skus(codes=codes).values())
    return is_urgent(slot=slot) or any(
        minutes is not None and timedelta(minutes=minutes) < SHORT_LIFE for minutes in shelf_lives
    )


def is_urgent(*, slot: int) -> bool:
    """Whether an order in this slot has less than ``SHORT_TTL`` to live: when the slot ends, it is worth nothing.

    By the clock of this process: it is advice, and the slot's participant decides.
    """
    found = terms(slot=slot)
    return found is not None and found.ends_at - timezone.now() < SHORT_TTL


def forget() -> None:
    """Read everything again, as after a change that the next order must see."""
    _skus.forget()
    _slots.forget()
