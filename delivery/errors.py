"""What the delivery domain refuses."""

from __future__ import annotations


class DeliveryError(Exception):
    """Base of the errors of this domain. ``code`` says which it is, for programs."""

    code = "delivery-refused"


class NotInQueue(DeliveryError):
    """There is no fulfilment of this order: it is not confirmed."""

    code = "fulfilment-not-found"


class StaleVersion(DeliveryError):
    """Somebody has moved the order since it was read."""

    code = "stale-version"


class IllegalMove(DeliveryError):
    """From its state the order cannot go there."""

    code = "illegal-move"


class NotSettled(DeliveryError):
    """The order is being confirmed, or waits for a person: it cannot be refunded yet, so it cannot be refused."""

    code = "order-not-confirmed"


class DayUnusable(DeliveryError):
    """The store is not open on that day for as long as a slot, or the day is past or far ahead."""

    code = "day-unusable"


class ReasonMissing(DeliveryError):
    """A refusal needs a reason."""

    code = "reason-missing"


class NotRebookable(DeliveryError):
    """The order has no confirmed place, or its slot takes no changes any more."""

    code = "not-rebookable"


class SlotUnusable(DeliveryError):
    """The new slot does not exist, is another store's, is full, or takes no orders."""

    code = "slot-unusable"
