"""Limits of what one customer, or one address, may have ordered and not paid.

Ordered cups are held until the confirm deadline, paid or not. Without a limit one customer could hold all cups again
and again, and nobody else could buy.
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

#: The newest orders that are counted. Older ones are decided, because their deadline was half a minute.
_NEWEST = 200


@dataclass(frozen=True, slots=True)
class Cap:
    """What may be open at once. 0 is no limit."""

    orders: int
    cups: int


def refuse_too_large(quantities: Sequence[int]) -> None:
    """Raise ``OrderRefused`` for an order that alone has more cups than one customer may have open."""
    most, cups = settings.OPEN_ORDERS["customer"]["cups"], sum(quantities)
    if most and cups > most:
        raise OrderRefused([Fault("too-many-cups", f"An order may have {most} cups at most, not {cups}.", "/items")])


def check(*, customer_id: int, address: str | None) -> None:
    """Refuse the order that this transaction has inserted, if too much is open with it; the caller rolls back.

    Call it after the insert, and last in the transaction. Orders of one customer wait for each other here: each one
    waits for the commit of the one before, and then counts itself and all before it. Orders from one address do not
    wait, because an address may be a whole office; a few orders over that limit may pass.

    Args:
        customer_id: whose order it is.
        address: from which it came, if that distinguishes customers.

    Raises:
        TooMuchOpen: the order may be placed once others are paid or undone.
    """
    customers, addresses = (Cap(**settings.OPEN_ORDERS[whose]) for whose in ("customer", "address"))
    if customers.orders or customers.cups:
        with connection.cursor() as cursor:
            # A separate statement, so that the next one sees what was committed while this one waited.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"orders.open:{customer_id}"])
        _compare(customers, customer=customer_id)
    if address is not None and (addresses.orders or addresses.cups):
        _compare(addresses, address=address)


def _compare(cap: Cap, **whose: Any) -> None:
    newest = Order.objects.filter(**whose).order_by(F("id").desc()).values("run_id")[:_NEWEST]
    paid = Confirmation.objects.filter(run_id=OuterRef("pk"))
    # By the state of the runs: the status of an order whose run failed before its first step may be out of date.
    unpaid = Run.objects.filter(~Exists(paid), pk__in=newest, state__in=UNDECIDED)
    cups = [sum(item["quantity"] for item in request["items"]) for request in unpaid.values_list("request", flat=True)]
    if cap.orders and len(cups) > cap.orders:
        raise TooMuchOpen(f"{cap.orders} orders wait for their payment already", _patience())
    if cap.cups and sum(cups) > cap.cups:
        raise TooMuchOpen(f"With this order {sum(cups)} cups would wait for their payment, of {cap.cups}", _patience())


def _patience() -> int:
    """Seconds until the present open orders are probably paid or undone."""
    within: float = settings.CONFIRM_WITHIN_SECONDS
    return math.ceil(within)
