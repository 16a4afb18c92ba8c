"""Writes: what is due back is refunded, what waits for a person is offered again, what people have done is noted."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

import uuid_utils.compat
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

import sagas
from payments.models import Outcome, Payment, PaymentState, Refund, RefundSource, RefundState
from payments.returns import RefundRequest, ReviewRequest, lock_refund, note_sum_returned, settle
from payments.sagas import RefundPayment, RefundPaymentLater, ReviewPayment
from sagas import State, limits
from sagas.errors import RunExists
from sagas.models import Run

logger = logging.getLogger(__name__)

#: The name of the confirmation that a payment gives.
CONFIRMATION = "payment"


class NotRefundable(Exception):
    """The payment cannot be refunded, or not so much of it: the message says why."""


def lock_runs(run_ids: Collection[UUID]) -> dict[UUID, State]:
    """Lock these runs in the common order of locks, and return their states. Pruned runs are missing."""
    runs = Run.objects.select_for_update(no_key=True).filter(pk__in=run_ids).order_by("pk")
    return {run_id: State(state) for run_id, state in runs.values_list("pk", "state")} if run_ids else {}


def owe(payment: Payment, *, because: Outcome, later: bool = False) -> None:
    """Write a locked payment as due back, and start its refund, in the same commit."""
    payment.state, payment.reason = PaymentState.DUE_BACK, because
    _start_refund(payment, payment.amount - payment.returned_amount, because, later=later)
    payment.save(update_fields=["state", "reason", "returning_amount"])


def insert_owed(payment: Payment, *, because: Outcome, later: bool = False) -> bool:
    """Insert a new payment that is due back, wholly or but for what is returned, with its refund.

    Returns:
        Whether it was inserted: ``False`` if there is a payment of its id.
    """
    rest = payment.amount - payment.returned_amount
    payment.reason = because
    # Nothing was paid, or everything is returned already.
    payment.state = PaymentState.DUE_BACK if rest else PaymentState.RETURNED
    payment.returning_amount = rest
    if not insert(payment):
        return False
    if rest:
        payment.returning_amount = 0
        _start_refund(payment, rest, because, later=later)
    return True


_INSERT = """
INSERT INTO payments_payment (gateway, payment_id, order_no, run_id, amount, currency, state, reason, returning_amount,
                              returned_amount, review_run_id, returned_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, CASE WHEN %s THEN clock_timestamp() END)
