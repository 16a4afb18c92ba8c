"""Additions to the OpenAPI schema that the views do not have."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiParameter, OpenApiResponse

from orders.api.protocol.problems import MEDIA_TYPE
from orders.api.serializers import ProblemSerializer

#: Statuses of any request.
_ALWAYS = (400, 401, 406, 415, 429, 500, 503)
_MEANING = {
    400: "The body is no JSON, a header or a query parameter is malformed, or there is no such parameter.",
    401: "The token or the signature is missing or wrong.",
    403: "This is for people with a permission that you lack.",
    404: "There is no such thing, or it is another customer's.",
    406: "Only JSON is spoken here.",
    409: "The order was already decided otherwise; or the first request with this Idempotency-Key is at work; or many "
    "order what is sold out (`out-of-stock`, `slot-full`).",
    413: "The body is larger than 64 KiB.",
    415: "Only application/json in UTF-8 is read, and not compressed.",
    422: "The request cannot be fulfilled; `errors` says what is wrong where.",
    429: "Too many requests in this minute.",
    500: "Something broke on our side.",
    503: "Overloaded, or the database is away: repeat after `Retry-After` seconds.",
}


def problems(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Document these statuses, and those of any request, as problems."""
    return {
        (status, MEDIA_TYPE): OpenApiResponse(ProblemSerializer, description=_MEANING[status])
        for status in sorted({*_ALWAYS, *statuses})
    }


ORDER_NO = OpenApiParameter(
    "order_no",
    {"type": "string", "pattern": "^[0-9A-Za-z-]{1,32}$", "example": "ORD-20261123-7K3M9QX2"},
    OpenApiParameter.PATH,
    description="The order's number.",
)
STORE = OpenApiParameter(
    "store",
    {"type": "string", "pattern": "^[0-9A-Za-z_-]{1,32}$", "example": "main"},
    OpenApiParameter.PATH,
    description="The store's code.",
)
TOKEN_ID = OpenApiParameter(
    "token_id",
    {"type": "string", "pattern": "^[0-9A-Za-z]{1,25}$", "example": "current"},
    OpenApiParameter.PATH,
    description="The token's `id`, or `current`.",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--~]{1,255})$'},
    OpenApiParameter.HEADER,
    description="Repeat a request with the same key within a day, and it is done once: each repeat gets the first "
    "answer, or 409 while the first is at work. A string of RFC 9651, or bare.",
)
LOCATION = OpenApiParameter(
    "Location", OpenApiTypes.URI_REF, OpenApiParameter.HEADER, response=[202], description="The order."
)
PREFER = [
    OpenApiParameter(
        "Prefer",
        {"type": "string", "example": "wait=8"},
        OpenApiParameter.HEADER,
        description="`wait=` and seconds, 30 at most (RFC 7240): wait until the order's steps are done, or one has "
        "refused. 200 then, with what became of it; 202 as ever where that takes longer, or too many wait already. "
        "Without it, an order that is due in a quarter of an hour waits 8 s, unless it says `respond-async`.",
    ),
    OpenApiParameter(
        "Preference-Applied",
        {"type": "string"},
        OpenApiParameter.HEADER,
        response=[200, 202],
        description="The preference, if the answer has waited.",
    ),
]
LONG_POLL = [
    OpenApiParameter(
        "Prefer",
        {"type": "string", "example": "wait=20"},
        OpenApiParameter.HEADER,
        description="`wait=` and seconds, 30 at most: with `If-None-Match`, wait for a change, and only then answer.",
    ),
    OpenApiParameter(
        "Preference-Applied",
        {"type": "string"},
        OpenApiParameter.HEADER,
        response=[200, 304],
        description="The preference, if the answer has waited.",
    ),
]
REPLAYED = OpenApiParameter(
    "Idempotency-Replayed",
    {"type": "string", "enum": ["true"]},
    OpenApiParameter.HEADER,
    response=[200, 202],
    description="If this is the answer to an earlier request with the key.",
)
SAGA_ID = OpenApiParameter(
    "X-Saga-ID",
    OpenApiTypes.UUID,
    OpenApiParameter.HEADER,
    response=[200, 202, 304],
    description="The saga of the order: by it, people find it in the admin.",
)
CONDITIONAL = [
    OpenApiParameter(
        "If-None-Match",
        {"type": "string", "example": 'W/"5f0c1e3a"'},
        OpenApiParameter.HEADER,
        description="The `ETag` that you have: 304 if that is the present one.",
    ),
    OpenApiParameter(
        "ETag", {"type": "string"}, OpenApiParameter.HEADER, response=[200, 304], description="The version; weak."
    ),
]
RATE = [
    OpenApiParameter(name, str, OpenApiParameter.HEADER, response=True, description=description)
    for name, description in (
        ("RateLimit-Policy", "Requests (`q`) in so many seconds (`w`), by the IETF's draft of RateLimit fields."),
        ("RateLimit", "How many are left (`r`), and in how many seconds (`t`) they are counted anew."),
    )
]
GATEWAY = OpenApiParameter(
    "gateway",
    {"type": "string", "pattern": "^[0-9A-Za-z_-]{1,32}$", "example": "main"},
    OpenApiParameter.PATH,
    description="The gateway's name in the shop's settings.",
)
SIGNATURE = [
    OpenApiParameter(name, str, OpenApiParameter.HEADER, required=True, description="Standard Webhooks.")
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
]


