"""The sagas of payments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction

from payments import gateways, returns
from payments.models import Payment, Refund, RefundState
from payments.returns import RefundRequest, ReturnRequest, ReviewRequest
from sagas import Objective, Rejected, Retry, Saga, State, Step, Transition, on_transition
from sagas.remote import ClientError

#: A gateway that is away is asked for a day. One that refuses is not asked again: a person is called at once.
_PATIENT = Retry(
    attempts=60, delay=timedelta(seconds=2), max_delay=timedelta(minutes=30), never=(ClientError, Rejected)
)
_ONCE = Retry(attempts=1)


class RefundPayment(Saga[RefundRequest]):
    """Return a payment, or a part of it. The saga only goes forward, because the money stays due.

    The run's id is the refund's: ``payments.models.Refund`` has a row for it, and the gateway knows it by that.
    """

    objectives = (Objective("returned", target=0.999, within=timedelta(minutes=1)),)

    begin = Step(returns.begin, queue="payments", pivot=True)
    permit = Step(returns.permit, queue="payments", retry=_ONCE)
    return_money = Step(gateways.refunds, queue="payments", retry=_PATIENT)
    note_returned = Step(returns.note_returned, queue="payments")


class RefundPaymentLater(Saga[RefundRequest]):
    """As ``RefundPayment``, in a slower lane: many refunds at once go behind the ordinary ones."""

    begin = Step(returns.begin, queue="payments", pivot=True)
    permit = Step(returns.permit, queue="payments", retry=_ONCE)
    return_money = Step(gateways.later_refunds, queue="payments", retry=_PATIENT)
    note_returned = Step(returns.note_returned, queue="payments")


class ReturnPayment(Saga[ReturnRequest]):
    """Have a person return a payment. For the runs from before refunds had rows: no other is started."""

    begin = Step(returns.begin_by_hand, queue="payments", pivot=True)
    return_money = Step(returns.await_person, queue="payments", retry=_ONCE)


class ReviewPayment(Saga[ReviewRequest]):
    """Call a person about a payment: it is disputed, or the gateway's messages about it contradict each other."""

    open_review = Step(returns.open_review, queue="payments", pivot=True)
    review = Step(returns.review, queue="payments", retry=_ONCE)


@on_transition(saga=ReturnPayment, target=State.SUCCEEDED, many=True)
@on_transition(saga=RefundPaymentLater, target=State.SUCCEEDED, many=True)
@on_transition(saga=RefundPayment, target=State.SUCCEEDED, many=True)
def mark_ended_by_hand(transitions: Sequence[Transition]) -> None:
    """Mark the refunds as made whose run a person has resolved instead of marking the refund.

    A hook may be lost. Then such a refund stays REQUESTED, while its run shows that it was made; the sweep finds it.
    """
    for transition in transitions:
        with transaction.atomic():
            if Refund.objects.filter(pk=transition.run_id, state=RefundState.REQUESTED).exists():
                returns.settle(returns.lock_refund(transition.run_id), note="its run was resolved by hand")


@on_transition(saga=ReturnPayment, target=State.FAILED, many=True)
@on_transition(saga=RefundPaymentLater, target=State.FAILED, many=True)
@on_transition(saga=RefundPayment, target=State.FAILED, many=True)
def call_for_stopped(transitions: Sequence[Transition]) -> None:
    """Call a person for refunds that somebody has cancelled before they began; the sweep finds lost ones."""
    from payments import refunds  # noqa: PLC0415 - it starts these sagas

    for transition in transitions:
        refunds.call_for_stopped(transition.run_id)


@on_transition(saga=ReviewPayment, target=State.SUCCEEDED, many=True)
def end_disputes(transitions: Sequence[Transition]) -> None:
    """Let refunds begin again of payments whose dispute is settled: a person has resolved the review."""
    ended = [transition.run_id for transition in transitions]
    Payment.objects.filter(review_run_id__in=ended, disputed_at__isnull=False).update(disputed_at=None)
