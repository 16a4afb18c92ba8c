"""How much one customer, or one address, may have ordered and not paid.

What is ordered is held for the confirm deadline, whoever pays. Without a bound one customer could hold all the cups
there are, again and again, and nobody else could buy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, F, OuterRef

from orders.errors import Fault, OrderRefused, TooMuchOpen
from orders.models import Order
from sagas.models import Confirmation, Run
from sagas.states import UNDECIDED

#: The newest orders that are looked at. Those before them have long been decided: they had half a minute.
_NEWEST = 200


@dataclass(frozen=True, slots=True)
class Cap:
    """What may be open at once. 0 is no bound."""

    orders: int
    cups: int


def refuse_too_large(quantities: Sequence[int]) -> None:
    """Refuse an order that alone has more cups than one customer may have open; ``OrderRefused`` says so."""
    most, cups = settings.OPEN_ORDERS["customer"]["cups"], sum(quantities)
    if most and cups > most:
        raise OrderRefused([Fault("too-many-cups", f"An order may have {most} cups at most, not {cups}.", "/items")])


def check(*, customer_id: int, address: str | None) -> None:
    """Refuse the order that this transaction has inserted, if too much is open with it: roll back.

    After the insert, and last of all: the orders of one customer wait for each other here until the one before has
    committed, and each then counts itself and all before it. Those from one address do not wait, for it may be a
    whole office: at that bound a few more may pass.

    Args:
        customer_id: whose order it is.
        address: from which it came, if that tells customers apart.

    Raises:
        TooMuchOpen: it may be placed once others are paid or undone.
    """
    customers, addresses = (Cap(**settings.OPEN_ORDERS[whose]) for whose in ("customer", "address"))
    if customers.orders or customers.cups:
        with connection.cursor() as cursor:
            # In a statement of its own: the next one sees what was committed while this one waited.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"orders.open:{customer_id}"])
        _compare(customers, customer=customer_id)
    if address is not None and (addresses.orders or addresses.cups):
        _compare(addresses, address=address)


def _compare(cap: Cap, **whose: Any) -> None:
    newest = Order.objects.filter(**whose).order_by(F("id").desc()).values("run_id")[:_NEWEST]
    paid = Confirmation.objects.filter(run_id=OuterRef("pk"))
    # By the runs, not by the orders' own status: that of one whose run failed before its first step may be old.
    unpaid = Run.objects.filter(~Exists(paid), pk__in=newest, state__in=UNDECIDED)
    cups = [sum(item["quantity"] for item in request["items"]) for request in unpaid.values_list("request", flat=True)]
    if cap.orders and len(cups) > cap.orders:
        raise TooMuchOpen(f"{cap.orders} orders wait for their payment already", _patience())
    if cap.cups and sum(cups) > cap.cups:
        raise TooMuchOpen(f"With this order {sum(cups)} cups would wait for their payment, of {cap.cups}", _patience())


def _patience() -> int:
    """Seconds in which what is open now is paid or undone, or nearly."""
    within: float = settings.CONFIRM_WITHIN_SECONDS
    return math.ceil(within)