ON CONFLICT (gateway, payment_id) DO NOTHING RETURNING id, received_at
"""


def insert(payment: Payment) -> bool:
    """Insert a payment; ``False``, and nothing, if there is a payment of its id."""
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            [
                *(payment.gateway, payment.payment_id, payment.order_no, payment.run_id),
                *(payment.amount, payment.currency, str(payment.state), str(payment.reason)),
                *(payment.returning_amount, payment.returned_amount, payment.review_run_id),
                payment.state == PaymentState.RETURNED,
            ],
        )
        found = cursor.fetchone()
    if found is None:
        return False
    payment.pk, payment.received_at = found
    return True


def request_refund(
    payment: Payment, amount: int, *, by: str, note: str, because: Outcome = Outcome.REFUNDED, later: bool = False
) -> Refund:
    """Start a refund of a locked payment that pays its order, in the caller's transaction.

    Args:
        payment: the payment, locked behind its run.
        amount: in minor units.
        by: who wants it.
        note: why, for the record.
        because: why, as a word.
        later: behind ordinary refunds.

    Raises:
        NotRefundable: it does not pay its order, is disputed, or so much is not left of it.
    """
    if payment.state not in {PaymentState.TAKEN, PaymentState.PARTLY_RETURNED, PaymentState.RETURNING}:
        msg = f"payment {payment.payment_id} is {payment.state}"
        raise NotRefundable(msg)
    if payment.disputed_at is not None:
        msg = f"payment {payment.payment_id} is disputed"
        raise NotRefundable(msg)
    left = payment.amount - payment.returned_amount - payment.returning_amount
    if not 0 < amount <= left:
        msg = f"{amount} are to be returned of payment {payment.payment_id}, of which {left} are left"
        raise NotRefundable(msg)
    payment.state = PaymentState.RETURNING
    refund = _start_refund(payment, amount, because, later=later, by=by, note=note)
    payment.save(update_fields=["state", "returning_amount"])
    return refund


def _start_refund(
    payment: Payment, amount: int, because: Outcome, *, later: bool = False, by: str = "", note: str = ""
) -> Refund:
    """Write a refund and start its run; the caller saves the payment."""
    logger.warning(
        "payments: %s %s of payment %s of order %s are returned: %s",
        *(amount, payment.currency, payment.payment_id, payment.order_no, because),
    )
    payment.returning_amount += amount
    refund = Refund(id=uuid_utils.compat.uuid7(), payment=payment, amount=amount, reason=because, by=by, note=note)
    refund.save(force_insert=True)
    request = RefundRequest(payment.gateway, payment.payment_id, amount, payment.currency)
    saga = RefundPaymentLater if later else RefundPayment
    # Not under the order's number, which is the key of the order's own run.
    saga.start(request, business_key=payment.payment_id[: limits.BUSINESS_KEY], run_id=refund.pk)
    return refund


def start_review(payment: Payment, why: Outcome) -> None:
    """Call a person about a locked payment, unless one is called already; the caller saves the payment."""
    live = payment.review_run_id is not None and (
        Run.objects.filter(pk=payment.review_run_id).exclude(state__in=[State.SUCCEEDED, State.FAILED]).exists()
    )
    if not live:
        payment.review_run_id = ReviewPayment.start(
            ReviewRequest(payment.gateway, payment.payment_id, why.value),
            business_key=payment.payment_id[: limits.BUSINESS_KEY],
        )


def mark_refund_returned(*, refund_id: UUID, by: str, note: str = "") -> bool:
    """Note that a person has made a refund, and end the run that waited for it. A repeat changes nothing.

    Only where the run has not begun, is escalated, was cancelled, or is not there any more: otherwise the gateway is
    being asked for it, too.

    Args:
        refund_id: the refund.
        by: who made it, for the record.
        note: how, for the record.

    Returns:
        Whether it is noted now.
    """
    with transaction.atomic():
        if not Refund.objects.filter(pk=refund_id).exists():
            return False
        state = lock_runs({refund_id}).get(refund_id)
        refund = lock_refund(refund_id)
        if refund.state == RefundState.RETURNED or state not in _BY_HAND:
            return False
        settle(refund, by=by, note=note)
        if state is State.PENDING:
            sagas.cancel(refund_id, reason="returned by hand", by=by)
        elif state is State.ESCALATED:
            sagas.resolve(refund_id, outcome=State.SUCCEEDED, by=by, note=note or "returned by hand")
        return True


#: The states of a refund's run in which the gateway is not being asked.
_BY_HAND = frozenset({None, State.PENDING, State.COMPENSATING, State.FAILED, State.ESCALATED})


def mark_returned(*, gateway: str, payment_id: str, by: str, note: str = "") -> bool:
    """Note that a person has returned all that was left of a payment in CONFLICT. A repeat changes nothing.

    Returns:
        Whether it is noted now.
    """
    found = Payment.objects.filter(gateway=gateway, payment_id=payment_id).first()
    if found is None:
        return False
    live = list(found.refunds.filter(state=RefundState.REQUESTED).values_list("pk", flat=True))
    if found.state != PaymentState.CONFLICT:
        # What is due back has refunds, which say of each part how it was returned.
        return bool(live) and all(mark_refund_returned(refund_id=pk, by=by, note=note) for pk in live)
    with transaction.atomic():
        review = found.review_run_id
        states = lock_runs({*live, *([review] if review else [])})
        if any(states.get(pk) not in {None, State.ESCALATED} for pk in live):
            return False
        payment = Payment.objects.select_for_update().get(pk=found.pk)
        if payment.state != PaymentState.CONFLICT or payment.review_run_id != review:
            return False
        for pk in live:
            refund = lock_refund(pk)
            settle(refund, by=by, note=note)
            payment = refund.payment
            if states.get(pk) is State.ESCALATED:
                sagas.resolve(pk, outcome=State.SUCCEEDED, by=by, note=note or "returned by hand")
        note_made(payment, payment.amount - payment.returned_amount, source=RefundSource.PERSON, by=by, note=note)
        if review is not None and states.get(review) is State.ESCALATED:
            sagas.resolve(review, outcome=State.SUCCEEDED, by=by, note=note or "returned by hand")
        return True


def note_made(
    payment: Payment, amount: int, *, source: RefundSource, by: str = "", note: str = "", gateway_refund_id: str = ""
) -> None:
    """Note a refund of a locked payment that was made without us."""
    if amount:
        Refund.objects.create(
            payment=payment,
            amount=amount,
            state=RefundState.RETURNED,
            source=source,
            reason=payment.reason or Outcome.REFUNDED,
            by=by,
            note=note,
            gateway_refund_id=gateway_refund_id,
            returned_at=Now(),
        )
    note_sum_returned(payment, amount)


def owe_rest(payment: Payment, returned: int, gateway_refund_id: str) -> None:
    """Note that the gateway has returned a part, or all, of a locked parked payment; the rest is due back."""
    Refund.objects.create(
        payment=payment,
        amount=returned,
        state=RefundState.RETURNED,
        source=RefundSource.GATEWAY,
        reason=Outcome.REFUNDED,
        gateway_refund_id=gateway_refund_id,
        returned_at=Now(),
    )
    payment.returned_amount += returned
    if payment.returned_amount < payment.amount:
        payment.state = PaymentState.DUE_BACK
        _start_refund(payment, payment.amount - payment.returned_amount, Outcome.REFUNDED)
    else:
        payment.state, payment.returned_at = PaymentState.RETURNED, Now()
    payment.save(update_fields=["state", "reason", "returning_amount", "returned_amount", "returned_at"])


def offer_parked(run_ids: Sequence[UUID]) -> None:
    """Offer the payments that waited for these runs' escalations again: the runs go on, or have ended."""
    parked = Payment.objects.filter(run_id__in=run_ids, state=PaymentState.PARKED).order_by("id")
    for pk, run_id in parked.values_list("pk", "run_id"):
        assert run_id is not None
        with transaction.atomic():
            state = lock_runs({run_id}).get(run_id)
            payment = Payment.objects.select_for_update().get(pk=pk)
            if payment.state == PaymentState.PARKED:
                offer(payment, state)


