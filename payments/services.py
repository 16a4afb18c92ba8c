"""Writes: the gateways' messages are kept, and a payment is taken, parked, due back, or left to a person's decision."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

import sagas
from payments import refunds
from payments.models import Outcome, Payment, PaymentEvent, PaymentState, Refund, RefundSource, RefundState
from payments.refunds import CONFIRMATION, confirmed_by, lock_runs
from payments.returns import settle
from sagas import State
from sagas.db import constraint
from sagas.errors import UnknownConfirmation
from sagas.models import Run

logger = logging.getLogger(__name__)

#: The statuses that mean something. Messages with others are kept, and change nothing.
SUCCEEDED, FAILED, CLOSED, REFUNDED, DISPUTED = "succeeded", "failed", "closed", "refunded", "disputed"
#: The statuses of which each implies that the money has come.
_OF_MONEY = frozenset({SUCCEEDED, REFUNDED, DISPUTED})

_UNDONE = frozenset({State.COMPENSATING, State.FAILED})


@dataclass(frozen=True, slots=True)
class Message:
    """A signed message of a gateway.

    Attributes:
        webhook_id: the message's id, the same in its repeats.
        body: the signed text.
        order_no: the order that the payment is for.
        payment_id: the gateway's id of the payment.
        amount: of the payment, in minor units of the currency.
        currency: of three letters.
        status: "succeeded" if the money has come; "failed", "closed", "refunded", "disputed".
        occurred_at: when, by the gateway's clock.
        refund_id: of a refund: ours, or the gateway's own.
        refund_amount: how much the refund returns; ``None`` in other messages.
        gateway: whose message it is.
    """

    webhook_id: str
    body: str
    order_no: str
    payment_id: str
    amount: int
    currency: str
    status: str
    occurred_at: datetime | None = None
    refund_id: str = ""
    refund_amount: int | None = None
    gateway: str = ""

    def __post_init__(self) -> None:
        """Without a gateway it is of the one whose webhooks come to ``orders/…/confirm/``."""
        if not self.gateway:
            object.__setattr__(self, "gateway", settings.PAYMENT_GATEWAY)


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
        refund: the latest refund of the payment, if there is any.
        is_first: whether this message has taken the payment; ``False`` of a repeat.
    """

    outcome: Outcome
    state: State | None = None
    settled: bool = False
    received_at: datetime | None = None
    refund: Refund | None = None
    is_first: bool = False


class MessageIdReused(Exception):
    """A message has the id of another message that was kept. It is not kept: the gateway contradicts its contract."""


class _Raced(Exception):
    """The same payment was taken for another order at the same moment."""


def receive(message: Message, bill: Bill | None) -> Answer:
    """Keep a signed message, and take its payment if it pays the bill.

    One transaction writes the message, the payment's row and the run's confirmation. A message that is kept already is
    judged again, which changes nothing, and is answered with the present state.

    Args:
        message: the signed message.
        bill: the price and the run of the order; ``None`` if there is no such order.

    Raises:
        MessageIdReused: another message came under this id. Nothing was written.
    """
    if bill is not None and _pays(message, bill) and (answer := _take_at_once(message, bill)) is not None:
        return answer
    while True:
        try:
            with transaction.atomic():
                answer = _weigh(message, bill)
                keep(message, answer.outcome)
                return answer
        except _Raced:
            continue


def _pays(message: Message, bill: Bill) -> bool:
    return message.status == SUCCEEDED and (message.amount, message.currency) == (bill.amount, bill.currency)


