"""Repairs of orders: the status follows the log of the run."""

from __future__ import annotations

from django.db import transaction

from orders.models import Order
from sagas import State
from sagas.invariants import RepairRefused, Violation
from sagas.models import Log
from sagas.store import runs


def restate_order(violation: Violation, *, reason: str, by: str) -> None:  # noqa: ARG001 - kept with the finding
    """Set an order to what the log of its run comes to, behind the run's lock. Only of a run that has ended."""
    run_id = violation.run_id
    assert run_id is not None
    with transaction.atomic():
        found = runs.lock([run_id])
        if not found or found[0].state not in {State.SUCCEEDED, State.FAILED}:
            msg = f"Run {run_id} has not ended: its next step writes the status, or fails and calls a person."
            raise RepairRefused(msg)
        done = set(
            Log.objects.filter(run_id=run_id, step="create_order", outcome="DONE").values_list("operation", flat=True)
        )
        status = "CONFIRMED" if "confirm" in done else "REJECTED"
        if not Order.objects.filter(run_id=run_id).update(status=status):
            msg = "The order is not there."
            raise RepairRefused(msg)
