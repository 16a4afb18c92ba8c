"""Webhooks out: a customer registers addresses, is told there of orders, and may read the same events here."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    OpenApiWebhook,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.models import FulfilmentState
from orders import events
from orders.api.protocol import lists, unknown
from orders.api.protocol.fields import Amount, Currency
from orders.api.protocol.problem_types import told
from orders.api.protocol.problems import Problem
from orders.api.schema import RATE, problems
from orders.api.views import View, customer_of
from orders.events import KINDS
from webhooks import selectors, sending, services
from webhooks.errors import EndpointNotFound, EndpointRefused
from webhooks.models import API_VERSION, URL_LIMIT

#: The most events of a page.
_PAGE = 100
ENDPOINT_ID = OpenApiParameter(
    "endpoint_id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH, description="The endpoint's `id`."
)


class EndpointRequestSerializer(unknown.StrictSerializer):
    """An address to be registered."""

    url = serializers.CharField(max_length=URL_LIMIT, help_text="https, on port 443 or 8443, of a public server.")
    types = serializers.ListField(
        child=serializers.ChoiceField(choices=KINDS), required=False, default=list, help_text="None: all."
    )


class EndpointSerializer(serializers.Serializer[Any]):
    """A registered address."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    types = serializers.ListField(child=serializers.CharField(), source="kinds")
    created_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True, help_text="When something was taken last; to a minute.")
    disabled_at = serializers.DateTimeField(allow_null=True)
    disabled_reason = serializers.CharField(allow_blank=True)


class RegisteredSerializer(EndpointSerializer):
    """A registered address, with its secret."""

    secret = serializers.CharField(help_text="What signs the messages (Standard Webhooks).")


class EventSerializer(serializers.Serializer[Any]):
    """An event, as it is sent to endpoints."""

    id = serializers.CharField(help_text="The same in every attempt and at every endpoint.")
    type = serializers.CharField()
    api_version = serializers.CharField()
    subject = serializers.CharField(help_text="The order's number.")
    sequence = serializers.IntegerField(help_text="Counts the events of an order, from 1: messages may overtake.")
    created_at = serializers.DateTimeField()
    data = serializers.DictField()  # type: ignore[assignment]  # a field, as the event names it


class EventPageSerializer(serializers.Serializer[Any]):
    """Events, the oldest first."""

    results = EventSerializer(many=True)
    after = serializers.CharField(help_text="Ask with this for what comes next. It stays the same while nothing comes.")


class _OrderFactSerializer(serializers.Serializer[Any]):
    """An order, as it was accepted."""

    order_no = serializers.CharField()
    total_amount = Amount()
    discount_amount = Amount()
    currency = Currency()
    slot = serializers.IntegerField()

    class Meta:
        """Its name in the document."""

        ref_name = "ToldOrder"


class _MoveFactSerializer(serializers.Serializer[Any]):
    """How far the store has come with a confirmed order."""

    order_no = serializers.CharField()
    state = serializers.ChoiceField(choices=FulfilmentState.values)
    version = serializers.IntegerField(help_text="Counts the states, from 1.")
    at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="When it is to be ready.")
    reason = serializers.CharField(allow_blank=True, help_text="Why it is refused, or what was given back.")

    class Meta:
        """Its name in the document."""

        ref_name = "ToldFulfilment"


_ORDER_NO = "ORD-20261123-7K3M9QX2"
_ORDER: dict[str, Any] = {
    "order_no": _ORDER_NO,
    "total_amount": 2500,
    "discount_amount": 0,
    "currency": "CNY",
    "slot": 1,
}
_MOVE: dict[str, Any] = {
    "order_no": _ORDER_NO,
    "state": "MAKING",
    "version": 2,
    "at": "2026-11-23T10:20:00+00:00",
    "due_at": "2026-11-23T10:30:00+00:00",
    "reason": "",
}


def _message(kind: str, about: str, fact: type[serializers.Serializer[Any]] | None, **example: Any) -> OpenApiWebhook:
    """What an endpoint gets of one kind of event."""
    # A class of its own, because what is said of its schema is kept in the class.
    field: type[serializers.CharField] = type("Kind", (serializers.CharField,), {})
    kind_field = extend_schema_field({"type": "string", "const": kind})(field)()
    data_field = serializers.DictField() if fact is None else fact()
    name = "".join(word.title() for word in kind.split("."))
    fields = {"type": kind_field, "data": data_field, "__doc__": about}
    event = type(f"Told{name}Serializer", (EventSerializer,), fields)
    value = {
        "id": "evt_5f0c1e3a7b9d4c2e8a6f0b1d2c3e4f5a",
        "type": kind,
        "api_version": API_VERSION,
        "subject": _ORDER_NO,
        "sequence": 1,
        "created_at": "2026-11-23T10:00:00.123456Z",
        "data": {},
        **example,
    }
    taken = {
        "2XX": OpenApiResponse(description="Taken. Anything else is sent again, for three days."),
        "410": OpenApiResponse(description="The endpoint is disabled."),
    }
    return OpenApiWebhook(
        kind,
        extend_schema(
            operation_id=f"told_{kind.replace('.', '_')}",
            summary=kind,
            description=about,
            request=event,
            examples=[OpenApiExample(kind, value=value)],
            responses=taken,
        ),
    )