#: The columns of ``sagas_received`` are the engine's: the confirmation that is being written.
_TAKE = """
payment AS (
    INSERT INTO payments_payment
        (gateway, payment_id, order_no, run_id, amount, currency, state, reason, received_at)
    SELECT %s::text, %s::text, %s::text, run_id, %s::bigint, %s::text, %s::text, '', received_at FROM sagas_received
), event AS (
    INSERT INTO payments_paymentevent
        (gateway, webhook_id, digest, order_no, payment_id, amount, currency, status, occurred_at, refund_id,
         refund_amount, outcome, body)
    SELECT %s::text, %s::text, %s::text, %s::text, %s::text, %s::bigint, %s::text, %s::text, %s::timestamptz, %s::text,
           %s::bigint, %s::text, %s::text
    FROM sagas_received
)
"""
#: What a message violates that came before, or whose payment is known, or whose order is paid.
_KNOWN = frozenset({"payments_payment_once", "payments_payment_one_taken", "payments_paymentevent_once"})


def _take_at_once(message: Message, bill: Bill) -> Answer | None:
    """Take a payment as what nearly every payment is: new, and for an order that awaits one. One statement writes all.

    Returns:
        ``None``, and nothing was written, if it is anything else: the caller weighs it.
    """
    data = {"payment_id": message.payment_id, "amount": message.amount, "currency": message.currency}
    paid = [
        *(message.gateway, message.payment_id, message.order_no, message.amount, message.currency),
        PaymentState.TAKEN.value,
    ]
    try:
        receipt = sagas.confirm_sql(
            bill.run_id, CONFIRMATION, data, ctes=_TAKE, params=[*paid, *_event(message, Outcome.TAKEN)]
        )
    except IntegrityError as error:
        if constraint(error) in _KNOWN:
            return None
        raise
    except (sagas.RunNotFound, sagas.AlreadyDecided, UnknownConfirmation):
        return None
    if not receipt.first:
        return None
    return Answer(Outcome.TAKEN, receipt.state, receipt.settled, receipt.received_at, is_first=True)


_KEEP = """
INSERT INTO payments_paymentevent
    (gateway, webhook_id, digest, order_no, payment_id, amount, currency, status, occurred_at, refund_id, refund_amount,
     outcome, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (gateway, webhook_id) DO NOTHING
"""


def _event(message: Message, outcome: Outcome) -> list[Any]:
    return [
        *(message.gateway, message.webhook_id, _digest(message), message.order_no, message.payment_id),
        *(message.amount, message.currency, message.status, message.occurred_at, message.refund_id),
        *(message.refund_amount, outcome.value, message.body),
    ]


def _digest(message: Message) -> str:
    return sha256(message.body.encode()).hexdigest()


def keep(message: Message, outcome: Outcome) -> None:
    """Store a signed message for the record; a repeat is stored already.

    Raises:
        MessageIdReused: another message has its id; the caller's transaction must be rolled back.
    """
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, _event(message, outcome))
        if cursor.rowcount:
            return
    known = PaymentEvent.objects.filter(gateway=message.gateway, webhook_id=message.webhook_id)
    if known.values_list("digest", flat=True).get() != _digest(message):
        logger.error(
            "payments: gateway %s has sent two messages under the id %s: the second, %s of payment %s, is not kept",
            *(message.gateway, message.webhook_id, message.status, message.payment_id),
        )
        msg = f"another message came under the id {message.webhook_id}"
        raise MessageIdReused(msg)


def _weigh(message: Message, bill: Bill | None) -> Answer:
    """Decide the outcome of a message, under the locks of its runs."""
    if message.status == CLOSED:
        return _close(message, bill)
    if message.status not in _OF_MONEY:
        state = lock_runs({bill.run_id}).get(bill.run_id) if bill else None
        return Answer(Outcome.NOT_PAID, state)
    known = Payment.objects.filter(gateway=message.gateway, payment_id=message.payment_id).first()
    if known is None and bill is not None and (state := _charging(bill.run_id, message)) is not None:
        return Answer(Outcome.TAKEN, state)
    if known is None:
        # At most one run, which is locked where it is confirmed.
        answer = _first_refunded(message, bill) if message.status == REFUNDED else _first(message, bill)
        if message.status != DISPUTED:
            return answer
        known = Payment.objects.get(gateway=message.gateway, payment_id=message.payment_id)
    run_ids = {run_id for run_id in (bill.run_id if bill else None, known.run_id) if run_id is not None}
    if message.status == REFUNDED:
        run_ids |= set(known.refunds.filter(state=RefundState.REQUESTED).values_list("pk", flat=True))
    states = lock_runs(run_ids)
    return _again(message, bill, known, states)


