"""Writes: place, confirm and cancel an order. The saga does the work itself."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error, IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

import campaigns.services
import coupons.refusals
import coupons.selectors
import delivery.selectors
import payments.refunds
import payments.services
import sagas
from campaigns.errors import AlreadyFormed
from delivery.addresses import Address
from delivery.models import FulfilmentKind
from delivery.selectors import Standing
from orders import offers, participants, sold_out
from orders.errors import ConditionFailed, Fault, JoinRefused, OrderNotFound, OrderNumberTaken, OrderRefused
from orders.fulfilment.sagas import PlaceStoreOrder, StoreOrderRequest
from orders.groups import deciding
from orders.models import Order, OrderStatus
from orders.requests import ChargeRequest, Item, OrderRequest
from orders.sagas import ChargeOrder, PlaceOrder, PlaceShortLivedOrder
from orders.selectors import state_without_run
from payments.models import Outcome
from payments.services import Answer, Bill, Message
from sagas import State
from sagas.db import constraint
from sagas.models import Run
from sagas.postgresql import prepared
from sagas.states import FINAL

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A quantity of one SKU, as the customer asks for it."""

    sku: str
    quantity: int


#: One code and one text, whether a coupon does not exist, has expired, is switched off, or is another customer's:
#: otherwise codes could be guessed.
COUPON_NOT_USABLE = "coupon-not-usable"


