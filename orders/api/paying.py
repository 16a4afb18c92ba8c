"""Payments over HTTP: the answer to a signed message of the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orders import services
from orders.api.problems import Problem
from payments.models import Outcome
from payments.services import Answer, Message, keep
from sagas import State


def receive(*, order_no: str, webhook_id: str, body: str, paid: Mapping[str, Any]) -> dict[str, Any]:
    """Keep a signed message that was sent to an order's URL, and answer it.

    Args:
        order_no: the order of the URL.
        webhook_id: the message's id.
        body: the signed text.
        paid: the validated content of the body.

    Raises:
        Problem: 404 or 409: the payment does not pay this order. The message is kept all the same.
    """
    message = Message(webhook_id=webhook_id, body=body, **paid)
    if message.order_no != order_no:
        # Otherwise a signed payment could be sent to any order's URL.
        keep(message, Outcome.ANOTHER_ORDER)
        raise Problem(409, "another-order", f"This payment is for order {message.order_no}, not for {order_no}.")
    answer = services.receive_payment(message=message)
    if answer.outcome not in {Outcome.TAKEN, Outcome.NOT_PAID}:
        raise _problem(message, answer)
    return {
        "order_no": order_no,
        "payment_id": message.payment_id,
        "outcome": "settled" if answer.settled else answer.outcome.value,
        "order_state": answer.state,
        "received_at": answer.received_at,
        "confirmed_at": answer.received_at if answer.settled else None,
    }


def _problem(message: Message, answer: Answer) -> Problem:
    """Say why a payment does not pay the order. It is given back, unless a person decides otherwise."""
    order = f"Order {message.order_no}"
    match answer.outcome:
        case Outcome.UNKNOWN_ORDER:
            return Problem(404, "order-not-found", f"There is no order {message.order_no}. The payment is due back.")
        case Outcome.DUPLICATE:
            return Problem(409, "payment-conflict", f"{order} is paid by another payment. This one is due back.")
        case Outcome.CONFLICT:
            detail = f"Payment {message.payment_id} is known for another order, or with another amount."
            return Problem(409, "payment-conflict", f"{detail} A person decides what it pays.")
        case Outcome.WRONG_AMOUNT | Outcome.WRONG_CURRENCY:
            code = answer.outcome.value.replace("_", "-")
            paid = f"{message.amount} {message.currency}, in minor units,"
            return Problem(409, code, f"{paid} is not what {order[0].lower()}{order[1:]} costs. It is due back.")
    undone = answer.state in {State.COMPENSATING, State.FAILED}
    code = "order-undone" if undone else "order-decided"
    return Problem(409, code, f"{order} is {answer.state}. The payment is due back.")