def _charging(run_id: UUID, message: Message) -> State | None:
    """The state of a run that charges a card by a step of its own, if this payment is its charge, or may be it.

    The run notes its charge when it is confirmed, and its undo returns it, of which the gateway tells by another
    message. A gateway's message may come before its answer to the charge: giving it back then would pay the order with
    nothing. Another payment of such a run is only kept as a message; the daily file finds it once the run has ended.
    """
    if message.status == REFUNDED:
        return None
    found = Run.objects.select_for_update(no_key=True).filter(pk=run_id, request__has_key="card")
    run = found.only("state", "results").first()
    if run is None:
        return None
    charge = (run.results or {}).get("charge")
    if charge is None:
        return None if run.state in {State.SUCCEEDED, State.FAILED} else State(run.state)
    return State(run.state) if charge["payment_id"] == message.payment_id else None


def _again(message: Message, bill: Bill | None, known: Payment, states: Mapping[UUID, State]) -> Answer:
    """The outcome for a payment that is known."""
    # Read again behind the runs' locks: it may have changed.
    known = Payment.objects.select_for_update().get(pk=known.pk)
    if (known.order_no, known.amount, known.currency) != (message.order_no, message.amount, message.currency):
        _contradict(known, message)
        return Answer(Outcome.CONFLICT, states.get(bill.run_id) if bill else None, received_at=known.received_at)
    if message.status == REFUNDED and not _note_refund(known, message, states):
        _contradict(known, message)
    if message.status == DISPUTED:
        _dispute(known, message)
    answer = _present(known, states.get(known.run_id) if known.run_id else None)
    if message.status == REFUNDED and known.state != PaymentState.CONFLICT:
        answer = replace(answer, outcome=Outcome.REFUNDED)
    elif message.status == DISPUTED:
        answer = replace(answer, outcome=Outcome.DISPUTED)
    return replace(answer, refund=known.refunds.order_by("-requested_at").first())


def _present(payment: Payment, state: State | None) -> Answer:
    """How a locked payment stands."""
    if payment.state == PaymentState.PARKED:
        # Its order may go on by now, and the hook that offers the payment again was lost.
        if state is not None:
            refunds.offer(payment, state)
        if payment.state == PaymentState.PARKED:
            return Answer(Outcome.PARKED, state, received_at=payment.received_at)
    if payment.reason:
        return Answer(Outcome(payment.reason), state, received_at=payment.received_at)
    return _standing(payment)


def _standing(payment: Payment) -> Answer:
    """The outcome for a payment that was taken before."""
    assert payment.run_id is not None
    try:
        receipt = sagas.confirm(payment.run_id, CONFIRMATION, confirmed_by(payment))
    except sagas.RunNotFound:
        # Only runs that have ended are pruned, and an undone run has given its payment back.
        return Answer(Outcome.TAKEN, State.SUCCEEDED, settled=True, received_at=payment.received_at)
    except UnknownConfirmation:
        # The run has charged it by a step of its own, and noted it behind its pivot.
        state = State(Run.objects.values_list("state", flat=True).get(pk=payment.run_id))
        return Answer(Outcome.TAKEN, state, settled=True, received_at=payment.received_at)
    except sagas.AlreadyDecided as decided:
        # A person has ended the run without the payment, which was parked meanwhile.
        state = State(decided.state)
        return Answer(Outcome.TAKEN, state, state is State.SUCCEEDED, payment.received_at)
    outcome = Outcome.UNDONE if receipt.state in _UNDONE else Outcome.TAKEN
    return Answer(outcome, receipt.state, receipt.settled, payment.received_at)