@dataclass(frozen=True, slots=True)
class Condition:
    """What an order depends on, in the statement that inserts it.

    Attributes:
        ctes: common table expressions. The one named ``name`` returns a row if the order may be placed, or none.
        name: its name.
        params: the parameters of all of them.
    """

    ctes: str
    name: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition that writes nothing: an SQL expression that is true if the order may be placed."""

    sql: str
    params: Mapping[str, Any]

    def alone(self) -> Condition:
        """The condition that is nothing but this."""
        return Condition(f"allowed AS MATERIALIZED (SELECT WHERE {self.sql})", "allowed", self.params)


def place_order(
    *,
    order_no: str,
    customer_id: int,
    items: Sequence[Wanted],
    slot: int,
    coupon: str | None = None,
    expected_total_cents: int | None = None,
    fulfilment: FulfilmentKind = FulfilmentKind.SLOT,
    deliver_to: Address | None = None,
    address: str | None = None,
    condition: Condition | None = None,
    card: str = "",
) -> UUID:
    """Accept an order: price it, and insert it and its run. Nothing is reserved or redeemed yet.

    Prices and discount are fixed now; the prices are those of at most a second ago (``orders.offers``). An order that
    costs nothing is confirmed at once. One statement writes the order, its run, and what the condition writes. So they
    commit together, with or without a transaction of the caller's. ``deliver_to`` is where a courier brings the order;
    ``address`` is the network's, from which it was placed.

    With a card that the customer has left with the shop's gateway, the order does not wait for its payment: a step
    charges the card (``ChargeOrder``).

    Returns:
        The id of the run.

    Raises:
        OrderRefused: a SKU, the slot or the coupon cannot be used, which is known at once; or the order costs something
            else than was expected.
        SoldOut: many ask for what is sold out.
        sagas.Overloaded: the order would wait too long to begin.
        ConditionFailed: the condition does not hold, and nothing was written.
        OrderNumberTaken: nothing was written; draw another number.
        ValueError: a card is named, and the order is picked up or brought by a courier.
    """
    with sold_out.passing(items=items, slot=slot):
        request = _check(order_no=order_no, customer_id=customer_id, items=items, slot=slot, coupon=coupon)
        if expected_total_cents is not None and request.total_cents != expected_total_cents:
            detail = _("The order costs %(now)d by now, and not %(expected)d (minor units).") % {
                "now": request.total_cents,
                "expected": expected_total_cents,
            }
            raise OrderRefused([Fault("price-changed", detail, "/expected_total_amount")])
        if card and fulfilment is not FulfilmentKind.SLOT:
            msg = f"an order of kind {fulfilment.value} cannot charge a card"
            raise ValueError(msg)
        if card and request.total_cents:
            return accept(ChargeOrder, _charge(request, card), address=address, condition=condition)
        saga, accepted = _saga_of(request, fulfilment, deliver_to)
        return accept(saga, accepted, address=address, condition=condition)


def accept(
    saga: type[sagas.Saga[Any]],
    request: OrderRequest,
    *,
    address: str | None = None,
    condition: Condition | None = None,
    campaign: int | None = None,
) -> UUID:
    """Insert a priced order, and its run of this saga; all else is as for ``place_order``."""
    sagas.check_admission(within=_may_wait(request))
    source = f"FROM {condition.name}" if condition else ""
    start = sagas.start_sql(saga, request, business_key=request.order_no, source=source)
    # Nothing is to be paid where the order costs nothing, so it does not wait for a payment.
    free = not request.total_cents
    ctes = f"{condition.ctes}, {start.ctes}" if condition else start.ctes
    order = {
        "order_no": request.order_no,
        "customer_id": request.customer_id,
        "status": OrderStatus.RECEIVED.value,
        "slot": request.slot,
        "coupon": request.coupon,
        "campaign": campaign,
        "discount_cents": request.discount_cents,
        "total_cents": request.total_cents,
        "address": address,
    }
    # A number that is taken must not break a transaction of the caller's.
    with transaction.atomic() if free or connection.in_atomic_block else nullcontext():
        if not _insert(f"WITH {ctes} {_INSERT}", {**start.params, **order, **(condition.params if condition else {})}):
            raise ConditionFailed
        start.announce()
        if free:
            # No payment id comes with it.
            data = {"payment_id": None, "amount": 0, "currency": settings.CURRENCY}
            sagas.confirm(start.run_id, payments.refunds.CONFIRMATION, data)
    return start.run_id


def _may_wait(request: OrderRequest) -> float | None:
    """For how many seconds an order may wait to begin, so that it can still be paid before its slot is over."""
    if request.needed_until is None:
        return None
    left: timedelta = request.needed_until - timezone.now()
    return left.total_seconds() - float(settings.CONFIRM_WITHIN_SECONDS)


def _saga_of(
    request: OrderRequest, fulfilment: FulfilmentKind, deliver_to: Address | None
) -> tuple[type[sagas.Saga[Any]], OrderRequest]:
    """The saga that places an order, and its request."""
    by_courier = fulfilment is FulfilmentKind.COURIER
    short = not by_courier and offers.is_short_lived(codes=[item.sku for item in request.items], slot=request.slot)
    if fulfilment is FulfilmentKind.SLOT and not short:
        return PlaceOrder, request
    if by_courier and not settings.COURIER_URL:
        raise OrderRefused([Fault("no-courier", _("Nothing is brought by courier at present."), "/fulfilment/kind")])
    fields = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    accepted = StoreOrderRequest(**fields, kind=fulfilment, address=deliver_to if by_courier else None)
    return PlaceShortLivedOrder if short else PlaceStoreOrder, accepted


def _charge(request: OrderRequest, card: str) -> ChargeRequest:
    told = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    return ChargeRequest(**told, gateway=settings.PAYMENT_GATEWAY, card=card)


#: Without ON CONFLICT: where the number is taken, nothing else of the statement may be written, either.
_INSERT = (
    "INSERT INTO orders_order (order_no, run_id, customer_id, status, slot, coupon, campaign, discount_cents, "
    "total_cents, address) SELECT %(order_no)s, id, %(customer_id)s::int, %(status)s, %(slot)s::bigint, %(coupon)s, "
    "%(campaign)s::bigint, %(discount_cents)s::int, %(total_cents)s::bigint, %(address)s::inet FROM sagas_started"
)


def _insert(sql: str, params: Mapping[str, Any]) -> bool:
    with connection.cursor() as cursor:
        try:
            prepared.execute(cursor, sql, params)
        except IntegrityError as error:
            if constraint(error) == "orders_order_no_once":
                raise OrderNumberTaken(params["order_no"]) from error
            raise
        return bool(cursor.rowcount)


def _check(*, order_no: str, customer_id: int, items: Sequence[Wanted], slot: int, coupon: str | None) -> OrderRequest:
    """Check what is known at once, and fix prices and discount."""
    faults: list[Fault] = []
    known = offers.skus(codes=[item.sku for item in items])
    for index, item in enumerate(items):
        pointer = f"/items/{index}/sku"
        if item.sku not in known:
            faults.append(Fault("unknown-sku", _("There is no SKU %(sku)s.") % {"sku": item.sku}, pointer))
        elif not known[item.sku].active:
            faults.append(Fault("inactive-sku", _("%(sku)s is not on the menu any more.") % {"sku": item.sku}, pointer))
    terms = offers.terms(slot=slot)
    if terms is None:
        faults.append(Fault("unknown-slot", _("There is no slot %(slot)s.") % {"slot": slot}, "/slot"))
    elif terms.standing is Standing.BEGUN:
        faults.append(Fault("past-slot", _("Slot %(slot)s has begun already.") % {"slot": slot}, "/slot"))
    elif terms.standing is Standing.INACTIVE:
        faults.append(Fault("inactive-slot", _("Slot %(slot)s takes no more orders.") % {"slot": slot}, "/slot"))
    price = None if faults else sum(item.quantity * known[item.sku].price_cents for item in items)
    discount = None
    if coupon is not None:
        try:
            discount = coupons.selectors.discount(code=coupon, customer_id=customer_id, price_cents=price)
        except coupons.refusals.BelowMinimum as below:
            faults.append(Fault("coupon-minimum", f"{below.detail[0].upper()}{below.detail[1:]}.", "/coupon"))
        except sagas.Rejected:
            faults.append(Fault(COUPON_NOT_USABLE, _("The coupon cannot be used."), "/coupon"))
    if faults or terms is None:
        raise OrderRefused(faults)
    priced = tuple(Item(item.sku, item.quantity, known[item.sku].price_cents) for item in items)
    if discount is None:
        return OrderRequest(order_no, customer_id, priced, slot, needed_until=terms.ends_at)
    # The code as the shop writes it: the coupon is locked by it.
    return OrderRequest(order_no, customer_id, priced, slot, discount.code, discount.cents, terms.ends_at)


@dataclass(frozen=True, slots=True)
class Paid:
    """What a gateway's message came to, and the order's booking, if it is confirmed.

    Attributes:
        awaits: the run that the payment confirms, where the gateway's answer is worth waiting for its end: this message
            has taken the payment of an order with little time to live.
    """

    answer: Answer
    booking_id: int | None = None
    awaits: UUID | None = None


def receive_payment(*, message: Message) -> Paid:
    """Keep a signed message of the gateway, and take its payment if it is what the order costs.

    A repeat gets the present state of payment and order. No signed message is refused: a payment that does not pay
    the order is due back, and the answer says why.
    """
    found = _find_order(message.order_no)
    if found is None:
        return Paid(payments.services.receive(message, None))
    run_id, status, total_cents, campaign, slot = found
    bill = Bill(run_id, _total(run_id) if total_cents is None else total_cents, settings.CURRENCY)
    answer = _receive(message, bill, campaign)
    if answer.state is None:
        # Its run is pruned.
        answer = replace(answer, state=state_without_run(status))
    # Only a repeat finds its order confirmed: the first message pays no other statement for it.
    booking = delivery.selectors.booking_of(run_id=run_id) if answer.state is State.SUCCEEDED else None
    waits = answer.is_first and answer.state not in FINAL and campaign is None and _is_urgent(slot)
    return Paid(answer, booking, run_id if waits else None)


def _is_urgent(slot: int) -> bool:
    """Whether orders of this slot have little time to live. The payment is committed: this must not fail."""
    try:
        return offers.is_urgent(slot=slot)
    except Error as error:
        logger.warning("orders: slot %s was not read, so its payment is answered at once: %s", slot, error)
        connection.close()
        return False


def _receive(message: Message, bill: Bill, campaign: int | None) -> Answer:
    """Receive a message; one of a member's order is written with the membership, and its campaign looked at behind."""
    if campaign is None:
        return payments.services.receive(message, bill)
    with transaction.atomic():
        answer = payments.services.receive(message, bill)
        if answer.outcome is Outcome.TAKEN:
            campaigns.services.mark_paid(run_id=bill.run_id)
    # In a transaction of its own. If it fails, the next tick does it.
    transaction.on_commit(partial(deciding.decide, campaign_id=campaign), robust=True)
    return answer


