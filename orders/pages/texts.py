"""What customers read of an order, in their language: how it stands, and what its steps do."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from delivery.models import FulfilmentState
from delivery.selectors import Stage
from orders.selectors import OrderWithRun
from payments.models import PaymentState
from payments.refunds import CONFIRMATION as PAYMENT
from sagas import State
from sagas.selectors import StepState

_SYMBOLS = {"CNY": "¥"}


def symbol() -> str:
    """What stands before an amount of the shop's currency."""
    return _SYMBOLS.get(settings.CURRENCY, f"{settings.CURRENCY} ")


def money(cents: int) -> str:
    """Write an amount of the shop's currency."""
    sign, cents = ("−", -cents) if cents < 0 else ("", cents)
    return f"{sign}{symbol()}{cents // 100}.{cents % 100:02d}"


#: What an order waits for, or how it ended.
STATES = {
    State.PENDING: _("Received. We look whether everything is there."),
    State.EXECUTING: _("We look whether everything is there."),
    State.AWAITING_CONFIRM: _("Reserved for you. Please pay."),
    State.CONFIRMING: _("Paid. We confirm it."),
    State.SUCCEEDED: _("Confirmed."),
    State.COMPENSATING: _("It is being cancelled. What you paid goes back."),
    State.FAILED: _("Cancelled."),
    State.ESCALATED: _("Somebody of the shop looks after it."),
}
#: How a confirmed order stands in its store.
IN_STORE = {
    FulfilmentState.ACCEPTED: STATES[State.SUCCEEDED],
    FulfilmentState.MAKING: _("It is being made."),
    FulfilmentState.READY: _("It is ready."),
    FulfilmentState.HANDED_OVER: _("You have it."),
    FulfilmentState.NOT_COLLECTED: _("It was not collected."),
    FulfilmentState.REFUSED: _("Cancelled. What you paid goes back."),
}
#: What a refund has come to in the store: with all cups, the order is refused; with fewer, it stays accepted.
_REFUNDED = {
    FulfilmentState.REFUSED: _("cancelled"),
    FulfilmentState.ACCEPTED: _("partly refunded"),
}
#: The same in a word or two, for lists.
SHORT = {
    State.PENDING: _("received"),
    State.EXECUTING: _("in hand"),
    State.AWAITING_CONFIRM: _("to be paid"),
    State.CONFIRMING: _("paid"),
    State.SUCCEEDED: _("confirmed"),
    State.COMPENSATING: _("being cancelled"),
    State.FAILED: _("cancelled"),
    State.ESCALATED: _("with the shop"),
}
_PAID = _("Paid. We still wait for the rest.")
_GROUP = _("Paid. It is confirmed once the group has formed.")

_STEPS = {
    "create_order": _("Order"),
    "reserve_inventory": _("Drinks"),
    "apply_coupon": _("Coupon"),
    "schedule_delivery": _("Time"),
    "book_courier": _("Courier"),
    "charge": _("Payment"),
    "take_place": _("Place in the group"),
    "take_cups": _("Cups of the group"),
    "join": _("Membership"),
}
_STEP_STATES = {
    StepState.WAITING: _("to come"),
    StepState.CALLING: _("under way"),
    StepState.ACCEPTED: _("under way"),
    StepState.DONE: _("done"),
    StepState.HELD: _("reserved"),
    StepState.CONFIRMED: _("confirmed"),
    StepState.REJECTED: _("not possible"),
    StepState.FAILING: _("being tried again"),
    StepState.FAILED: _("not possible"),
    StepState.COMPENSATED: _("given back"),
    StepState.SKIPPED: _("not needed"),
    StepState.RESOLVED: _("settled by the shop"),
}
PAYMENT_STATES = {
    PaymentState.TAKEN: _("taken"),
    PaymentState.PARKED: _("with the shop"),
    PaymentState.DUE_BACK: _("goes back to you"),
    PaymentState.RETURNING: _("goes back to you"),
    PaymentState.RETURNED: _("is returned"),
    PaymentState.PARTLY_RETURNED: _("is partly returned"),
    PaymentState.CONFLICT: _("with the shop"),
}


def is_paid(shown: OrderWithRun) -> bool:
    """Whether the order's payment has come, as far as its run knows."""
    return PAYMENT in getattr(shown.run, "confirmations", {})


def state_text(shown: OrderWithRun) -> Any:
    """How an order stands, in a sentence."""
    state = State(shown.run.state)
    if state is State.SUCCEEDED and shown.fulfilment is not None:
        return IN_STORE[FulfilmentState(shown.fulfilment.work.state)]
    if state is State.AWAITING_CONFIRM and is_paid(shown):
        return _GROUP if shown.order.campaign else _PAID
    return STATES[state]


def stage_text(stage: Stage) -> Any:
    """What a store has come to with an order, in a word or two. What was given back is not called refused."""
    return _REFUNDED.get(stage.state, stage.state.label) if stage.is_refund else stage.state.label


def step_text(name: str) -> Any:
    """What a step is about; its name, if it is another team's."""
    return _STEPS.get(name, name)


def step_state_text(state: str) -> Any:
    """How far a step is."""
    return _STEP_STATES.get(StepState(state), state)
