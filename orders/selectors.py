"""Reads: a customer's orders, and the states of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

import delivery.selectors
import payments.selectors
import sagas.selectors
from delivery.selectors import Progress
from orders.errors import OrderNotFound
from orders.models import Order, OrderStatus
from payments.models import Payment
from payments.selectors import payments_of
from sagas import RunNotFound, State
from sagas.models import Run
from sagas.selectors import RunView, StepView, run_view


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a run in short: the part of a ``RunView`` for lists, and for orders whose run was pruned."""

    state: State
    deadline: datetime | None = None
    finished_at: datetime | None = None
    reason: dict[str, Any] | None = None
    steps: Sequence[StepView] = ()


@dataclass(frozen=True, slots=True)
class OrderWithRun:
    """An order, with its run in short or in full."""

    order: Order
    run: Standing | RunView
    #: The payments that the gateway has reported for it, and what its store does; only where one order is read.
    payments: Sequence[Payment] = ()
    fulfilment: Progress | None = None


def orders_of(*, customer_id: int) -> QuerySet[Order]:
    """List a customer's orders, newest first."""
    return Order.objects.filter(customer_id=customer_id).order_by("-id").prefetch_related("lines")


def order_with_run(*, customer_id: int, order_no: str) -> OrderWithRun:
    """Read a customer's order with its run in full; ``OrderNotFound`` also for another customer's."""
    order = orders_of(customer_id=customer_id).filter(order_no=order_no).first()
    if order is None:
        raise OrderNotFound(order_no)
    paid = tuple(payments_of(order_no=order_no))
    work = delivery.selectors.progress_of(run_id=order.run_id)
    try:
        return OrderWithRun(order, run_view(order.run_id), paid, work)
    except RunNotFound:
        return OrderWithRun(order, Standing(state_without_run(order.status)), paid, work)


def with_standings(*, orders: Sequence[Order]) -> list[OrderWithRun]:
    """Read the states of these orders' runs, in one query."""
    rows = Run.objects.filter(id__in=[order.run_id for order in orders]).values_list("id", "state", "deadline")
    standings = {run_id: Standing(State(state), deadline) for run_id, state, deadline in rows}
    return [
        OrderWithRun(order, standings.get(order.run_id) or Standing(state_without_run(order.status)))
        for order in orders
    ]


def is_of(*, customer_id: int, order_no: str) -> bool:
    """Whether the order is this customer's."""
    return Order.objects.filter(customer_id=customer_id, order_no=order_no).exists()


def order_in_campaign(*, customer_id: int, campaign: int) -> str | None:
    """The number of the customer's newest order in a campaign: of their membership, if they have one."""
    found = Order.objects.filter(customer_id=customer_id, campaign=campaign).order_by("-id")
    return found.values_list("order_no", flat=True).first()


def version_of(*, customer_id: int, order_no: str) -> tuple[UUID, str]:
    """The run of a customer's order, and a text that is another one whenever the order is shown differently.

    Four short reads, where the order itself takes a dozen.
    """
    order = Order.objects.filter(customer_id=customer_id, order_no=order_no).values_list("run_id", "status").first()
    if order is None:
        raise OrderNotFound(order_no)
    run_id, status = order
    parts = [
        status,
        sagas.selectors.version_of(run_id) or "",
        payments.selectors.version_of(order_no=order_no),
        delivery.selectors.versions([run_id]).get(run_id, ""),
    ]
    return run_id, "/".join(parts)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client that waits for an order wants to know.

    Attributes:
        state: of the order's run.
        deadline: until when it is to be paid, if it is known.
        booking_id: of its place in the delivery slot, once that is reserved.
        reason: why it is undone.
    """

    run_id: UUID
    state: State
    deadline: datetime | None
    booking_id: int | None
    reason: dict[str, Any] | None


def run_of(*, order_no: str) -> UUID:
    """The run of an order; ``OrderNotFound`` where there is none."""
    found = Order.objects.filter(order_no=order_no).values_list("run_id", flat=True).first()
    if found is None:
        raise OrderNotFound(order_no)
    return found


def outcome_of(*, order_no: str) -> Outcome:
    """Read how far an order has come; ``OrderNotFound`` where there is none."""
    order = Order.objects.filter(order_no=order_no).values_list("run_id", "status").first()
    if order is None:
        raise OrderNotFound(order_no)
    run_id, status = order
    run = Run.objects.filter(pk=run_id).values_list("state", "deadline", "reason").first()
    state, deadline, reason = run or (state_without_run(status), None, None)
    return Outcome(run_id, State(state), deadline, delivery.selectors.booking_of(run_id=run_id), reason)


def state_without_run(status: str) -> State:
    """The final state of a pruned run, as far as the order shows it: only final runs are pruned.

    An order that is still ``PLACED`` was ended by hand, and does not show in which way.
    """
    match OrderStatus(status):
        case OrderStatus.CONFIRMED:
            return State.SUCCEEDED
        case OrderStatus.PLACED:
            return State.ESCALATED
        case OrderStatus.RECEIVED | OrderStatus.REJECTED:
            return State.FAILED