#: What the document has under ``webhooks`` (``SPECTACULAR_SETTINGS``).
PLACED = _message(events.PLACED, "The order's first step is done.", _OrderFactSerializer, data=_ORDER)
CONFIRMED = _message(events.CONFIRMED, "The order is confirmed.", _OrderFactSerializer, data=_ORDER, sequence=2)
REJECTED = _message(events.REJECTED, "The order is undone.", _OrderFactSerializer, data=_ORDER, sequence=2)
FULFILMENT = _message(
    events.FULFILMENT, "The store has come further with the order.", _MoveFactSerializer, data=_MOVE, sequence=3
)
TEST = _message(
    services.TEST, "What you have asked for, to try the endpoint.", None, subject="9c1f0b1d-2c3e-4f5a-8a6f-5f0c1e3a7b9d"
)


class EndpointsView(View):
    """A customer's endpoints."""

    rates = {"GET": "reads", "POST": "cancels"}

    @extend_schema(
        operation_id="list_endpoints",
        parameters=RATE,
        responses={200: EndpointSerializer(many=True), **problems()},
    )
    def get(self, request: Request) -> Response:
        """List your endpoints."""
        found = selectors.endpoints_of(customer_id=customer_of(request))
        return Response(EndpointSerializer(found, many=True).data)

    @extend_schema(
        operation_id="register_endpoint",
        parameters=RATE,
        request=EndpointRequestSerializer,
        responses={201: RegisteredSerializer, **problems(413, 422)},
    )
    def post(self, request: Request) -> Response:
        """Register an address. A repeat enables it again, with these types, and has the same secret."""
        body = EndpointRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = body.validated_data
        try:
            found = services.register(customer_id=customer_of(request), url=wanted["url"], kinds=wanted["types"])
        except EndpointRefused as error:
            raise Problem(422, "endpoint-refused", told("endpoint-refused", str(error))) from error
        return Response(RegisteredSerializer(found).data, status=201, headers={"Cache-Control": "no-store"})


class EndpointView(View):
    """One endpoint."""

    rates = {"DELETE": "cancels"}

    @extend_schema(
        operation_id="remove_endpoint", parameters=[ENDPOINT_ID, *RATE], responses={204: None, **problems(404)}
    )
    def delete(self, request: Request, endpoint_id: Any) -> Response:
        """Remove an endpoint. What waits to be sent there is dropped."""
        try:
            services.remove(customer_id=customer_of(request), endpoint_id=endpoint_id)
        except EndpointNotFound:
            raise _no_endpoint() from None
        return Response(status=204)


class EndpointTestView(View):
    """Trying an endpoint."""

    rates = {"POST": "cancels"}

    @extend_schema(
        operation_id="test_endpoint",
        parameters=[ENDPOINT_ID, *RATE],
        request=None,
        responses={202: EventSerializer, **problems(404, 413, 422)},
    )
    def post(self, request: Request, endpoint_id: Any) -> Response:
        """Send `endpoint.test` to one of your endpoints, as any other event is sent."""
        unknown.NothingSerializer(data=request.data).is_valid(raise_exception=True)
        try:
            event = services.send_test(customer_id=customer_of(request), endpoint_id=endpoint_id)
        except EndpointNotFound:
            raise _no_endpoint() from None
        return Response(sending.represent(event), status=202)


class EventListQuery(lists.Query):
    """Which of a customer's events are listed."""

    after = serializers.RegexField(
        r"\A[0-9]{1,18}-[0-9]{1,18}\Z", required=False, default="0-0", help_text="From the last page."
    )
    limit = serializers.IntegerField(required=False, default=_PAGE, min_value=1, max_value=_PAGE)
    type = serializers.ChoiceField(choices=[*KINDS, services.TEST], required=False)
    subject = lists.Code(required=False, help_text="Those of an order, by its number.")


class EventsView(View):
    """A customer's events."""

    parameters = EventListQuery.names()

    @extend_schema(
        operation_id="list_events",
        parameters=[EventListQuery, *RATE],
        responses={200: EventPageSerializer, **problems()},
    )
    def get(self, request: Request) -> Response:
        """List your events of the last 30 days, 100 at a time: those that were recorded while you had an endpoint.

        None is missed by asking for what comes after the last page, however long ago that was.
        """
        asked = EventListQuery.of(request)
        after = asked["after"]
        transaction, _, number = after.partition("-")
        found = selectors.events_after(
            customer_id=customer_of(request),
            after=(int(transaction), int(number)),
            limit=asked["limit"],
            filters=lists.filters(asked, {"type": "kind", "subject": "subject"}),
        )
        last = f"{found[-1].transaction}-{found[-1].pk}" if found else after
        return Response({"results": [sending.represent(event) for event in found], "after": last})


def _no_endpoint() -> Problem:
    return Problem(404, "endpoint-not-found", _("There is no such endpoint, or it is disabled."))
