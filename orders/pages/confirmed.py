"""What a customer does with a confirmed order until its slot closes: take another time, or give it back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from delivery.errors import NotRebookable, SlotUnusable
from orders.api.protocol import throttles
from orders.errors import OrderNotFound
from orders.fulfilment import services
from orders.pages import history, refusals
from orders.pages.refusals import Refusal
from orders.refunds import services as refunds


@never_cache
@require_POST
@login_required
def rebook(request: HttpRequest, order_no: str) -> HttpResponse:
    """Take another slot. A repeat finds it taken."""
    customer_id = refusals.customer_of(request)
    slot = refusals.whole_number(request.POST.get("slot", ""))
    try:
        throttles.hold_back("cancels", f"customer {customer_id}")
        services.rebook(customer_id=customer_id, order_no=order_no, slot=slot or 0)
    except OrderNotFound:
        raise Http404 from None
    except NotRebookable:
        return _refused(request, order_no, _("It is too late for another time."))
    except SlotUnusable:
        return _refused(request, order_no, _("That time is taken by now, or takes no orders. Choose another one."))
    except refusals.REFUSED as error:
        return _refuse(request, order_no, refusals.refusal(error))
    messages.success(request, _("You have another time."))
    return redirect("my-order", order_no)


@never_cache
@require_POST
@login_required
def give_back(request: HttpRequest, order_no: str) -> HttpResponse:
    """Give a confirmed order back, for the money. A repeat is the same refund."""
    customer_id = refusals.customer_of(request)
    try:
        throttles.hold_back("cancels", f"customer {customer_id}")
        refunds.refund_order(
            order_no=order_no,
            reason=refunds.BY_CUSTOMER,
            by=f"customer {customer_id}",
            customer_id=customer_id,
        )
    except OrderNotFound:
        raise Http404 from None
    except refunds.NotRefundable as error:
        return _refused(request, order_no, _too_late(error))
    except refusals.REFUSED as error:
        return _refuse(request, order_no, refusals.refusal(error))
    messages.success(request, _("The order is cancelled. What you paid goes back."))
    return redirect("my-order", order_no)


def _too_late(error: refunds.NotRefundable) -> str:
    """Why an order cannot be given back, to people."""
    match error.code:
        case "too-late-to-refund":
            return _("It is too late: the drinks are being made.")
        case "nothing-left-to-refund":
            return _("It is cancelled already.")
        case "group-formed":
            return _("The group has formed: nobody leaves it any more.")
        case "order-not-confirmed":
            return _("The order is not confirmed. Look again in a moment.")
    return str(error)


def _refused(request: HttpRequest, order_no: str, why: Any) -> HttpResponse:
    return _refuse(request, order_no, Refusal(409, "", {"whole": str(why)}, {}))


def _refuse(request: HttpRequest, order_no: str, refused: Refusal) -> HttpResponse:
    return refusals.finish(history.page(request, order_no, list(refused.by_field.values())), refused)