def offer(payment: Payment, state: State | None) -> None:
    """Offer a locked parked payment to its locked run.

    Args:
        payment: the payment.
        state: the run's state; ``None`` if it is pruned: then the caller knows that its order was undone.
    """
    assert payment.run_id is not None
    if state is State.ESCALATED:
        return
    if state is State.SUCCEEDED:
        # A person has vouched for all of it, the payment too.
        paid = Payment.objects.filter(run_id=payment.run_id, state=PaymentState.TAKEN).exists()
        because = Outcome.DUPLICATE if paid else None
    else:
        because = _try_to_confirm(payment)
    if because is not None:
        owe(payment, because=because)
        return
    payment.state = PaymentState.TAKEN
    payment.save(update_fields=["state"])


def _try_to_confirm(payment: Payment) -> Outcome | None:
    """Confirm the payment's run by it; otherwise return why it is due back."""
    assert payment.run_id is not None
    try:
        receipt = sagas.confirm(payment.run_id, CONFIRMATION, confirmed_by(payment))
    except (sagas.RunNotFound, sagas.AlreadyDecided):
        return Outcome.TOO_LATE
    return None if receipt.first else Outcome.DUPLICATE


def confirmed_by(payment: Payment) -> dict[str, object]:
    """What a run keeps of its payment."""
    return {"payment_id": payment.payment_id, "amount": payment.amount, "currency": payment.currency}


