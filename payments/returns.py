"""The steps of the sagas that return money, and of those that call a person about a payment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from annotated_types import Gt
from django.db.models.functions import Now

from payments import gateways
from payments.models import Outcome, Payment, PaymentState, Refund, RefundState
from sagas import Call, Rejected

#: Why a payment is due back, in words for the person who returns it.
WHY = {
    Outcome.TOO_LATE: "it came when its order could not be paid any more",
    Outcome.DUPLICATE: "another payment has paid its order",
    Outcome.WRONG_AMOUNT: "it is not the order's amount",
    Outcome.WRONG_CURRENCY: "it is in another currency than the order",
    Outcome.UNKNOWN_ORDER: "there is no such order",
    Outcome.UNDONE: "its order was undone",
    Outcome.REFUNDED: "its order, or a part of it, is refunded",
    Outcome.CONFLICT: "the gateway's messages about it contradict each other",
    Outcome.DISPUTED: "its payer disputes it",
}


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What to return, where. It is kept with the run as JSON, so changed code must still read old requests."""

    gateway: str
    payment_id: str
    amount: Annotated[int, Gt(0)]
    currency: str


@dataclass(frozen=True, slots=True)
class ReturnRequest:
    """The payment that a person is to return; of runs from before refunds had rows."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """The payment that a person is to decide about."""

    gateway: str
    payment_id: str
    #: Why, as an ``Outcome``.
    why: str


class NotReturnedYet(Exception):
    """A person is to return the payment, in the gateway's console, and then to mark it as returned."""


class NotDecidedYet(Exception):
    """A person is to decide about the payment, and then to resolve this run."""


class NoSuchPayment(Rejected):
    """There is no such payment."""


def begin(call: Call[Any]) -> None:
    """Note that the payment is being returned."""
    refund = lock_refund(call.run_id)
    payment = refund.payment
    if payment.state == PaymentState.DUE_BACK and refund.state == RefundState.REQUESTED:
        payment.state = PaymentState.RETURNING
        payment.save(update_fields=["state"])


def permit(call: Call[RefundRequest]) -> None:
    """Check that the gateway may be asked. If not, the run escalates, which calls a person, and asks again later."""
    refund = lock_refund(call.run_id)
    payment = refund.payment
    if refund.state == RefundState.RETURNED:
        return
    returned = (
        f"{refund.amount} {payment.currency} (minor units) of payment {payment.payment_id}, order {payment.order_no}: "
        f"{WHY[Outcome(refund.reason)]}"
    )
    if payment.disputed_at is not None:
        msg = f"{returned}. Its payer disputes it: once that is settled, resolve its review, then resume this run"
        raise NotReturnedYet(msg)
    if payment.state == PaymentState.CONFLICT:
        msg = f"{returned}. It may pay another order: decide its review first"
        raise NotReturnedYet(msg)
    gateway = gateways.find(payment.gateway)
    if gateway is None or not gateway.url:
        msg = f"{returned}. Return it in the gateway's console, then mark it as returned under Refunds"
        raise NotReturnedYet(msg)


def begin_by_hand(call: Call[ReturnRequest]) -> None:
    """Note that the payment is being returned; one in CONFLICT has no refund."""
    if Refund.objects.filter(pk=call.run_id).exists():
        begin(call)


def await_person(call: Call[ReturnRequest]) -> None:
    """Succeed once a person has returned the payment. Until then the run escalates, which calls one."""
    payment = Payment.objects.select_for_update().filter(payment_id=call.request.payment_id).order_by("pk").first()
    if payment is None:
        msg = f"there is no payment {call.request.payment_id}"
        raise NoSuchPayment(msg)
    refund = Refund.objects.filter(pk=call.run_id).first()
    made = payment.state == PaymentState.RETURNED if refund is None else refund.state == RefundState.RETURNED
    if not made:
        msg = (
            f"{payment.amount} {payment.currency} (minor units) of payment {payment.payment_id}, order "
            f"{payment.order_no}: {WHY[Outcome(payment.reason)]}. Return it in the gateway's console, then mark it as "
            "returned under Payments; if it pays an order after all, resolve this run with a note"
        )
        raise NotReturnedYet(msg)