def _find_order(order_no: str) -> tuple[UUID, str, int | None, int | None, int] | None:
    """The run, the status, the price, the campaign and the slot of an order."""
    with connection.cursor() as cursor:
        prepared.execute(cursor, _FIND, {"order_no": order_no})
        return cursor.fetchone()  # type: ignore[no-any-return]  # the columns named below


_FIND = "SELECT run_id, status, total_cents, campaign, slot FROM orders_order WHERE order_no = %(order_no)s"


def _total(run_id: UUID) -> int:
    """The price of an order from before totals were stored. Orders of pruned runs cannot be paid."""
    request = Run.objects.filter(pk=run_id).values_list("request", flat=True).first()
    return PlaceOrder.definition.load(json.dumps(request)).total_cents if request else 0


def cancel_order(*, customer_id: int, order_no: str) -> State:
    """Cancel a customer's own order, if it is not confirmed. A repeat gets the same answer.

    Raises:
        OrderNotFound: the customer has no such order.
        sagas.AlreadyDecided: it is confirmed.
        JoinRefused: it joins a group that has formed.
    """
    run_id, status, campaign = _run_of(customer_id=customer_id, order_no=order_no)
    with transaction.atomic():
        try:
            state = sagas.cancel(
                run_id,
                reason="cancelled by the customer",
                message="cancelled by the customer",
                by=f"customer {customer_id}",
            )
        except sagas.RunNotFound:
            if (ended := state_without_run(status)) is State.FAILED:
                return ended
            raise sagas.AlreadyDecided(_PRUNED, ended) from None
        # No step has handled the order, so no compensation will mark it. The run is locked, and will not begin.
        participants.reject_unplaced([run_id])
        if campaign is not None and state is State.COMPENSATING:
            _leave(campaign, run_id)
    return state


def _leave(campaign: int, run_id: UUID) -> None:
    try:
        campaigns.services.leave(campaign_id=campaign, run_id=run_id)
    except AlreadyFormed as error:
        raise JoinRefused("group-formed", _("The group has formed: nobody leaves it any more.")) from error


#: The reason that is shown for an order whose run was pruned (docs/how-to/runbook.md, "Old runs").
_PRUNED = "it has ended long ago, and its record is gone"


def _run_of(**which: Any) -> tuple[UUID, str, int | None]:
    """The run, the status and the campaign of an order; ``OrderNotFound`` if there is none."""
    found = Order.objects.filter(**which).values_list("run_id", "status", "campaign").first()
    if found is None:
        raise OrderNotFound(which["order_no"])
    return found
