"""Placing an order over HTTP: one statement for the idempotency key, the order and its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.urls import reverse

from orders import numbers, open_orders, services
from orders.api.protocol import idempotency, throttles
from orders.api.protocol.idempotency import Answer, Key
from orders.errors import ConditionFailed, JoinRefused, OrderNumberTaken, OrderRefused
from orders.groups import joining
from orders.groups.joining import Wish
from orders.services import COUPON_NOT_USABLE, Condition, Guard, Wanted
from sagas import Overloaded, State

#: Three order numbers, and one more where open orders must be compared. If all are taken, the random source is broken.
_TRIES = 4


def order(
    *,
    customer_id: int,
    items: Sequence[Wanted],
    coupon: str | None,
    address: str | None,
    key: Key | None,
    **asked: Any,
) -> Answer:
    """Place an order of these items; ``asked`` is the rest of what ``services.place_order`` takes."""

    def accept(order_no: str, condition: Condition | None) -> UUID:
        return services.place_order(
            order_no=order_no,
            customer_id=customer_id,
            items=items,
            coupon=coupon,
            address=address,
            condition=condition,
            **asked,
        )

    with _counting_guesses(customer_id, coupon):
        return place(
            customer_id=customer_id,
            address=address,
            key=key,
            quantities=[item.quantity for item in items],
            accept=accept,
        )


def join(*, wish: Wish, address: str | None, key: Key | None) -> Answer:
    """Place the order by which a customer joins a group buy."""

    def accept(order_no: str, condition: Condition | None) -> UUID:
        return joining.join(order_no=order_no, wish=wish, address=address, condition=condition)

    with _counting_guesses(wish.customer_id, wish.coupon):
        return place(customer_id=wish.customer_id, address=address, key=key, quantities=[wish.quantity], accept=accept)


@contextmanager
def _counting_guesses(customer_id: int, coupon: str | None) -> Iterator[None]:
    """Count a coupon that cannot be used, and try none for a customer who has named too many: codes are not guessed."""
    customer = f"customer {customer_id}"
    if coupon is not None:
        throttles.hold_back_if_spent("coupon_guesses", customer)
    try:
        yield
    except OrderRefused as refused:
        if any(fault.code == COUPON_NOT_USABLE for fault in refused.faults):
            throttles.hold_back("coupon_guesses", customer)
        raise


def place(
    *,
    customer_id: int,
    address: str | None,
    key: Key | None,
    quantities: Sequence[int],
    accept: Callable[[str, Condition | None], UUID],
) -> Answer:
    """Place an order, or find the stored answer to the same request.

    Args:
        customer_id: whose order it is.
        address: from which it comes, if that distinguishes customers.
        key: the idempotency key, if there is one.
        quantities: its cups, for the limits of what may be open.
        accept: inserts the order of a number, if a condition holds, and raises what ``services.place_order`` does.

    It raises what ``accept`` and ``open_orders`` raise.
    """
    open_orders.refuse_too_large(quantities)
    url = _orders_url()
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


@cache
def _orders_url() -> str:
    """The URL of all orders: behind it comes the number of one."""
    return reverse("api:orders")


def _condition(customer_id: int, key: Key | None, answer: Answer, guard: Guard | None) -> Condition | None:
    if key:
        return idempotency.claim(customer_id=customer_id, key=key, answer=answer, guard=guard)
    return guard.alone() if guard else None
