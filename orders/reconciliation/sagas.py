"""The saga that calls a person about findings: its run is escalated until none of its invariant is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MaxLen

from orders.reconciliation.models import Finding
from sagas import Call, Retry, Saga, Step

#: Rows that a notice names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class FindingsRequest:
    """The invariant that does not hold."""

    invariant: Annotated[str, MaxLen(64)]


class NotResolvedYet(Exception):
    """Something is still found: a person is to see to it."""


def begin(_call: Call[FindingsRequest]) -> None:
    """From here on the run only goes forward."""


def review(call: Call[FindingsRequest]) -> None:
    """Succeed once nothing of the invariant is found any more. Until then the run escalates, which calls a person."""
    found = Finding.objects.filter(invariant=call.request.invariant, resolved_at=None).order_by("id")
    count = found.count()
    if not count:
        return
    named = "; ".join(
        f"{row} (run {run_id})" if run_id else row for row, run_id in found.values_list("row", "run_id")[:_NAMED]
    )
    more = f", and {count - _NAMED} more" if count > _NAMED else ""
    msg = (
        f"{call.request.invariant} does not hold at {named}{more}. See Findings in the admin, or `manage.py reconcile`"
    )
    raise NotResolvedYet(msg)


class ReviewFindings(Saga[FindingsRequest]):
    """Call a person about what reconciliation has found. When nothing is found any more, its run ends."""

    name = "orders.ReviewFindings"

    begin = Step(begin, queue="orders", pivot=True)
    review = Step(review, queue="orders", retry=Retry(attempts=1))
