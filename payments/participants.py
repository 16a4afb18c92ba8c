"""The participants of the payments domain: give a payment back when its order is undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection

from payments.gateways import ToCharge
from payments.models import Outcome, Payment, PaymentState
from payments.refunds import owe, start_review
from sagas import Call, Done, locking, no_lock_keys, set_based
from sagas import Outcome as Answer
from sagas.db import array, uuid_array


@locking(no_lock_keys)
@set_based
def give_back(calls: Sequence[Call[Any]]) -> list[Answer]:
    """Write the payments of these undone runs as due back, and start their refunds, in the same commit.

    It is local, so that no order's holds wait for the gateway. It finds payments by run and not by the confirmation's
    data: a run without a payment, or with nothing to pay, owes nothing.
    """
    return _give_back(calls, later=False)


@locking(no_lock_keys)
@set_based
def give_back_later(calls: Sequence[Call[Any]]) -> list[Answer]:
    """As ``give_back``, behind ordinary refunds: for many at once, such as those of a group buy that was short."""
    return _give_back(calls, later=True)


_CHARGED = """
INSERT INTO payments_payment (gateway, payment_id, order_no, run_id, amount, currency, state, reason)
SELECT v.gateway, v.payment_id, v.order_no, v.run_id, v.amount, %s, %s, ''
FROM unnest(%s::text[], %s::text[], %s::text[], %s::uuid[], %s::bigint[])
    AS v(gateway, payment_id, order_no, run_id, amount)
ON CONFLICT (gateway, payment_id) DO NOTHING
"""


@locking(no_lock_keys)
@set_based
def note_charge(calls: Sequence[Call[ToCharge]]) -> list[Answer]:
    """Write what was charged as payments that pay their orders, once these are confirmed.

    A charge that is undone has no payment, unless the gateway tells of its refund. If it does so although the order is
    confirmed, a person is called.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _CHARGED,
            [
                settings.CURRENCY,
                PaymentState.TAKEN.value,
                array(call.request.gateway for call in calls),
                array(call.results[call.step]["payment_id"] for call in calls),
                array(call.request.order_no for call in calls),
                uuid_array(call.run_id for call in calls),
                array(call.request.total_cents for call in calls),
            ],
        )
        fresh = cursor.rowcount
    if fresh < len(calls):
        _review_returned(calls)
    return [Done() for _ in calls]


def _review_returned(calls: Sequence[Call[ToCharge]]) -> None:
    """Call a person for charges that the gateway has returned, wholly or in part, without being asked."""
    told = Payment.objects.select_for_update().filter(run_id__in=[call.run_id for call in calls])
    for payment in told.exclude(state=PaymentState.TAKEN).filter(returned_amount__gt=0).order_by("id"):
        start_review(payment, Outcome.REFUNDED)
        payment.save(update_fields=["review_run_id"])


def _give_back(calls: Sequence[Call[Any]], *, later: bool) -> list[Answer]:
    taken = Payment.objects.select_for_update().filter(
        run_id__in=[call.run_id for call in calls], state=PaymentState.TAKEN
    )
    for payment in taken.order_by("id"):
        owe(payment, because=Outcome.UNDONE, later=later)
    return [Done() for _ in calls]
