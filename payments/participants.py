"""What payments offer to sagas of others: to take a payment back when what it paid for is undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from payments.models import Outcome, Payment, PaymentState
from payments.services import owe
from sagas import Call, Done, set_based
from sagas.definition.participants import Outcome as Answer


@set_based
def give_back(calls: Sequence[Call[Any]]) -> list[Answer]:
    """Write the payments of these undone runs as due back, and start their return, in the same commit.

    Local on purpose: it never waits for the gateway, so nothing is held for its sake. By run, and not by what came
    with the confirmation: a run that nobody paid, or that had nothing to pay, owes nothing.
    """
    taken = Payment.objects.select_for_update().filter(
        run_id__in=[call.run_id for call in calls], state=PaymentState.TAKEN
    )
    for payment in taken.order_by("id"):
        owe(payment, because=Outcome.UNDONE)
    return [Done() for _ in calls]
