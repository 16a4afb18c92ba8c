"""The types of problems, each with a page: a problem's ``type`` is the address of its page."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What a problem type means.

    Attributes:
        status: HTTP status, as a rule.
        means: what has happened.
        do: what the client does about it.
    """

    status: int
    means: str
    do: str


_REPEAT = "Repeat the request after Retry-After seconds, an order with the same Idempotency-Key."
_MEND = "Mend the request."
_READ = "Read the order."

TYPES = {
    "already-joined": ProblemType(409, "You are a member of this group buy already.", "Read your orders."),
    "another-order": ProblemType(409, "The signed payment names another order than the URL.", "Send it to its order."),
    "bad-request": ProblemType(400, "What came is no HTTP request, or is for a host that is not the shop's.", _MEND),
    "body-too-large": ProblemType(413, "The body is larger than 64 KiB.", "Order less at once."),
    "campaign-closed": ProblemType(409, "The group buy takes no more joins.", "Read the group buys again."),
    "campaign-full": ProblemType(
        409, "The group buy has no place, or not so many cups left.", "Try again: unpaid places are free after a while."
    ),
    "campaign-not-found": ProblemType(404, "There is no such group buy.", "Read the group buys."),
    "campaign-takes-no-coupons": ProblemType(422, "No coupons are taken at a group's price.", "Join without it."),
    "coupon-gone": ProblemType(409, "Nothing is left of the coupon.", "Order without it."),
    "coupon-limit-reached": ProblemType(
        409, "You have had the coupon as often as one customer may.", "Read your coupons."
    ),
    "coupon-minimum": ProblemType(422, "The order costs less than its coupon asks for.", "Order more, or without it."),
    "coupon-not-found": ProblemType(
        404,
        "There is no such coupon, it has expired, is redeemed no more, or is another customer's.",
        "Look at the code again.",
    ),
    "coupon-not-usable": ProblemType(
        422,
        "There is no such coupon, it has expired, is redeemed no more, or is another customer's.",
        "Order without it.",
    ),
    "database-unavailable": ProblemType(503, "The database cannot serve the shop now.", _REPEAT),
    "day-unusable": ProblemType(
        422, "The store is not open on that day for so long, or the day is past or far ahead.", "Read the stores."
    ),
    "error": ProblemType(500, "Something went wrong for which there is no word yet.", "Read the detail."),
    "forbidden": ProblemType(403, "You may not do this.", "Ask the shop."),
    "fulfilment-not-found": ProblemType(404, "No store has this order: it is not confirmed.", "Read the queue."),
    "group-formed": ProblemType(409, "The group has formed: nobody leaves it any more.", _READ),
    "header-too-large": ProblemType(431, "The request's head is larger than 16 KiB.", _MEND),
    "idempotency-key-reused": ProblemType(
        422, "The Idempotency-Key came before with another request.", "Draw a new key for a new request."
    ),
    "illegal-move": ProblemType(409, "From its state the order cannot go there.", "Read the queue again."),
    "endpoint-not-found": ProblemType(
        404, "There is no such endpoint, it is another customer's, or it is disabled.", "List your endpoints."
    ),
    "endpoint-refused": ProblemType(422, "The address cannot be registered for webhooks.", "Read detail."),
    "inactive-sku": ProblemType(422, "The drink is not on the menu any more.", "Read the menu again."),
    "inactive-slot": ProblemType(422, "The slot takes no more orders.", "Read the slots again."),
    "internal-error": ProblemType(500, "Something broke on our side; it has been logged.", _REPEAT),
    "invalid-credentials": ProblemType(401, "Name and password do not fit.", "Try again, a few times."),
    "invalid-event-id": ProblemType(
        400, "The id of the last event is no number.", "Send the id of the last event that came, or none."
    ),
    "invalid-idempotency-key": ProblemType(
        400, "The Idempotency-Key is none, or there are several that differ.", "Send one, of up to 255 characters."
    ),
    "invalid-request": ProblemType(422, "The request does not fit.", "Read errors: each has a JSON pointer."),
    "invalid-signature": ProblemType(
        401, "The webhook's signature is missing, wrong, or of another time.", "Sign it as Standard Webhooks says."
    ),
    "length-required": ProblemType(
        411, "The body came in chunks to a server that cannot read such.", "Say its length."
    ),
    "malformed-json": ProblemType(400, "The body is no JSON, or nested too deeply.", _MEND),
    "method-not-allowed": ProblemType(405, "The method is not for this address.", "Use one that Allow names."),
    "no-courier": ProblemType(422, "Nothing is brought by courier at present.", "Pick it up, or order for a slot."),
    "not-acceptable": ProblemType(406, "Accept refuses JSON, which is all there is.", "Accept application/json."),
    "not-found": ProblemType(404, "There is nothing at this address.", "Look at the API's documentation."),
    "not-rebookable": ProblemType(409, "The order is not confirmed, or its slot takes no changes any more.", _READ),
    "nothing-left-to-refund": ProblemType(409, "So much is not left of the order to be refunded.", _READ),
    "order-decided": ProblemType(409, "The order is decided already: confirmed, or at an end.", _READ),
    "order-not-confirmed": ProblemType(
        409, "The order is not confirmed, so it is not refunded.", "Cancel it, or wait."
    ),
    "order-not-found": ProblemType(404, "There is no such order, or it is another customer's.", "Read your orders."),
    "order-refused": ProblemType(422, "Several things keep the order from being accepted.", "Read errors."),
    "order-undone": ProblemType(
        409, "The order is undone, or being undone; its payment is due back.", "Place a new order."
    ),
    "out-of-stock": ProblemType(
        409,
        "Many order the drink, and so many cups are not left.",
        "Order another, or try again: unpaid cups come back.",
    ),
    "overloaded": ProblemType(503, "There are more orders than can be begun in time.", _REPEAT),
    "past-slot": ProblemType(422, "The delivery slot has begun already.", "Read the slots again."),
    "payment-conflict": ProblemType(
        409,
        "Another payment has paid the order, or this one is known for another order or amount.",
        "Wait: it is given back, or a person decides.",
    ),
    "payments-unavailable": ProblemType(503, "Payments cannot be taken at the moment.", _REPEAT),
    "price-changed": ProblemType(
        422, "The order costs something else than was expected.", "Show the customer the price of now, and ask again."
    ),
    "reason-missing": ProblemType(422, "An order is refused without a reason.", "Give one."),
    "request-in-progress": ProblemType(
        409, "The first request with this Idempotency-Key is still at work.", "Repeat it after Retry-After seconds."
    ),
    "request-timeout": ProblemType(408, "The request did not come whole in time.", "Repeat it, faster."),
    "slot-full": ProblemType(
        409,
        "Many order for the slot, and no place is left.",
        "Order for another, or try again: unpaid places come back.",
    ),
    "slot-unusable": ProblemType(
        409, "The new slot does not exist, is another store's, is full, or takes no orders.", "Read the slots."
    ),
    "stale-version": ProblemType(409, "Somebody has moved the order since it was read.", "Read the queue again."),
    "store-not-found": ProblemType(404, "There is no such store.", "Ask the shop for its code."),
    "token-not-found": ProblemType(404, "You have no such token.", "List your tokens."),
    "too-late-to-refund": ProblemType(409, "The drinks of the order are being made.", "Ask the shop."),
    "too-many-cups": ProblemType(422, "The order has more cups than one customer may have open.", "Order less."),
    "too-many-open-orders": ProblemType(
        429, "Too much is ordered and not paid, by you or from your address.", "Pay, or wait for Retry-After."
    ),
    "too-many-streams": ProblemType(
        503, "Too many clients wait at the moment.", "Ask for the order now and then, or open the stream later."
    ),
    "too-many-requests": ProblemType(429, "There were too many requests.", "Wait for Retry-After seconds."),
    "unauthenticated": ProblemType(401, "The token is missing, wrong, or out of date.", "Log in again."),
    "unknown-field": ProblemType(422, "The body has fields that do not exist.", "Read errors: each is named."),
    "unknown-parameter": ProblemType(400, "The URL has a query parameter that does not exist.", _MEND),
    "unknown-sku": ProblemType(422, "There is no such drink.", "Read the menu."),
    "unknown-slot": ProblemType(422, "There is no such delivery slot.", "Read the slots."),
    "unknown-transfer-encoding": ProblemType(501, "The body's Transfer-Encoding is not chunked.", _MEND),
    "unsupported-content-encoding": ProblemType(415, "The body is compressed.", "Send it as it is."),
    "unsupported-media-type": ProblemType(415, "The body is not called JSON in UTF-8.", "Send application/json."),
    "uri-too-long": ProblemType(414, "The request's first line is longer than 8 KiB.", _MEND),
    "webhook-id-reused": ProblemType(
        422, "Another message of the gateway came under this webhook-id.", "Give each message an id of its own."
    ),
    "wrong-amount": ProblemType(409, "The payment is not what the order costs; it is due back.", "Pay the total."),
    "wrong-currency": ProblemType(409, "The payment is in another currency; it is due back.", "Pay in the shop's."),
}


def title(code: str) -> str:
    """The title of a type: "Not found" for "not-found"."""
    return code.replace("-", " ").capitalize()


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List them all."""
    return _page(request, "The API's problems", TYPES)


@require_safe
def page(request: HttpRequest, code: str) -> HttpResponse:
    """Explain one."""
    if code not in TYPES:
        raise Http404
    return _page(request, title(code), {code: TYPES[code]})


def _page(request: HttpRequest, heading: str, types: dict[str, ProblemType]) -> HttpResponse:
    rows = [{"code": code, "title": title(code), "type": found} for code, found in types.items()]
    return render(request, "orders/problems.html", {"heading": heading, "rows": rows})
