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
    "another-order": ProblemType(409, "The signed payment names another order than the URL.", "Send it to its order."),
    "bad-request": ProblemType(400, "What came is no HTTP request, or is for a host that is not the shop's.", _MEND),
    "body-too-large": ProblemType(413, "The body is larger than 64 KiB.", "Order less at once."),
    "coupon-not-usable": ProblemType(
        422,
        "There is no such coupon, it has expired, is redeemed no more, or is another customer's.",
        "Order without it.",
    ),
    "database-unavailable": ProblemType(503, "The database cannot serve the shop now.", _REPEAT),
    "error": ProblemType(500, "Something went wrong for which there is no word yet.", "Read the detail."),
    "forbidden": ProblemType(403, "You may not do this.", "Ask the shop."),
    "header-too-large": ProblemType(431, "The request's head is larger than 16 KiB.", _MEND),
    "idempotency-key-reused": ProblemType(
        422, "The Idempotency-Key came before with another request.", "Draw a new key for a new request."
    ),
    "inactive-sku": ProblemType(422, "The drink is not on the menu any more.", "Read the menu again."),
    "inactive-slot": ProblemType(422, "The slot takes no more orders.", "Read the slots again."),
    "internal-error": ProblemType(500, "Something broke on our side; it has been logged.", _REPEAT),
    "invalid-credentials": ProblemType(401, "Name and password do not fit.", "Try again, a few times."),
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
    "not-acceptable": ProblemType(406, "Accept refuses JSON, which is all there is.", "Accept application/json."),
    "not-found": ProblemType(404, "There is nothing at this address.", "Look at the API's documentation."),
    "order-decided": ProblemType(409, "The order is decided already: confirmed, or at an end.", _READ),
    "order-not-found": ProblemType(404, "There is no such order, or it is another customer's.", "Read your orders."),
    "order-refused": ProblemType(422, "Several things keep the order from being accepted.", "Read errors."),
    "order-undone": ProblemType(
        409, "The order is undone, or being undone; its payment is due back.", "Place a new order."
    ),
    "overloaded": ProblemType(503, "There are more orders than can be begun in time.", _REPEAT),
    "past-slot": ProblemType(422, "The delivery slot has begun already.", "Read the slots again."),
    "payment-conflict": ProblemType(
        409,
        "Another payment has paid the order, or this one is known for another order or amount.",
        "Wait: it is given back, or a person decides.",
    ),
    "payments-unavailable": ProblemType(503, "Payments cannot be taken at the moment.", _REPEAT),
    "request-in-progress": ProblemType(
        409, "The first request with this Idempotency-Key is still at work.", "Repeat it after Retry-After seconds."
    ),
    "request-timeout": ProblemType(408, "The request did not come whole in time.", "Repeat it, faster."),
    "token-not-found": ProblemType(404, "You have no such token.", "List your tokens."),
    "too-many-cups": ProblemType(422, "The order has more cups than one customer may have open.", "Order less."),
    "too-many-open-orders": ProblemType(
        429, "Too much is ordered and not paid, by you or from your address.", "Pay, or wait for Retry-After."
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
