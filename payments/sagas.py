"""The sagas of payments."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models.functions import Now

from payments import returns
from payments.models import Payment, PaymentState
from payments.returns import ReturnRequest
from sagas import Retry, Saga, State, Step, Transition, on_transition


class ReturnPayment(Saga[ReturnRequest]):
    """Give back a payment that pays for nothing. It only goes forward: money that is due back stays due.

    So far a person returns it: the second step escalates until the payment is marked as returned.
    """

    begin = Step(returns.begin, queue="payments", pivot=True)
    return_money = Step(returns.return_money, queue="payments", retry=Retry(attempts=1))


@on_transition(saga=ReturnPayment, target=State.SUCCEEDED, many=True)
def mark_ended_by_hand(transitions: Sequence[Transition]) -> None:
    """Note the payments as returned whose return a person has ended by hand, and not by marking them.

    A hook may be lost. Then such a payment still says RETURNING, and the run beside it that it was returned.
    """
    ended = [transition.run_id for transition in transitions]
    Payment.objects.filter(return_run_id__in=ended, state=PaymentState.RETURNING).update(
        state=PaymentState.RETURNED, returned_at=Now()
    )