_PAYMENT: dict[str, Any] = {
    "order_no": "ORD-20261123-7K3M9QX2",
    "payment_id": "pay_1",
    "amount": 1900,
    "currency": "CNY",
    "status": "succeeded",
    "occurred_at": "2026-11-23T10:00:00Z",
}
#: A request that each operation with a body takes, where the names in it exist.
EXAMPLES: dict[str, dict[str, Any]] = {
    "log_in": {"username": "mei", "password": "correct horse battery staple"},
    "place_order": {
        "items": [{"sku": "OOLONG-M", "quantity": 2}],
        "slot": 1,
        "coupon": "WELCOME1",
        "expected_total_amount": 1900,
        "fulfilment": {"kind": "PICK_UP"},
    },
    "join_campaign": {"quantity": 2},
    "refund_order": {"lines": [{"sku": "OOLONG-M", "quantity": 1}], "reason": "one too many"},
    "rebook_order": {"slot": 2},
    "register_endpoint": {"url": "https://93.184.215.14/orders", "types": ["order.confirmed"]},
    "move_fulfilment": {"to": "MAKING", "version": 1},
    # Its day is tomorrow's.
    "open_slots": {"day": "2026-11-24", "minutes": 60, "capacity": 20},
    "confirm_order": _PAYMENT,
    "payment_webhook": _PAYMENT,
}

_OF_ORDER = {
    name: {"order_no": "$response.body#/order_no"}
    for name in ("get_order", "cancel_order", "create_events_ticket", "order_events", "rebook_order", "refund_order")
}
#: What may be done with an answer: by operation and status, the operations and where their parameters are.
LINKS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("place_order", "200"): _OF_ORDER,
    ("place_order", "202"): _OF_ORDER,
    ("join_campaign", "202"): _OF_ORDER,
    ("list_orders", "200"): {"get_order": {"order_no": "$response.body#/results/0/order_no"}},
    ("claim_coupon", "202"): {"get_claim": {"code": "$response.body#/coupon"}},
    ("campaigns", "200"): {name: {"campaign_id": "$response.body#/0/id"} for name in ("campaign", "join_campaign")},
    ("list_tokens", "200"): {"revoke_token": {"token_id": "$response.body#/0/id"}},
    ("register_endpoint", "201"): {
        name: {"endpoint_id": "$response.body#/id"} for name in ("test_endpoint", "remove_endpoint")
    },
    ("list_events", "200"): {"list_events": {"after": "$response.body#/after"}},
    ("list_fulfilments", "200"): {"move_fulfilment": {"order_no": "$response.body#/0/order_no"}},
}

#: Headers of any answer, and of answers with these statuses.
_HEADERS: dict[str, tuple[str, frozenset[str] | None]] = {
    "X-Request-ID": ("The request's id: the caller's, if it gave one. Problems and our log have it, too.", None),
    "traceparent": ("W3C Trace Context, if the request came with it or is recorded.", None),
    "WWW-Authenticate": ("What is asked for.", frozenset({"401"})),
    "Retry-After": ("Seconds until a repeat makes sense.", frozenset({"429", "503"})),
}

#: What a message to an endpoint has besides its body.
_MESSAGE_HEADERS = {
    "webhook-id": "The event's id: the same in every attempt. Who has it has the message.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970. Refuse what is five minutes old.",
    "webhook-signature": "Standard Webhooks: by the endpoint's secret, of id, timestamp and body.",
}


def complete(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Add what is the same for all operations, and the examples and links; a hook of drf-spectacular."""
    components = result["components"]
    components["headers"] = {
        header: {"description": about, "schema": {"type": "string"}} for header, (about, _) in _HEADERS.items()
    }
    components.setdefault("parameters", {})["X-Request-ID"] = {
        "name": "X-Request-ID",
        "in": "header",
        "description": "An id of your own for this request. One that does not fit is replaced.",
        "schema": {"type": "string", "example": "checkout-7f3a"},
    }
    for told in result.get("webhooks", {}).values():
        # Signed as gateways' messages are.
        told["post"]["parameters"] = [
            {"name": name, "in": "header", "required": True, "description": about, "schema": {"type": "string"}}
            for name, about in _MESSAGE_HEADERS.items()
        ]
    operations = (found for path in result["paths"].values() for found in path.values())
    for operation in operations:
        name: str = operation["operationId"]
        operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/X-Request-ID"})
        for status, response in operation["responses"].items():
            headers = response.setdefault("headers", {})
            for header, (_, statuses) in _HEADERS.items():
                if statuses is None or status in statuses:
                    headers[header] = {"$ref": f"#/components/headers/{header}"}
            if links := LINKS.get((name, status)):
                response["links"] = {
                    target: {"operationId": target, "parameters": dict(found)} for target, found in links.items()
                }
        if name in EXAMPLES:
            for content in operation["requestBody"]["content"].values():
                content["examples"] = {name: {"value": _example(name)}}
    return result


def _example(name: str) -> dict[str, Any]:
    found = EXAMPLES[name]
    return {**found, "day": str(timezone.localdate() + timedelta(days=1))} if "day" in found else found


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    """How a client authenticates."""

    target_class = "orders.api.protocol.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, str]:
        """Describe the header."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token` and the token, with a space between.",
        }


class TicketScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    """How a page opens a stream."""

    target_class = "orders.api.streams.TicketAuthentication"
    name = "ticket"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, str]:
        """Describe the parameter."""
        return {"type": "apiKey", "in": "query", "name": "ticket", "description": "Of one order, for a while."}


class StrictFields(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]  # registers itself, untyped
    """Objects without other fields than the documented ones."""

    target_class = "orders.api.protocol.unknown.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Say so."""
        found: dict[str, Any] = auto_schema._map_serializer(  # type: ignore[no-untyped-call]  # untyped there
            self.target, direction, bypass_extensions=True
        )
        return {**found, "additionalProperties": False}