def _first(message: Message, bill: Bill | None) -> Answer:
    """Take a new payment, park it, or write it as due back."""
    payment = _payment(message, bill)
    answer = _try_to_take(payment, bill)
    if answer.outcome in {Outcome.TAKEN, Outcome.PARKED}:
        payment.state = PaymentState(answer.outcome.name)
        is_new = refunds.insert(payment)
    else:
        is_new = refunds.insert_owed(payment, because=answer.outcome)
    if not is_new:
        # The runs' locks do not exclude the same payment for another order; the constraint does.
        raise _Raced
    is_first = answer.outcome is Outcome.TAKEN
    return replace(answer, received_at=payment.received_at, refund=payment.refunds.first(), is_first=is_first)


def _payment(message: Message, bill: Bill | None) -> Payment:
    return Payment(
        gateway=message.gateway,
        payment_id=message.payment_id,
        order_no=message.order_no,
        run_id=bill.run_id if bill else None,
        amount=message.amount,
        currency=message.currency,
        state=PaymentState.TAKEN,
    )


def _try_to_take(payment: Payment, bill: Bill | None) -> Answer:
    if bill is None:
        return Answer(Outcome.UNKNOWN_ORDER)
    if payment.currency != bill.currency:
        return Answer(Outcome.WRONG_CURRENCY, lock_runs({bill.run_id}).get(bill.run_id))
    if payment.amount != bill.amount:
        return Answer(Outcome.WRONG_AMOUNT, lock_runs({bill.run_id}).get(bill.run_id))
    try:
        receipt = sagas.confirm(bill.run_id, CONFIRMATION, confirmed_by(payment))
    except sagas.RunNotFound:
        return Answer(Outcome.TOO_LATE)
    except UnknownConfirmation:
        # The order is paid by a charge.
        return Answer(Outcome.DUPLICATE, lock_runs({bill.run_id}).get(bill.run_id))
    except sagas.AlreadyDecided as decided:
        state = State(decided.state)
        return Answer(Outcome.PARKED if state is State.ESCALATED else Outcome.TOO_LATE, state)
    if receipt.first:
        return Answer(Outcome.TAKEN, receipt.state, receipt.settled)
    # The run was paid by the same payment before payments had rows of their own.
    same = receipt.data.get("payment_id") == payment.payment_id
    if receipt.state in _UNDONE:
        return Answer(Outcome.TOO_LATE, receipt.state)
    return Answer(Outcome.TAKEN if same else Outcome.DUPLICATE, receipt.state, receipt.settled)


def _first_refunded(message: Message, bill: Bill | None) -> Answer:
    """Write a payment of which the gateway tells first that it was returned: it pays nothing, and the rest is due."""
    payment = _payment(message, bill)
    state = lock_runs({bill.run_id}).get(bill.run_id) if bill else None
    returned = message.refund_amount or 0
    if returned > payment.amount:
        payment.state, payment.reason = PaymentState.CONFLICT, Outcome.CONFLICT
        refunds.start_review(payment, Outcome.CONFLICT)
        if not refunds.insert(payment):
            raise _Raced
        return Answer(Outcome.CONFLICT, state, received_at=payment.received_at)
    payment.returned_amount = returned
    if not refunds.insert_owed(payment, because=Outcome.REFUNDED):
        raise _Raced
    Refund.objects.create(
        payment=payment,
        amount=returned,
        state=RefundState.RETURNED,
        source=RefundSource.GATEWAY,
        reason=Outcome.REFUNDED,
        gateway_refund_id=message.refund_id,
        returned_at=Now(),
    )
    return Answer(Outcome.REFUNDED, state, received_at=payment.received_at, refund=payment.refunds.first())


