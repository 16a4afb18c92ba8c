"""What holds between payments, refunds and runs, at every commit."""

from __future__ import annotations

from payments import refunds
from sagas.invariants import RUNS, Invariant, Repair, RepairRefused, Violation, Walk

#: Hooks come after the commit that ends a run; so long they may take.
_SOON = "interval '2 minutes'"

_KEPT = """
SELECT run.id::text AS key, 'payments_payment ' || p.payment_id AS row, run.id AS run_id,
    jsonb_build_object('payment', p.id, 'payment_id', p.payment_id, 'order_no', p.order_no, 'amount', p.amount,
        'currency', p.currency) AS data
FROM sagas_run AS run JOIN payments_payment AS p ON p.run_id = run.id AND p.state = 'TAKEN'
WHERE run.id = ANY(%(keys)s::text[]::uuid[]) AND run.state = 'FAILED'
"""
_UNDONE = """
SELECT run.id::text AS key, 'payments_payment ' || p.payment_id AS row, run.id AS run_id,
    jsonb_build_object('payment_id', p.payment_id, 'order_no', p.order_no, 'amount', p.amount, 'state', p.state,
        'run', run.state) AS data
FROM sagas_run AS run JOIN payments_payment AS p ON p.run_id = run.id AND p.reason = 'undone'
WHERE run.id = ANY(%(keys)s::text[]::uuid[]) AND run.state IN ('CONFIRMING', 'SUCCEEDED')
"""
_SUMS = """
SELECT p.id::text AS key, 'payments_payment ' || p.payment_id AS row, p.run_id,
    jsonb_build_object('payment_id', p.payment_id, 'returning', p.returning_amount, 'returned', p.returned_amount,
        'requested', r.requested, 'made', r.made) AS data
FROM payments_payment AS p CROSS JOIN LATERAL (
    SELECT COALESCE(sum(amount) FILTER (WHERE state = 'REQUESTED'), 0) AS requested,
        COALESCE(sum(amount) FILTER (WHERE state = 'RETURNED'), 0) AS made
    FROM payments_refund WHERE payment_id = p.id
) AS r
WHERE p.id = ANY(%(keys)s::text[]::bigint[])
    AND (p.returning_amount, p.returned_amount) <> (r.requested, r.made)
"""
_PURSUED = f"""
SELECT r.id::text AS key, 'payments_refund ' || r.id AS row, r.id AS run_id,
    jsonb_build_object('refund', r.id, 'payment_id', p.payment_id, 'amount', r.amount,
        'run', COALESCE(run.state, 'not there')) AS data
FROM payments_refund AS r JOIN payments_payment AS p ON p.id = r.payment_id
LEFT JOIN sagas_run AS run ON run.id = r.id LEFT JOIN sagas_run AS review ON review.id = p.review_run_id
WHERE r.id = ANY(%(keys)s::text[]::uuid[]) AND r.state = 'REQUESTED' AND (
    run.id IS NULL OR run.state IN ('SUCCEEDED', 'FAILED') AND run.finished_at < clock_timestamp() - {_SOON}
        AND (run.state = 'SUCCEEDED' OR review.id IS NULL OR review.state IN ('SUCCEEDED', 'FAILED'))
)
"""


def _give_back(violation: Violation, *, reason: str, by: str) -> None:  # noqa: ARG001 - kept with the finding
    """Write a payment of an undone order as due back, and start its refund."""
    if not refunds.give_back_kept(violation.data["payment"]):
        msg = "The payment is not taken any more, or its order is not undone."
        raise RepairRefused(msg)


def _pursue(violation: Violation, *, reason: str, by: str) -> None:  # noqa: ARG001 - kept with the finding
    """Start the run of a refund that has none."""
    if not refunds.restart(violation.data["refund"]):
        msg = "The refund has a run, or is made: if the run was cancelled, `manage.py payments sweep` calls a person."
        raise RepairRefused(msg)


INVARIANTS = (
    Invariant(
        name="payments.kept",
        says="No payment is kept of an order that was undone.",
        walk=RUNS,
        sql=_KEPT,
        found="payment {payment_id} of order {order_no}, {amount} {currency} (minor units), is taken, and the order "
        "was undone",
        repair=Repair("start the refund of {amount} {currency} (minor units) of payment {payment_id}", _give_back),
    ),
    Invariant(
        name="payments.undone",
        says="No payment is returned as that of an undone order whose order is confirmed.",
        walk=RUNS,
        sql=_UNDONE,
        found="payment {payment_id} of order {order_no} is {state}, as that of an undone order, and the order is {run}",
        advice="Ask the gateway whether the money went back. If it did, refund nothing else, and see to the order.",
    ),
    Invariant(
        name="payments.sums",
        says="What a payment counts as returning and returned are the sums of its refunds.",
        walk=Walk("payments_payment", "id", "bigint", grows=True),
        sql=_SUMS,
        found="payment {payment_id} counts {returning} returning and {returned} returned, and its refunds come to "
        "{requested} and {made}",
        advice="Compare with the gateway's file (`manage.py payments import`). Restore the refund that is missing.",
    ),
    Invariant(
        name="payments.pursued",
        says="A refund that is not made has a run that makes it, or a person who was called.",
        walk=Walk("payments_refund", "id", "uuid", grows=True),
        sql=_PURSUED,
        found="{amount} (minor units) of payment {payment_id} are to be returned, and its run is {run}",
        advice="If the run has ended, `manage.py payments sweep` ends the refund, too, or calls a person.",
        repair=Repair("start the run of this refund again, under the same id, so that the gateway pays once", _pursue),
    ),
)
