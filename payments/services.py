"""Writes: the gateway's messages are kept, and a payment is taken, due back, or left to a person's decision."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

import sagas
from payments.models import Outcome, Payment, PaymentEvent, PaymentState
from payments.returns import ReturnRequest
from payments.sagas import ReturnPayment
from sagas import State, limits
from sagas.models import Run

logger = logging.getLogger(__name__)

#: The name of the confirmation that a payment gives.
CONFIRMATION = "payment"

#: The status of a received payment. Messages with other statuses are kept and change nothing.
SUCCEEDED = "succeeded"

_UNDONE = frozenset({State.COMPENSATING, State.FAILED})


@dataclass(frozen=True, slots=True)
class Message:
    """A signed message of the gateway.

    Attributes:
        webhook_id: the message's id, the same in its repeats.
        body: the signed text.
        order_no: the order that the payment is for.
        payment_id: the gateway's id of the payment.
        amount: in minor units of the currency.
        currency: of three letters.
        status: "succeeded" if the money has come.
    """

    webhook_id: str
    body: str
    order_no: str
    payment_id: str
    amount: int
    currency: str
    status: str


@dataclass(frozen=True, slots=True)
class Bill:
    """The price of an order, and the run that its payment confirms."""

    run_id: UUID
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a message, with the present state: a repeat gets the state of now.

    Attributes:
        outcome: "taken", or why the payment is not taken.
        state: the run's state now; ``None`` without a run.
        settled: whether the run is past its pivot. Until then a taken payment may still be given back.
        received_at: when the payment first came; ``None`` without a payment.
    """

    outcome: Outcome
    state: State | None = None
    settled: bool = False
    received_at: datetime | None = None


class _Raced(Exception):
    """The same payment was taken for another order at the same moment."""


def receive(message: Message, bill: Bill | None) -> Answer:
    """Keep a signed message, and take its payment if it pays the bill.

    One transaction writes the message, the payment's row and the run's confirmation.

    Args:
        message: the signed message.
        bill: the price and the run of the order; ``None`` if there is no such order.
    """
    while True:
        try:
            with transaction.atomic():
                answer = _weigh(message, bill)
                keep(message, answer.outcome)
                return answer
        except _Raced:
            continue


def keep(message: Message, outcome: Outcome) -> None:
    """Store a signed message for the record; a repeat with the same outcome is already stored."""
    event = PaymentEvent(
        webhook_id=message.webhook_id,
        digest=sha256(message.body.encode()).hexdigest(),
        order_no=message.order_no,
        payment_id=message.payment_id,
        amount=message.amount,
        currency=message.currency,
        status=message.status,
        outcome=outcome,
        body=message.body,
    )
    PaymentEvent.objects.bulk_create([event], ignore_conflicts=True)


def owe(payment: Payment, *, because: Outcome) -> None:
    """Write a locked payment as due back, and start its return, which calls a person, in the same commit."""
    payment.state, payment.reason = PaymentState.DUE_BACK, because
    payment.return_run_id = _start_return(payment)
    payment.save(update_fields=["state", "reason", "return_run_id"])


def mark_returned(*, payment_id: str, by: str, note: str = "") -> bool:
    """Note that a person has returned a payment, and end the run that waited for it. A repeat changes nothing.

    Args:
        payment_id: the gateway's id of the payment.
        by: who returned it, for the record.
        note: how, for the record.

    Returns:
        Whether it was due back, and had not been returned.
    """
    with transaction.atomic():
        seen = Payment.objects.filter(payment_id=payment_id).values_list("return_run_id", flat=True).first()
        if seen is None:
            return False
        states = _lock({seen})
        payment = Payment.objects.select_for_update().get(payment_id=payment_id)
        if payment.state not in _TO_RETURN or payment.return_run_id != seen:
            return False
        payment.state = PaymentState.RETURNED
        payment.returned_at = Now()
        payment.save(update_fields=["state", "returned_at"])
        if states.get(seen) is State.ESCALATED:
            sagas.resume(seen, by=by, note=note or "returned by hand")
        return True


_TO_RETURN = frozenset({PaymentState.DUE_BACK, PaymentState.RETURNING, PaymentState.CONFLICT})


def _weigh(message: Message, bill: Bill | None) -> Answer:
    """Decide the outcome of a message, under the locks of its runs."""
    if message.status != SUCCEEDED:
        return Answer(Outcome.NOT_PAID, _lock({bill.run_id}).get(bill.run_id) if bill else None)
    known = Payment.objects.filter(payment_id=message.payment_id).first()
    paid = known.run_id if known else None
    states = _lock({run_id for run_id in (bill.run_id if bill else None, paid) if run_id is not None})
    if known is None:
        return _first(message, bill)
    # Read again behind the runs' locks: it may have changed.
    known = Payment.objects.select_for_update().get(pk=known.pk)
    if (known.order_no, known.amount, known.currency) != (message.order_no, message.amount, message.currency):
        _contradict(known, message)
        return Answer(Outcome.CONFLICT, states.get(bill.run_id) if bill else None, received_at=known.received_at)
    if known.state == PaymentState.TAKEN:
        return _standing(known)
    return Answer(Outcome(known.reason), states.get(paid) if paid else None, received_at=known.received_at)


