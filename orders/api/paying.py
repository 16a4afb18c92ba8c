"""Payments over HTTP: the answer to a signed message of a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from orders import services
from orders.api.protocol.problem_types import told
from orders.api.protocol.problems import Problem
from orders.services import Paid
from payments.models import Outcome, Refund
from payments.services import Message, MessageIdReused, keep
from sagas import State

#: The outcomes to which ``orders/…/confirm/`` answers 200: the others say that the payment does not pay the order.
_FINE = frozenset({Outcome.TAKEN, Outcome.NOT_PAID, Outcome.CLOSED, Outcome.REFUNDED, Outcome.DISPUTED})


@dataclass(frozen=True, slots=True)
class Received:
    """The answer to a message that is kept.

    Attributes:
        body: as ``serializers.write_received`` takes it.
        awaits: the run for whose end the answer is worth waiting, as ``services.Paid`` has it.
    """

    body: dict[str, Any]
    awaits: UUID | None


def receive(*, gateway: str, webhook_id: str, body: str, said: Mapping[str, Any]) -> Received:
    """Keep a signed message, and answer what it came to. Everything that is kept is answered so.

    Args:
        gateway: whose message it is.
        webhook_id: the message's id.
        body: the signed text.
        said: the validated content of the body.

    Raises:
        Problem: 422: another message came under this id. This one is not kept.
    """
    message = Message(webhook_id=webhook_id, body=body, gateway=gateway, **said)
    paid = _receive(message)
    return Received(_answer(message, paid), paid.awaits)


def receive_for_order(
    *, order_no: str, gateway: str, webhook_id: str, body: str, said: Mapping[str, Any]
) -> dict[str, Any]:
    """As ``receive``, of a message that was sent to an order's URL: it says by its status whether it pays the order.

    Raises:
        Problem: 404 or 409: the payment does not pay this order. The message is kept all the same. 422 as ``receive``.
    """
    message = Message(webhook_id=webhook_id, body=body, gateway=gateway, **said)
    if message.order_no != order_no:
        # Otherwise a signed payment could be sent to any order's URL.
        _keep_of_another_order(message)
        raise _told(409, "another-order", f"This payment is for order {message.order_no}, not for {order_no}.")
    paid = _receive(message)
    if paid.answer.outcome not in _FINE:
        raise _problem(message, paid)
    return _answer(message, paid)


def _receive(message: Message) -> Paid:
    try:
        return services.receive_payment(message=message)
    except MessageIdReused as error:
        raise _reused(error) from error


def _keep_of_another_order(message: Message) -> None:
    try:
        keep(message, Outcome.ANOTHER_ORDER)
    except MessageIdReused as error:
        raise _reused(error) from error


def _reused(error: MessageIdReused) -> Problem:
    return _told(422, "webhook-id-reused", f"{str(error).capitalize()}. Give each message an id of its own.")


def _answer(message: Message, paid: Paid) -> dict[str, Any]:
    answer = paid.answer
    return {
        "order_no": message.order_no,
        "payment_id": message.payment_id,
        "outcome": "settled" if answer.settled and answer.outcome is Outcome.TAKEN else answer.outcome.value,
        "order_state": answer.state,
        "booking_id": paid.booking_id,
        "refund": None if answer.refund is None else _refund(answer.refund),
        "received_at": answer.received_at,
        "confirmed_at": answer.received_at if answer.settled else None,
    }


def _refund(refund: Refund) -> dict[str, Any]:
    return {
        "refund_id": str(refund.pk),
        "refund_amount": refund.amount,
        "currency": refund.payment.currency,
        "state": refund.state,
        "reason": refund.reason,
    }


def _told(status: int, code: str, detail: str) -> Problem:
    return Problem(status, code, told(code, detail))


def _problem(message: Message, paid: Paid) -> Problem:
    """Say why a payment does not pay the order. It is given back, unless a person decides otherwise."""
    order = f"Order {message.order_no}"
    answer = paid.answer
    match answer.outcome:
        case Outcome.UNKNOWN_ORDER:
            return _told(404, "order-not-found", f"There is no order {message.order_no}. The payment is due back.")
        case Outcome.DUPLICATE:
            return _told(409, "payment-conflict", f"{order} is paid by another payment. This one is due back.")
        case Outcome.CONFLICT:
            detail = f"The gateway's messages about payment {message.payment_id} contradict each other."
            return _told(409, "payment-conflict", f"{detail} A person decides what it pays.")
        case Outcome.WRONG_AMOUNT | Outcome.WRONG_CURRENCY:
            code = answer.outcome.value.replace("_", "-")
            told = f"{message.amount} {message.currency}, in minor units,"
            return _told(409, code, f"{told} is not what {order[0].lower()}{order[1:]} costs. It is due back.")
        case Outcome.PARKED:
            detail = f"{order} waits for a person. The payment is kept until the order goes on, or is undone."
            return _told(409, "order-decided", detail)
    undone = answer.state in {State.COMPENSATING, State.FAILED}
    code = "order-undone" if undone else "order-decided"
    return _told(409, code, f"{order} is {answer.state}. The payment is due back.")
