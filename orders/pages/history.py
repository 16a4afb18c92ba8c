"""A customer's orders: the list, one order as it stands, and cancelling it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from campaigns.models import Campaign
from delivery.models import Slot
from inventory.models import Sku
from orders import selectors, services
from orders.api import streams
from orders.api.protocol import reasons, throttles
from orders.errors import OrderNotFound
from orders.pages import refusals, stores, texts
from orders.selectors import OrderWithRun
from payments.models import Payment, PaymentState
from sagas import State
from sagas.states import FINAL, UNDECIDED

#: Orders of one page.
_PAGE = 20


@dataclass(frozen=True, slots=True)
class Row:
    """An order in the list."""

    shown: OrderWithRun
    state: Any
    total: str
    what: str


@never_cache
@require_safe
@login_required
def orders(request: HttpRequest) -> HttpResponse:
    """List one's orders, the newest first; ``before`` has the id from which the next page goes on."""
    before = refusals.whole_number(request.GET.get("before", ""))
    found = selectors.orders_of(customer_id=refusals.customer_of(request))
    if before:
        found = found.filter(id__lt=before)
    shown = selectors.with_standings(orders=list(found[: _PAGE + 1]))
    names = _names({line.sku for one in shown for line in one.order.lines.all()})
    rows = [
        Row(
            one,
            _("refunded") if _is_refunded(one) else texts.SHORT[State(one.run.state)],
            texts.money(one.order.total_cents) if one.order.total_cents is not None else "",
            ", ".join(f"{line.quantity} × {names.get(line.sku, line.sku)}" for line in one.order.lines.all()),
        )
        for one in shown[:_PAGE]
    ]
    more = rows[-1].shown.order.pk if len(shown) > _PAGE else None
    return render(request, "orders/pages/orders.html", {"rows": rows, "more": more})


@never_cache
@require_safe
@login_required
def order(request: HttpRequest, order_no: str) -> HttpResponse:
    """Show an order as it stands. While it moves, the page follows it by the API's server-sent events."""
    return page(request, order_no)


@never_cache
@require_POST
@login_required
def cancel(request: HttpRequest, order_no: str) -> HttpResponse:
    """Cancel an order that is not confirmed. A repeat finds it cancelled."""
    customer_id = refusals.customer_of(request)
    try:
        throttles.hold_back("cancels", f"customer {customer_id}")
        services.cancel_order(customer_id=customer_id, order_no=order_no)
    except OrderNotFound:
        raise Http404 from None
    except refusals.REFUSED as error:
        refused = refusals.refusal(error)
        return refusals.finish(page(request, order_no, list(refused.by_field.values())), refused)
    messages.success(request, _("The order is cancelled. What you paid goes back."))
    return redirect("my-order", order_no)


def page(request: HttpRequest, order_no: str, errors: list[str] | None = None) -> HttpResponse:
    """The page of an order as it stands, with what was refused."""
    customer_id = refusals.customer_of(request)
    try:
        shown = selectors.order_with_run(customer_id=customer_id, order_no=order_no)
    except OrderNotFound:
        raise Http404 from None
    state = State(shown.run.state)
    waits_for_payment = state in UNDECIDED and not texts.is_paid(shown)
    deadline = shown.run.deadline if waits_for_payment else None
    is_over = state in FINAL and (shown.fulfilment is None or shown.fulfilment.is_over)
    context: dict[str, Any] = {
        "order": shown.order,
        "run": shown.run,
        "state": state.value,
        "state_text": texts.state_text(shown),
        "reason": reasons.reason_text(shown.run.reason),
        "lines": _lines(shown),
        "total": _money(shown.order.total_cents),
        "discount": _money(shown.order.discount_cents or None),
        "refunded": _money(shown.order.refunded_cents or None),
        "slot": Slot.objects.filter(pk=shown.order.slot).select_related("store").first(),
        "campaign": Campaign.objects.filter(pk=shown.order.campaign).first() if shown.order.campaign else None,
        "steps": [(texts.step_text(step.name), texts.step_state_text(step.state)) for step in shown.run.steps],
        "payments": [_payment(payment) for payment in shown.payments],
        "deadline": deadline,
        "seconds": max(int((deadline - timezone.now()).total_seconds()), 0) if deadline else 0,
        "pay_at": _pay_at(shown) if waits_for_payment and shown.order.total_cents else "",
        "may_cancel": state in UNDECIDED,
        **stores.offers(shown),
        "events": streams.ticket_url(customer_id=customer_id, order_no=order_no) if not is_over else "",
        "errors": errors or [],
    }
    return render(request, "orders/pages/order.html", context)


def _is_refunded(shown: OrderWithRun) -> bool:
    """Whether nothing that was paid for an order is left."""
    return 0 < shown.order.refunded_cents == shown.order.total_cents


def _lines(shown: OrderWithRun) -> list[dict[str, Any]]:
    """What was ordered: the lines that a step has written, or what the run was asked for."""
    lines = list(shown.order.lines.all())
    names = _names({line.sku for line in lines})
    return [
        {
            "quantity": line.quantity,
            "name": names.get(line.sku, line.sku),
            "price": texts.money(line.quantity * line.unit_price_cents),
        }
        for line in lines
    ]


def _payment(payment: Payment) -> dict[str, Any]:
    return {
        "amount": texts.money(payment.amount),
        "state": texts.PAYMENT_STATES[PaymentState(payment.state)],
        "at": payment.received_at,
    }


def _pay_at(shown: OrderWithRun) -> str:
    """The address at which the gateway takes the payment, if the shop has named one."""
    if not settings.PAYMENT_PAGE:
        return ""
    return str(settings.PAYMENT_PAGE).format(
        order_no=shown.order.order_no, amount=shown.order.total_cents, currency=settings.CURRENCY
    )


def _money(cents: int | None) -> str:
    return "" if cents is None else texts.money(cents)


def _names(codes: set[str]) -> dict[str, str]:
    return dict(Sku.objects.filter(code__in=codes).values_list("code", "name"))
