"""The steps of the sagas that return money: so far, a person returns it in the gateway's console."""

from __future__ import annotations

from dataclasses import dataclass

from payments.models import Outcome, Payment, PaymentState
from sagas import Call, Rejected

#: Why a payment is due back, in words for the person who returns it.
_WHY = {
    Outcome.TOO_LATE: "it came when its order could not be paid any more",
    Outcome.DUPLICATE: "another payment has paid its order",
    Outcome.WRONG_AMOUNT: "it is not the order's amount",
    Outcome.WRONG_CURRENCY: "it is in another currency than the order",
    Outcome.UNKNOWN_ORDER: "there is no such order",
    Outcome.UNDONE: "its order was undone",
    Outcome.CONFLICT: "the gateway names it with two orders or amounts",
}


@dataclass(frozen=True, slots=True)
class ReturnRequest:
    """The payment to return. It is kept with the run as JSON, so changed code must still read old requests."""

    payment_id: str


class NotReturnedYet(Exception):
    """A person is to return the payment, in the gateway's console, and then to mark it as returned."""


class NoSuchPayment(Rejected):
    """There is no such payment."""


def begin(call: Call[ReturnRequest]) -> None:
    """Note that the payment is being returned."""
    payment = _lock(call.request.payment_id)
    if payment.state == PaymentState.DUE_BACK:
        payment.state = PaymentState.RETURNING
        payment.save(update_fields=["state"])


def return_money(call: Call[ReturnRequest]) -> None:
    """Succeed once the payment is returned. Until then the run escalates, which calls a person."""
    payment = _lock(call.request.payment_id)
    if payment.state != PaymentState.RETURNED:
        why = _WHY[Outcome(payment.reason)]
        msg = (
            f"{payment.amount} {payment.currency} (minor units) of payment {payment.payment_id}, order "
            f"{payment.order_no}: {why}. Return it in the gateway's console, then mark it as returned under Payments"
        )
        if payment.state == PaymentState.CONFLICT:
            msg = f"{msg}, unless it pays the other order: then resolve this run with a note"
        raise NotReturnedYet(msg)


def _lock(payment_id: str) -> Payment:
    payment = Payment.objects.select_for_update().filter(payment_id=payment_id).first()
    if payment is None:
        raise NoSuchPayment(f"there is no payment {payment_id}")
    return payment
