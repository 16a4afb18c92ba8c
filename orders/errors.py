"""Errors with which the orders domain refuses a request before a saga begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request.

    Attributes:
        code: a stable word for programs, such as ``unknown-sku``.
        detail: one sentence for people.
        pointer: where in the body, as a JSON pointer such as ``/items/0/sku``.
    """

    code: str
    detail: str
    pointer: str


class OrderRefused(Exception):
    """The order cannot be accepted; ``faults`` says why, all of it at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(" ".join(fault.detail for fault in faults))
        self.faults = faults


class SoldOut(OrderRefused):
    """Many ask for what is sold out, and the order cannot succeed. It may be placed again at any time.

    Attributes:
        problem: a stable word for programs: ``out-of-stock`` or ``slot-full``. The fault has the code and the text with
            which the order's run would have failed.
    """

    def __init__(self, problem: str, fault: Fault) -> None:
        super().__init__([fault])
        self.problem = problem


class TooMuchOpen(Exception):
    """Too much is ordered and not paid, by this customer or from this address.

    Attributes:
        retry_after: seconds in which that changes.
    """

    def __init__(self, why: str, retry_after: int) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class OrderNumberTaken(Exception):
    """The drawn order number exists; roll back and draw another."""


class ConditionFailed(Exception):
    """What the order depends on does not hold; nothing was written."""


class OrderNotFound(Exception):
    """The customer has no such order."""


class JoinRefused(Exception):
    """A campaign cannot be joined, or not be left. Its message is for the customer.

    Attributes:
        code: a stable word for programs: ``campaign-closed``, ``campaign-full``, ``already-joined`` or
            ``group-formed``.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NoSuchCampaign(Exception):
    """There is no such campaign."""
