"""Placing an order over HTTP: one statement for the idempotency key, the order and its run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from uuid import UUID

from django.db import connection, transaction

from orders import numbers, open_orders
from orders.api.protocol import idempotency
from orders.api.protocol.idempotency import Answer, Key
from orders.errors import ConditionFailed, JoinRefused, OrderNumberTaken, OrderRefused
from orders.services import Condition, Guard
from sagas import Overloaded, State

#: Three order numbers, and one more where open orders must be compared. If all are taken, the random source is broken.
_TRIES = 4


def place(
    *,
    url: str,
    customer_id: int,
    address: str | None,
    key: Key | None,
    quantities: Sequence[int],
    accept: Callable[[str, Condition | None], UUID],
) -> Answer:
    """Place an order, or find the stored answer to the same request.

    Args:
        url: that of all orders: behind it comes the number of this one.
        customer_id: whose order it is.
        address: from which it comes, if that distinguishes customers.
        key: the idempotency key, if there is one.
        quantities: its cups, for the limits of what may be open.
        accept: inserts the order of a number, if a condition holds, and raises what ``services.place_order`` does.

    It raises what ``accept`` and ``open_orders`` raise.
    """
    open_orders.refuse_too_large(quantities)
    is_limited = open_orders.are_limited(address=address)
    # Nearly always hardly anything is open, and one statement without a transaction finds that.
    few = open_orders.few(customer_id=customer_id, address=address, quantities=quantities) if is_limited else None
    for _ in range(_TRIES):
        order_no = numbers.draw()
        body = {"order_no": order_no, "state": State.PENDING.value, "confirm_deadline": None}
        answer = Answer(202, body, f"{url}{order_no}/")
        is_compared = is_limited and few is None
        try:
            # One statement needs no transaction, unless this one must be undone without the caller's.
            with transaction.atomic() if is_compared or connection.in_atomic_block else nullcontext():
                if is_compared:
                    open_orders.lock(customer_id=customer_id)
                run_id = accept(order_no, _condition(customer_id, key, answer, few))
                if is_compared:
                    open_orders.check(customer_id=customer_id, address=address)
        except OrderNumberTaken:
            continue
        except ConditionFailed:
            if key and (first := idempotency.answer_before(customer_id=customer_id, key=key)):
                return first
            # Something is open: what, is compared.
            few = None
            continue
        except (JoinRefused, OrderRefused, Overloaded):
            # The first request of this key may have been accepted, when this order could be.
            if key and (first := idempotency.answer_before(customer_id=customer_id, key=key)):
                return first
            raise
        if key:
            idempotency.note_new()
        return replace(answer, run_id=run_id)
    raise OrderNumberTaken


def _condition(customer_id: int, key: Key | None, answer: Answer, guard: Guard | None) -> Condition | None:
    if key:
        return idempotency.claim(customer_id=customer_id, key=key, answer=answer, guard=guard)
    return guard.alone() if guard else None
