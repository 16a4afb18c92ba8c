"""The first three orders of the demo, what happens to each, and how it must end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo.client import Api, Unexpected

#: Cups in every order.
CUPS = 2
#: How long the paid order waits for its payment, so that its holds can be seen.
_SECONDS_UNPAID = 4
#: Enough for an unpaid order to begin, to wait 30 s, and to be undone.
_SECONDS_IN_ALL = 75
_POLL_SECONDS = 0.2
_UNPAID = "nobody pays"
FINAL = {"SUCCEEDED", "FAILED"}


@dataclass
class Count:
    """Something countable: cups of a SKU, or places in a slot.

    Attributes:
        name: its name.
        before: available before the demo.
        taken: how many must be gone in the end.
        now: available as last seen.
        lowest: the lowest number seen, while orders held some.
    """

    name: str
    before: int
    taken: int
    now: int
    lowest: int

    @property
    def is_right(self) -> bool:
        """Whether the count is right in the end."""
        return self.now == self.before - self.taken

    def see(self, available: int) -> None:
        """Record the present number."""
        self.now = available
        self.lowest = min(self.lowest, available)


@dataclass
class Tale:
    """One order.

    Attributes:
        title: what happens to the order, in a few words.
        end: the state in which it must end.
        why: kind and code of its expected reason; empty for success.
        stock: cups of its own SKU.
        sku: that SKU.
        coupon: the coupon that it uses.
        is_paid: whether it is paid.
        order: the order as last read; empty before it is placed.
    """

    title: str
    end: str
    why: tuple[str, str] | None
    stock: Count
    sku: str
    coupon: str | None = None
    is_paid: bool = False
    order: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Its state as last read."""
        return str(self.order.get("state", ""))

    @property
    def is_right(self) -> bool:
        """Whether it ended as it should."""
        reason = self.order.get("reason")
        why = (reason["kind"], reason["code"]) if reason else None
        return self.state == self.end and why == self.why

    def seconds_left(self, now: datetime) -> float | None:
        """Seconds until its deadline, while it waits."""
        deadline = self.order.get("confirm_deadline")
        if not deadline or self.state in FINAL | {"CONFIRMING", "COMPENSATING"}:
            return None
        return max((datetime.fromisoformat(deadline) - now).total_seconds(), 0.0)


class Story:
    """Three orders at once, each of a SKU of its own, all in one delivery slot."""

    def __init__(self, api: Api) -> None:
        self._api = api
        menu = sorted(api.menu(), key=lambda sku: -int(sku["available"]))[:3]
        slots = sorted(api.slots(), key=lambda slot: -int(slot["available"]))[:1]
        if len(menu) < 3 or menu[-1]["available"] < CUPS or not slots or slots[0]["available"] < 3:
            raise Unexpected(
                "The shop is all but sold out: in the admin, restock its SKUs (Inventory) and add a slot (Delivery)."
            )
        paid, left, refused = menu
        self.slot_id = slots[0]["id"]
        self.slot = Count(f"slot {slots[0]['starts_at'][:16].replace('T', ' ')}", *_start(slots[0], taken=1))
        self.tales = [
            Tale("paid in time", "SUCCEEDED", None, _stock(paid, taken=CUPS), paid["sku"], is_paid=True),
            Tale(_UNPAID, "FAILED", ("timeout", "NotConfirmed"), _stock(left, taken=0), left["sku"]),
            Tale(
                "coupon used already",
                "FAILED",
                ("rejected", "CouponUsed"),
                _stock(refused, taken=0),
                refused["sku"],
                coupon="USED",
            ),
        ]

    @property
    def unpaid(self) -> str:
        """The number of the order that nobody pays."""
        return str(next(tale.order["order_no"] for tale in self.tales if tale.title == _UNPAID))

    @property
    def counts(self) -> list[Count]:
        """The counts of the SKUs and of the slot."""
        return [*(tale.stock for tale in self.tales), self.slot]

    @property
    def is_right(self) -> bool:
        """Whether every order ended as expected, and no count is wrong."""
        return all(tale.is_right for tale in self.tales) and all(count.is_right for count in self.counts)

    def tell(self) -> Iterator[None]:
        """Place the orders, and go on until all have ended; yield whenever something may have changed."""
        yield
        for tale in self.tales:
            body = {"items": [{"sku": tale.sku, "quantity": CUPS}], "slot": self.slot_id}
            tale.order = self._api.place(body | ({"coupon": tale.coupon} if tale.coupon else {}))
            yield
        end = time.monotonic() + _SECONDS_IN_ALL
        pay = self._payments()
        while not self._have_ended() and time.monotonic() < end:
            pay()
            self._look()
            yield
            time.sleep(_POLL_SECONDS)
        # Once more, because the orders were read before the counts.
        self._look()
        yield

    def _have_ended(self) -> bool:
        return all(tale.state in FINAL for tale in self.tales)

    def _look(self) -> None:
        for tale in self.tales:
            if tale.state not in FINAL:
                tale.order = self._api.order(tale.order["order_no"])
        menu = {sku["sku"]: sku["available"] for sku in self._api.menu()}
        for tale in self.tales:
            tale.stock.see(menu[tale.sku])
        self.slot.see(next(slot["available"] for slot in self._api.slots() if slot["id"] == self.slot_id))

    def _payments(self) -> Callable[[], None]:
        """Return the function that pays the paid order once, after it has waited for a while."""
        waiting = [tale for tale in self.tales if tale.is_paid]
        due = time.monotonic() + _SECONDS_UNPAID

        def pay() -> None:
            for tale in list(waiting):
                if tale.state == "AWAITING_CONFIRM" and time.monotonic() > due:
                    waiting.remove(tale)
                    self._api.pay(tale.order["order_no"])

        return pay


def _stock(sku: dict[str, Any], *, taken: int) -> Count:
    return Count(sku["sku"], *_start(sku, taken=taken))


def _start(row: dict[str, Any], *, taken: int) -> tuple[int, int, int, int]:
    available = int(row["available"])
    return available, taken, available, available