def end_payments(run_ids: Sequence[UUID], *, confirmed: bool) -> None:
    """Settle the payments of runs that are about to be pruned, and whose order does not show that it was done."""
    left = Payment.objects.filter(run_id__in=run_ids, state__in=[PaymentState.PARKED, PaymentState.TAKEN])
    for pk in left.order_by("id").values_list("pk", flat=True):
        with transaction.atomic():
            payment = Payment.objects.select_for_update().get(pk=pk)
            if payment.state == PaymentState.PARKED:
                offer(payment, State.SUCCEEDED if confirmed else None)
            elif payment.state == PaymentState.TAKEN and not confirmed:
                owe(payment, because=Outcome.UNDONE)


def sweep(*, within: timedelta = timedelta(days=31)) -> int:
    """Give back what is taken although its order is undone, and end what a lost hook has left standing.

    In a healthy shop it finds nothing: the order's own undo gives its payment back.

    Args:
        within: payments that came in this time are looked at.

    Returns:
        How many payments and refunds were put right.
    """
    came = Payment.objects.filter(received_at__gte=Now() - within)
    run = Run.objects.filter(pk=OuterRef("run_id"))
    kept = came.filter(Exists(run.filter(state=State.FAILED)), state=PaymentState.TAKEN)
    done = 0
    for pk in kept.order_by("id").values_list("pk", flat=True):
        done += give_back_kept(pk)
    parked = came.filter(~Exists(run.filter(state=State.ESCALATED)), state=PaymentState.PARKED)
    waiting = [run_id for run_id in parked.values_list("run_id", flat=True) if run_id is not None]
    offer_parked(waiting)
    ended = Exists(Run.objects.filter(pk=OuterRef("pk"), state=State.SUCCEEDED))
    made = Refund.objects.filter(ended, state=RefundState.REQUESTED, payment__received_at__gte=Now() - within)
    for refund in made:
        with transaction.atomic():
            settle(lock_refund(refund.pk), note="its run was resolved by hand")
            done += 1
    stopped = Exists(Run.objects.filter(pk=OuterRef("pk"), state=State.FAILED))
    for refund in Refund.objects.filter(stopped, state=RefundState.REQUESTED, payment__received_at__gte=Now() - within):
        call_for_stopped(refund.pk)
    return done + len(waiting)


def give_back_kept(payment_pk: int) -> bool:
    """Write a payment as due back that is taken although its order was undone; return whether it was so."""
    with transaction.atomic():
        run_id = Payment.objects.filter(pk=payment_pk).values_list("run_id", flat=True).first()
        if run_id is None or lock_runs({run_id}).get(run_id) is not State.FAILED:
            return False
        payment = Payment.objects.select_for_update().get(pk=payment_pk)
        if payment.state != PaymentState.TAKEN:
            return False
        logger.error("payments: payment %s is taken, and its order was undone", payment.payment_id)
        owe(payment, because=Outcome.UNDONE)
        return True


def restart(refund_id: UUID) -> bool:
    """Start the run of a refund whose run is not there: under the same id, by which the gateway knows the refund.

    Returns:
        Whether it was started: ``False`` if the refund is made, or has a run, or may have had one that was pruned.
    """
    with transaction.atomic():
        refund = lock_refund(refund_id)
        if refund.state == RefundState.RETURNED:
            return False
        payment = refund.payment
        request = RefundRequest(payment.gateway, payment.payment_id, refund.amount, payment.currency)
        try:
            RefundPayment.start(request, business_key=payment.payment_id[: limits.BUSINESS_KEY], run_id=refund.pk)
        except RunExists:
            return False
        return True


def call_for_stopped(refund_id: UUID) -> None:
    """Call a person for a refund whose run was cancelled before it began: the money is due all the same."""
    with transaction.atomic():
        if not Refund.objects.filter(pk=refund_id).exists():
            # A payment in CONFLICT, of before: it has a review and no refund.
            return
        refund = lock_refund(refund_id)
        payment = refund.payment
        if refund.state == RefundState.REQUESTED and payment.review_run_id is None:
            start_review(payment, Outcome.UNDONE)
            payment.save(update_fields=["review_run_id"])
