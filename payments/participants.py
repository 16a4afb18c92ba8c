"""The participants of the payments domain: give a payment back when its order is undone."""

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

    It is local, so that no order's holds wait for the gateway. It finds payments by run and not by the confirmation's
    data: a run without a payment, or with nothing to pay, owes nothing.
    """
    taken = Payment.objects.select_for_update().filter(
        run_id__in=[call.run_id for call in calls], state=PaymentState.TAKEN
    )
    for payment in taken.order_by("id"):
        owe(payment, because=Outcome.UNDONE)
    return [Done() for _ in calls]
