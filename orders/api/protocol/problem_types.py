"""The types of problems, each with a page: a problem's ``type`` is the address of its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What a problem type means.

    Attributes:
        status: HTTP status, as a rule.
        means: what has happened.
        do: what the client does about it.
    """

    status: int
    means: StrPromise
    do: StrPromise


_REPEAT = _("Repeat the request after Retry-After seconds, an order with the same Idempotency-Key.")
_MEND = _("Mend the request.")
_READ = _("Read the order.")

TYPES = {
    "already-joined": ProblemType(409, _("You are a member of this group buy already."), _("Read your orders.")),
    "another-order": ProblemType(
        409, _("The signed payment names another order than the URL."), _("Send it to its order.")
    ),
    "bad-request": ProblemType(400, _("What came is no HTTP request, or is for a host that is not the shop's."), _MEND),
    "body-too-large": ProblemType(413, _("The body is larger than 64 KiB."), _("Order less at once.")),
    "campaign-closed": ProblemType(409, _("The group buy takes no more joins."), _("Read the group buys again.")),
    "campaign-full": ProblemType(
        409,
        _("The group buy has no place, or not so many cups left."),
        _("Try again: unpaid places are free after a while."),
    ),
    "campaign-not-found": ProblemType(404, _("There is no such group buy."), _("Read the group buys.")),
    "campaign-takes-no-coupons": ProblemType(422, _("No coupons are taken at a group's price."), _("Join without it.")),
    "coupon-gone": ProblemType(409, _("Nothing is left of the coupon."), _("Order without it.")),
    "coupon-limit-reached": ProblemType(
        409, _("You have had the coupon as often as one customer may."), _("Read your coupons.")
    ),
    "coupon-minimum": ProblemType(
        422, _("The order costs less than its coupon asks for."), _("Order more, or without it.")
    ),
    "coupon-not-found": ProblemType(
        404,
        _("There is no such coupon, it has expired, is redeemed no more, or is another customer's."),
        _("Look at the code again."),
    ),
    "coupon-not-usable": ProblemType(
        422,
        _("There is no such coupon, it has expired, is redeemed no more, or is another customer's."),
        _("Order without it."),
    ),
    "database-unavailable": ProblemType(503, _("The database cannot serve the shop now."), _REPEAT),
    "day-unusable": ProblemType(
        422, _("The store is not open on that day for so long, or the day is past or far ahead."), _("Read the stores.")
    ),
    "error": ProblemType(500, _("Something went wrong for which there is no word yet."), _("Read the detail.")),
    "forbidden": ProblemType(403, _("You may not do this."), _("Ask the shop.")),
    "fulfilment-not-found": ProblemType(404, _("No store has this order: it is not confirmed."), _("Read the queue.")),
    "group-formed": ProblemType(409, _("The group has formed: nobody leaves it any more."), _READ),
    "header-too-large": ProblemType(431, _("The request's head is larger than 16 KiB."), _MEND),
    "idempotency-key-reused": ProblemType(
        422, _("The Idempotency-Key came before with another request."), _("Draw a new key for a new request.")
    ),
    "illegal-move": ProblemType(409, _("From its state the order cannot go there."), _("Read the queue again.")),
    "endpoint-not-found": ProblemType(
        404, _("There is no such endpoint, it is another customer's, or it is disabled."), _("List your endpoints.")
    ),
    "endpoint-refused": ProblemType(422, _("The address cannot be registered for webhooks."), _("Read detail.")),
    "inactive-sku": ProblemType(422, _("The drink is not on the menu any more."), _("Read the menu again.")),
    "inactive-slot": ProblemType(422, _("The slot takes no more orders."), _("Read the slots again.")),
    "internal-error": ProblemType(500, _("Something broke on our side; it has been logged."), _REPEAT),
    "invalid-credentials": ProblemType(401, _("Name and password do not fit."), _("Try again, a few times.")),
    "invalid-cursor": ProblemType(
        400,
        _("The cursor is none that a page of this list has offered, in this order."),
        _("Begin from the first page."),
    ),
    "invalid-event-id": ProblemType(
        400, _("The id of the last event is no number."), _("Send the id of the last event that came, or none.")
    ),
    "invalid-idempotency-key": ProblemType(
        400,
        _("The Idempotency-Key is none, or there are several that differ."),
        _("Send one, of up to 255 characters."),
    ),
    "invalid-parameter": ProblemType(
        400, _("A query parameter does not fit."), _("Read errors: each names its parameter.")
    ),
    "invalid-request": ProblemType(422, _("The request does not fit."), _("Read errors: each has a JSON pointer.")),
    "invalid-signature": ProblemType(
        401,
        _("The webhook's signature is missing, wrong, or of another time."),
        _("Sign it as Standard Webhooks says."),
    ),
    "length-required": ProblemType(
        411, _("The body came in chunks to a server that cannot read such."), _("Say its length.")
    ),
    "malformed-json": ProblemType(400, _("The body is no JSON, or nested too deeply."), _MEND),
    "method-not-allowed": ProblemType(405, _("The method is not for this address."), _("Use one that Allow names.")),
    "no-courier": ProblemType(
        422, _("Nothing is brought by courier at present."), _("Pick it up, or order for a slot.")
    ),
    "not-acceptable": ProblemType(406, _("Accept refuses JSON, which is all there is."), _("Accept application/json.")),
    "not-found": ProblemType(404, _("There is nothing at this address."), _("Look at the API's documentation.")),
    "not-rebookable": ProblemType(409, _("The order is not confirmed, or its slot takes no changes any more."), _READ),
    "nothing-left-to-refund": ProblemType(409, _("So much is not left of the order to be refunded."), _READ),
    "order-decided": ProblemType(409, _("The order is decided already: confirmed, or at an end."), _READ),
    "order-not-confirmed": ProblemType(
        409, _("The order is not confirmed, so it is not refunded."), _("Cancel it, or wait.")
    ),
    "order-not-found": ProblemType(
        404, _("There is no such order, or it is another customer's."), _("Read your orders.")
    ),
    "order-refused": ProblemType(422, _("Several things keep the order from being accepted."), _("Read errors.")),
    "order-undone": ProblemType(
        409, _("The order is undone, or being undone; its payment is due back."), _("Place a new order.")
    ),
    "out-of-stock": ProblemType(
        409,
        _("Many order the drink, and so many cups are not left."),
        _("Order another, or try again: unpaid cups come back."),
    ),
    "overloaded": ProblemType(503, _("There are more orders than can be begun in time."), _REPEAT),
    "past-slot": ProblemType(422, _("The delivery slot has begun already."), _("Read the slots again.")),
    "payment-conflict": ProblemType(
        409,
        _("Another payment has paid the order, or this one is known for another order or amount."),
        _("Wait: it is given back, or a person decides."),
    ),
    "payments-unavailable": ProblemType(503, _("Payments cannot be taken at the moment."), _REPEAT),
    "price-changed": ProblemType(
        422,
        _("The order costs something else than was expected."),
        _("Show the customer the price of now, and ask again."),
    ),
    "reason-missing": ProblemType(422, _("An order is refused without a reason."), _("Give one.")),
    "request-in-progress": ProblemType(
        409,
        _("The first request with this Idempotency-Key is still at work."),
        _("Repeat it after Retry-After seconds."),
    ),
    "request-timeout": ProblemType(408, _("The request did not come whole in time."), _("Repeat it, faster.")),
    "slot-full": ProblemType(
        409,
        _("Many order for the slot, and no place is left."),
        _("Order for another, or try again: unpaid places come back."),
    ),
    "slot-unusable": ProblemType(
        409, _("The new slot does not exist, is another store's, is full, or takes no orders."), _("Read the slots.")
    ),
    "stale-version": ProblemType(409, _("Somebody has moved the order since it was read."), _("Read the queue again.")),
    "store-not-found": ProblemType(404, _("There is no such store."), _("Ask the shop for its code.")),
    "token-not-found": ProblemType(404, _("You have no such token."), _("List your tokens.")),
    "too-late-to-refund": ProblemType(409, _("The drinks of the order are being made."), _("Ask the shop.")),
    "too-many-cups": ProblemType(422, _("The order has more cups than one customer may have open."), _("Order less.")),
    "too-many-open-orders": ProblemType(
        429, _("Too much is ordered and not paid, by you or from your address."), _("Pay, or wait for Retry-After.")
    ),
    "too-many-streams": ProblemType(
        503, _("Too many clients wait at the moment."), _("Ask for the order now and then, or open the stream later.")
    ),
    "too-many-requests": ProblemType(429, _("There were too many requests."), _("Wait for Retry-After seconds.")),
    "unauthenticated": ProblemType(401, _("The token is missing, wrong, or out of date."), _("Log in again.")),
    "unknown-field": ProblemType(422, _("The body has fields that do not exist."), _("Read errors: each is named.")),
    "unknown-parameter": ProblemType(400, _("The URL has a query parameter that does not exist."), _MEND),
    "unknown-sku": ProblemType(422, _("There is no such drink."), _("Read the menu.")),
    "unknown-slot": ProblemType(422, _("There is no such delivery slot."), _("Read the slots.")),
    "unknown-transfer-encoding": ProblemType(501, _("The body's Transfer-Encoding is not chunked."), _MEND),
    "unsupported-content-encoding": ProblemType(415, _("The body is compressed."), _("Send it as it is.")),
    "unsupported-media-type": ProblemType(415, _("The body is not called JSON in UTF-8."), _("Send application/json.")),
    "uri-too-long": ProblemType(414, _("The request's first line is longer than 8 KiB."), _MEND),
    "webhook-id-reused": ProblemType(
        422, _("Another message of the gateway came under this webhook-id."), _("Give each message an id of its own.")
    ),
    "wrong-amount": ProblemType(
        409, _("The payment is not what the order costs; it is due back."), _("Pay the total.")
    ),
    "wrong-currency": ProblemType(
        409, _("The payment is in another currency; it is due back."), _("Pay in the shop's.")
    ),
}


def title(code: str) -> str:
    """The title of a type: "Not found" for "not-found"; in another language than English, what it means."""
    if is_english() or code not in TYPES:
        return code.replace("-", " ").capitalize()
    return str(TYPES[code].means)


def told(code: str, detail: str) -> str:
    """What a person reads where another app has written ``detail``: that in English, else what the type means."""
    return detail if is_english() or code not in TYPES else str(TYPES[code].means)


def is_english() -> bool:
    """Whether who is answered reads what is written in the code."""
    return (get_language() or "en").startswith("en")


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List them all."""
    return _page(request, gettext("The API's problems"), TYPES)


@require_safe
def page(request: HttpRequest, code: str) -> HttpResponse:
    """Explain one."""
    if code not in TYPES:
        raise Http404
    return _page(request, title(code), {code: TYPES[code]})


def _page(request: HttpRequest, heading: str, types: dict[str, ProblemType]) -> HttpResponse:
    rows = [{"code": code, "title": title(code), "type": found} for code, found in types.items()]
    return render(request, "orders/problems.html", {"heading": heading, "rows": rows})