def _note_refund(payment: Payment, message: Message, states: Mapping[UUID, State]) -> bool:
    """Note what the gateway tells of a refund of a locked payment; ``False`` if that cannot be."""
    amount = message.refund_amount or 0
    known = list(payment.refunds.select_for_update().order_by("pk"))
    for refund in known:
        refund.payment = payment
    meant = next((r for r in known if message.refund_id in {str(r.pk), r.gateway_refund_id}), None)
    if meant is None:
        # A person was asked for it, and has made it in the gateway's console.
        asked = [r for r in known if r.state == RefundState.REQUESTED and states.get(r.pk) is State.ESCALATED]
        meant = next((r for r in asked if r.amount == amount), None)
    if meant is not None:
        if meant.amount != amount:
            return False
        if meant.state == RefundState.REQUESTED:
            settle(meant, message.refund_id if message.refund_id != str(meant.pk) else "")
            if states.get(meant.pk) is State.ESCALATED:
                note = f"the gateway has made the refund {message.refund_id}"
                sagas.resolve(meant.pk, outcome=State.SUCCEEDED, by=f"gateway {message.gateway}", note=note)
        return True
    if payment.returned_amount + payment.returning_amount + amount > payment.amount:
        return False
    logger.error(
        "payments: gateway %s has returned %s of payment %s of order %s without being asked",
        *(message.gateway, amount, payment.payment_id, payment.order_no),
    )
    if payment.state == PaymentState.PARKED:
        # It cannot pay its order any more.
        payment.reason = Outcome.REFUNDED
        refunds.owe_rest(payment, amount, message.refund_id)
        return True
    if not payment.reason:
        # It pays an order: somebody must see to that.
        refunds.start_review(payment, Outcome.REFUNDED)
        payment.save(update_fields=["review_run_id"])
    refunds.note_made(payment, amount, source=RefundSource.GATEWAY, gateway_refund_id=message.refund_id)
    return True


def _dispute(payment: Payment, message: Message) -> None:
    """Stop refunds of a locked payment, and call a person."""
    if (
        payment.disputed_at is not None
        or PaymentEvent.objects.filter(gateway=message.gateway, webhook_id=message.webhook_id).exists()
    ):
        # A repeat: what it told may be settled by now.
        return
    logger.error("payments: payment %s of order %s is disputed", payment.payment_id, payment.order_no)
    payment.disputed_at = Now()
    refunds.start_review(payment, Outcome.DISPUTED)
    payment.save(update_fields=["disputed_at", "review_run_id"])


def _close(message: Message, bill: Bill | None) -> Answer:
    """Undo the order that the gateway takes no payment for any more, unless it is paid or decided."""
    if bill is None:
        return Answer(Outcome.NOT_PAID)
    try:
        state = sagas.decline(
            bill.run_id,
            CONFIRMATION,
            reason=f"payment {message.payment_id} was closed",
            by=f"gateway {message.gateway}",
        )
    except (sagas.RunNotFound, UnknownConfirmation):
        return Answer(Outcome.NOT_PAID)
    except sagas.AlreadyDecided as decided:
        return Answer(Outcome.NOT_PAID, State(decided.state))
    return Answer(Outcome.CLOSED, state)


def _contradict(payment: Payment, message: Message) -> None:
    """Leave a locked payment to a person, because the gateway's messages about it contradict each other."""
    logger.error(
        "payments: payment %s is known as %s %s for order %s, and came as %s, %s %s for order %s: a person must decide",
        *(payment.payment_id, payment.amount, payment.currency, payment.order_no),
        *(message.status, message.amount, message.currency, message.order_no),
    )
    if payment.state == PaymentState.CONFLICT:
        return
    payment.state, payment.reason = PaymentState.CONFLICT, Outcome.CONFLICT
    refunds.start_review(payment, Outcome.CONFLICT)
    payment.save(update_fields=["state", "reason", "review_run_id"])