def note_returned(call: Call[RefundRequest]) -> None:
    """Note that the gateway has made the refund."""
    told = call.results.get("return_money")
    settle(lock_refund(call.run_id), _text(told, "gateway_refund_id"))


def settle(refund: Refund, gateway_refund_id: str = "", *, by: str = "", note: str = "") -> None:
    """Write a locked refund as made, and its locked payment as returned, in part or wholly; a repeat does nothing."""
    if refund.state == RefundState.RETURNED:
        return
    payment = refund.payment
    refund.state, refund.returned_at = RefundState.RETURNED, Now()
    refund.gateway_refund_id = gateway_refund_id or refund.gateway_refund_id
    refund.by, refund.note = by or refund.by, note or refund.note
    refund.save(update_fields=["state", "returned_at", "gateway_refund_id", "by", "note"])
    payment.returning_amount -= refund.amount
    note_sum_returned(payment, refund.amount)


def note_sum_returned(payment: Payment, amount: int) -> None:
    """Add a refund that is made to its locked payment, and write the state that follows."""
    payment.returned_amount += amount
    if payment.returned_amount == payment.amount:
        payment.returned_at = Now()
    if payment.state != PaymentState.CONFLICT or payment.returned_amount == payment.amount:
        payment.state = _state_of(payment)
    payment.save(update_fields=["returning_amount", "returned_amount", "state", "returned_at"])


def _state_of(payment: Payment) -> PaymentState:
    if payment.returning_amount:
        return PaymentState.RETURNING
    return PaymentState.RETURNED if payment.returned_amount == payment.amount else PaymentState.PARTLY_RETURNED


def open_review(_call: Call[ReviewRequest]) -> None:
    """Begin: from here on the run only goes forward."""


def review(call: Call[ReviewRequest]) -> None:
    """Succeed once nothing is left to decide. Until then the run escalates, which calls a person."""
    asked = call.request
    payment = Payment.objects.select_for_update().filter(gateway=asked.gateway, payment_id=asked.payment_id).first()
    if payment is None:
        msg = f"there is no payment {asked.payment_id}"
        raise NoSuchPayment(msg)
    about = (
        f"payment {payment.payment_id} of order {payment.order_no}, {payment.amount} {payment.currency} (minor units)"
    )
    if payment.disputed_at is not None:
        msg = f"the payer disputes {about}. No refund of it begins. Once it is settled, resolve this run with a note"
        raise NotDecidedYet(msg)
    if payment.state == PaymentState.CONFLICT:
        msg = (
            f"the gateway's messages about {about} contradict each other; Payment events has them. If it pays nothing, "
            "return it and mark it as returned under Payments; if it is right, resolve this run with a note"
        )
        raise NotDecidedYet(msg)
    if asked.why == Outcome.UNDONE and payment.returning_amount:
        msg = (
            f"a refund of {about} was cancelled before it began, and is due all the same: make it in the gateway's "
            "console, mark it as returned under Refunds, then resume this run"
        )
        raise NotDecidedYet(msg)
    if asked.why == Outcome.REFUNDED and payment.returned_amount:
        msg = (
            f"the gateway has returned {payment.returned_amount} of {about}, which pays an order, without being asked. "
            "See to the order, then resolve this run with a note"
        )
        raise NotDecidedYet(msg)


def lock_refund(refund_id: UUID) -> Refund:
    """Lock a refund and its payment, the payment first."""
    payment_id = Refund.objects.filter(pk=refund_id).values_list("payment_id", flat=True).first()
    if payment_id is None:
        msg = f"there is no refund {refund_id}"
        raise NoSuchPayment(msg)
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    refund = Refund.objects.select_for_update().get(pk=refund_id)
    refund.payment = payment
    return refund


def _text(told: Any, name: str) -> str:
    found = told.get(name) if isinstance(told, dict) else None
    return found[:100] if isinstance(found, str) and found.isprintable() else ""