def _lock(run_ids: Collection[UUID]) -> dict[UUID, State]:
    """Lock these runs in the common order of locks, and return their states. Pruned runs are missing."""
    runs = Run.objects.select_for_update(no_key=True).filter(pk__in=run_ids).order_by("pk")
    return {run_id: State(state) for run_id, state in runs.values_list("pk", "state")} if run_ids else {}


def _standing(payment: Payment) -> Answer:
    """The outcome for a payment that was taken before."""
    assert payment.run_id is not None
    try:
        receipt = sagas.confirm(payment.run_id, CONFIRMATION, _data(payment))
    except sagas.RunNotFound:
        # Only runs that have ended are pruned, and an undone run has given its payment back.
        return Answer(Outcome.TAKEN, State.SUCCEEDED, settled=True, received_at=payment.received_at)
    outcome = Outcome.UNDONE if receipt.state in _UNDONE else Outcome.TAKEN
    return Answer(outcome, receipt.state, receipt.settled, payment.received_at)


def _first(message: Message, bill: Bill | None) -> Answer:
    """Take a new payment, or write it as due back."""
    payment = Payment(
        payment_id=message.payment_id,
        order_no=message.order_no,
        run_id=bill.run_id if bill else None,
        amount=message.amount,
        currency=message.currency,
        state=PaymentState.TAKEN,
    )
    answer = _try_to_take(payment, bill)
    if answer.outcome is not Outcome.TAKEN:
        payment.state, payment.reason = PaymentState.DUE_BACK, answer.outcome
        payment.return_run_id = _start_return(payment)
    try:
        with transaction.atomic():
            payment.save(force_insert=True)
    except IntegrityError as error:
        if not Payment.objects.filter(payment_id=message.payment_id).exists():
            raise
        # The runs' locks do not exclude the same payment for another order; the constraint does.
        raise _Raced from error
    return Answer(answer.outcome, answer.state, answer.settled, payment.received_at)


def _try_to_take(payment: Payment, bill: Bill | None) -> Answer:
    if bill is None:
        return Answer(Outcome.UNKNOWN_ORDER)
    if payment.currency != bill.currency:
        return Answer(Outcome.WRONG_CURRENCY, _lock({bill.run_id}).get(bill.run_id))
    if payment.amount != bill.amount:
        return Answer(Outcome.WRONG_AMOUNT, _lock({bill.run_id}).get(bill.run_id))
    try:
        receipt = sagas.confirm(bill.run_id, CONFIRMATION, _data(payment))
    except sagas.RunNotFound:
        return Answer(Outcome.TOO_LATE)
    except sagas.AlreadyDecided as decided:
        return Answer(Outcome.TOO_LATE, State(decided.state))
    if receipt.state in _UNDONE:
        return Answer(Outcome.TOO_LATE, receipt.state)
    # The run was paid by the same payment before payments had rows of their own.
    taken = receipt.first or receipt.data.get("payment_id") == payment.payment_id
    return Answer(Outcome.TAKEN if taken else Outcome.DUPLICATE, receipt.state, receipt.settled)


def _data(payment: Payment) -> dict[str, Any]:
    return {"payment_id": payment.payment_id, "amount": payment.amount, "currency": payment.currency}


def _contradict(payment: Payment, message: Message) -> None:
    """Leave a locked payment to a person, because the gateway's messages about it contradict each other."""
    logger.error(
        "payments: payment %s is known as %s %s for order %s, and came as %s %s for order %s: a person must decide",
        *(payment.payment_id, payment.amount, payment.currency, payment.order_no),
        *(message.amount, message.currency, message.order_no),
    )
    if payment.state == PaymentState.CONFLICT:
        return
    called = payment.state in {PaymentState.DUE_BACK, PaymentState.RETURNING}
    payment.state, payment.reason = PaymentState.CONFLICT, Outcome.CONFLICT
    if not called:
        payment.return_run_id = _start_return(payment)
    payment.save(update_fields=["state", "reason", "return_run_id"])


def _start_return(payment: Payment) -> UUID:
    logger.error(
        "payments: payment %s of order %s, %s %s, is due back: %s",
        *(payment.payment_id, payment.order_no, payment.amount, payment.currency, payment.reason),
    )
    # Not under the order's number, which is the key of the order's own run.
    return ReturnPayment.start(
        ReturnRequest(payment.payment_id), business_key=payment.payment_id[: limits.BUSINESS_KEY]
    )
