"""The order page: choose drinks, a time and a coupon, and order them once, however often the button is pressed.

The page carries an idempotency key from its rendering. So a form that is sent twice is one order, and two pages with
the same basket are two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

import delivery.selectors
import inventory.selectors
from delivery.models import FulfilmentKind
from orders.api import placing
from orders.api.protocol import idempotency, throttles
from orders.api.protocol.addresses import customers_address
from orders.api.protocol.idempotency import Key
from orders.pages import refusals, texts
from orders.pages.refusals import Refusal
from orders.services import Wanted

#: The most cups of one drink, and the most slots that are shown.
MOST_CUPS, MOST_SLOTS = 99, 28
_KINDS = (FulfilmentKind.SLOT, FulfilmentKind.PICK_UP)
_LONGEST_COUPON = 32
_CUPS = "cups:"


@dataclass(frozen=True, slots=True)
class Basket:
    """What somebody has chosen, as far as it can be read.

    Attributes:
        cups: cups by code of the drink.
        slot: the time; 0 if none is chosen.
        coupon: the code; "" for none.
        kind: how the customer gets it.
        expected: what the page has shown that it costs, in cents.
        key: of the page.
        errors: what is wrong, by the field's name; "whole" for the whole.
    """

    cups: Mapping[str, int] = field(default_factory=dict)
    slot: int = 0
    coupon: str = ""
    kind: FulfilmentKind = FulfilmentKind.SLOT
    expected: int | None = None
    key: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def order(request: HttpRequest) -> HttpResponse:
    """Show the page; take what was chosen."""
    if request.method != "POST":
        return _page(request, Basket())
    basket = read(request.POST)
    if basket.errors:
        return _page(request, basket, status=422)
    try:
        order_no = _place(request, basket)
    except refusals.REFUSED as error:
        return _page(request, basket, refusal=refusals.refusal(error))
    return HttpResponseRedirect(reverse("my-order", args=[order_no]))


def read(form: QueryDict) -> Basket:
    """Read a form. What no page has offered is an error, and so is nothing at all."""
    errors: dict[str, str] = {}
    cups: dict[str, int] = {}
    for name in form:
        if not name.startswith(_CUPS):
            continue
        code, said = name.removeprefix(_CUPS), str(form[name]).strip()
        if not code.isprintable():
            errors["whole"] = _("The form is incomplete. Choose again.")
            continue
        number = refusals.whole_number(said or "0", most=MOST_CUPS)
        if number is None:
            errors["cups"] = _("A number of cups is between 0 and %(most)d.") % {"most": MOST_CUPS}
        elif number:
            cups[code] = number
    slot = refusals.whole_number(form.get("slot", ""))
    coupon = form.get("coupon", "").strip()
    kind = form.get("kind", FulfilmentKind.SLOT.value)
    key = refusals.key_of(form)
    if not cups and "cups" not in errors:
        errors["cups"] = _("Choose a drink.")
    if not slot:
        errors["slot"] = _("Choose a time.")
    if len(coupon) > _LONGEST_COUPON or not coupon.isprintable():
        errors["coupon"] = _("That is no code of a coupon.")
    if key is None or kind not in [allowed.value for allowed in _KINDS]:
        errors["whole"] = _("The form is incomplete. Choose again.")
        kind = FulfilmentKind.SLOT.value
    expected = refusals.whole_number(form.get("expected", ""))
    # What is paid with a coupon is known here only.
    return Basket(
        cups, slot or 0, coupon[:_LONGEST_COUPON], FulfilmentKind(kind), None if coupon else expected, key or "", errors
    )


def _place(request: HttpRequest, basket: Basket) -> str:
    customer_id = refusals.customer_of(request)
    throttles.hold_back("orders", f"customer {customer_id}")
    items = [Wanted(sku, quantity) for sku, quantity in sorted(basket.cups.items())]
    asked = {"items": dict(sorted(basket.cups.items())), "slot": basket.slot, "coupon": basket.coupon}
    answer = placing.order(
        customer_id=customer_id,
        items=items,
        slot=basket.slot,
        coupon=basket.coupon or None,
        expected_total_cents=basket.expected,
        fulfilment=basket.kind,
        address=customers_address(request),
        key=Key(basket.key, idempotency.fingerprint(request, {**asked, "kind": basket.kind.value})),
    )
    return str(answer.body["order_no"])


def _page(request: HttpRequest, basket: Basket, *, status: int = 200, refusal: Refusal | None = None) -> HttpResponse:
    errors = {**basket.errors, **(refusal.by_field if refusal else {})}
    drinks = [
        {
            "code": drink.code,
            "field": f"{_CUPS}{drink.code}",
            "name": drink.name,
            "price": texts.money(drink.price_cents),
            "cents": drink.price_cents,
            "available": drink.available,
            "is_scarce": 0 < drink.available <= 10,
            "cups": basket.cups.get(drink.code, 0),
        }
        for drink in inventory.selectors.menu()
    ]
    context: dict[str, Any] = {
        "drinks": drinks,
        "slots": delivery.selectors.upcoming()[:MOST_SLOTS],
        "kinds": _KINDS,
        "basket": basket,
        "errors": errors,
        "most": MOST_CUPS,
        "symbol": texts.symbol(),
        # A page that is shown again because something was wrong is still the same page.
        "key": basket.key or f"page-{uuid4()}",
    }
    return refusals.finish(render(request, "orders/pages/place.html", context, status=status), refusal)
