"""Webhooks out: a customer registers addresses, is told there of orders, and may read the same events here."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from orders.api.protocol import unknown
from orders.api.protocol.problems import Problem
from orders.api.schema import RATE, problems
from orders.api.views import View, customer_of
from orders.events import KINDS
from webhooks import selectors, sending, services
from webhooks.errors import EndpointNotFound, EndpointRefused
from webhooks.models import URL_LIMIT

_PLACE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
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
            raise Problem(422, "endpoint-refused", str(error)) from error
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


class EventsView(View):
    """A customer's events."""

    parameters = frozenset({"after"})

    @extend_schema(
        operation_id="list_events",
        parameters=[
            OpenApiParameter(
                "after", {"type": "string", "pattern": "^[0-9]{1,18}-[0-9]{1,18}$"}, description="From the last page."
            ),
            *RATE,
        ],
        responses={200: EventPageSerializer, **problems()},
    )
    def get(self, request: Request) -> Response:
        """List your events of the last 30 days, 100 at a time: those that were recorded while you had an endpoint.

        None is missed by asking for what comes after the last page, however long ago that was.
        """
        after = request._request.GET.get("after", "0-0")
        place = _PLACE.fullmatch(after)
        if place is None or not after.isascii():
            raise Problem(400, "invalid-event-id", "`after` is what the last page has.")
        found = selectors.events_after(
            customer_id=customer_of(request), after=(int(place[1]), int(place[2])), limit=_PAGE
        )
        last = f"{found[-1].transaction}-{found[-1].pk}" if found else after
        return Response({"results": [sending.represent(event) for event in found], "after": last})


def _no_endpoint() -> Problem:
    return Problem(404, "endpoint-not-found", "There is no such endpoint, or it is disabled.")
