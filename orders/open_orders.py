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
from django.utils.translation import gettext as _

from orders.errors import Fault, OrderRefused, TooMuchOpen
from orders.models import Order
from orders.services import Guard
from sagas.models import Confirmation, Run
from sagas.states import UNDECIDED

#: The newest orders that are counted, as in ``orders_few_open``. Older ones are decided: their deadline was half a
#: minute.
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
        detail = _("An order may have %(most)d cups at most, not %(cups)d.") % {"most": most, "cups": cups}
        raise OrderRefused([Fault("too-many-cups", detail, "/items")])


def are_limited(*, address: str | None) -> bool:
    """Whether ``check`` has anything to compare for a customer at this address."""
    return any(settings.OPEN_ORDERS["customer"].values()) or (
        address is not None and any(settings.OPEN_ORDERS["address"].values())
    )


def few(*, customer_id: int, address: str | None, quantities: Sequence[int]) -> Guard | None:
    """The guard that hardly anything is open, so that one more order is within the limits whatever it has.

    It is looked up behind the customer's lock, by the statement that inserts the order. Where it does not hold, the
    order may still be within the limits: ``check`` compares exactly.

    An order's status is final no earlier than its run is decided, so no unpaid one is missed; paid ones are found, too.

    Args:
        customer_id: whose order it is.
        address: from which it comes, if that distinguishes customers.
        quantities: its cups.

    Returns:
        ``None`` if this order alone may be too large for its address.
    """
    customers, addresses = _caps()
    most = _others_at_address(addresses, customers, sum(quantities))
    if address is not None and most < 0:
        return None
    return Guard(
        _FEW,
        {
            "limited_customer": customer_id if customers.orders or customers.cups else None,
            "limited_address": address if addresses.orders or addresses.cups else None,
            "limited_most": most,
        },
    )


#: See migration ``orders.0006``.
_FEW = "orders_few_open(%(limited_customer)s::int, %(limited_address)s::inet, %(limited_most)s::int)"


def _caps() -> tuple[Cap, Cap]:
    return Cap(**settings.OPEN_ORDERS["customer"]), Cap(**settings.OPEN_ORDERS["address"])


def _others_at_address(addresses: Cap, customers: Cap, cups: int) -> int:
    """How many other orders may be open at an address whatever they have; negative if not even this one alone may."""
    most = addresses.orders - 1 if addresses.orders else _NEWEST
    if addresses.cups:
        # No order has more cups than its customer may have: see ``refuse_too_large``.
        left = addresses.cups - cups
        most = min(most, left // customers.cups if customers.cups else min(left, 0))
    return most


def lock(*, customer_id: int) -> None:
    """Let the orders of one customer wait for each other until the end of this transaction, if they are limited.

    The next one waits for the commit of this one, and then counts it. Orders from one address do not wait, because an
    address may be a whole office; a few orders over that limit may pass.
    """
    customers, _ = _caps()
    if customers.orders or customers.cups:
        with connection.cursor() as cursor:
            # A separate statement, so that the next one sees what was committed while this one waited.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"orders.open:{customer_id}"])


def check(*, customer_id: int, address: str | None) -> None:
    """Refuse the order that this transaction has inserted behind ``lock``, if too much is open with it.

    The caller rolls back.

    Raises:
        TooMuchOpen: the order may be placed once others are paid or undone.
    """
    customers, addresses = _caps()
    if customers.orders or customers.cups:
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
        raise TooMuchOpen(_("%(orders)d orders wait for their payment already") % {"orders": cap.orders}, _patience())
    if cap.cups and sum(cups) > cap.cups:
        text = _("With this order %(cups)d cups would wait for their payment, of %(most)d")
        raise TooMuchOpen(text % {"cups": sum(cups), "most": cap.cups}, _patience())


def _patience() -> int:
    """Seconds until the present open orders are probably paid or undone."""
    within: float = settings.CONFIRM_WITHIN_SECONDS
    return math.ceil(within)
