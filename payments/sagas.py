"""The sagas of payments."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models.functions import Now

from payments import returns
from payments.models import Payment, PaymentState
from payments.returns import ReturnRequest
from sagas import Retry, Saga, State, Step, Transition, on_transition


class ReturnPayment(Saga[ReturnRequest]):
    """Give back a payment that pays for nothing. The saga only goes forward, because the money stays due back.

    So far a person returns it: the second step escalates until the payment is marked as returned.
    """

    begin = Step(returns.begin, queue="payments", pivot=True)
    return_money = Step(returns.return_money, queue="payments", retry=Retry(attempts=1))


@on_transition(saga=ReturnPayment, target=State.SUCCEEDED, many=True)
def mark_ended_by_hand(transitions: Sequence[Transition]) -> None:
    """Mark the payments as returned whose run a person has resolved instead of marking the payment.

    A hook may be lost. Then such a payment keeps the state RETURNING, while its run shows that it was returned.
    """
    ended = [transition.run_id for transition in transitions]
    Payment.objects.filter(return_run_id__in=ended, state=PaymentState.RETURNING).update(
        state=PaymentState.RETURNED, returned_at=Now()
    )
