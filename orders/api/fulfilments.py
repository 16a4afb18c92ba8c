"""The endpoints of a store's staff, and the customer's change of a slot."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

import delivery.selectors
from delivery.errors import DeliveryError, NotInQueue, ReasonMissing
from delivery.models import FulfilmentKind, FulfilmentState, Store
from orders.api.protocol.fields import Integer, Text
from orders.api.protocol.problems import Problem
from orders.api.protocol.unknown import StrictSerializer
from orders.api.schema import ORDER_NO, RATE, problems
from orders.api.views import View
from orders.fulfilment import services

#: Orders of a queue that are listed at once.
MOST = 500


class MayFulfil(BasePermission):
    """Staff of a store."""

    message = "This is for a store's staff."

    def has_permission(self, request: Request, _view: Any) -> bool:
        """Require ``delivery.fulfil``."""
        return request.user.has_perm("delivery.fulfil")


class MadeSerializer(serializers.Serializer[Any]):
    """Cups of one SKU that are to be made."""

    sku = serializers.CharField(source="0")
    quantity = serializers.IntegerField(source="1")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Write a stored pair."""
        return {"sku": instance[0], "quantity": instance[1]}


class FulfilmentSerializer(serializers.Serializer[Any]):
    """What a store does for a confirmed order."""

    order_no = serializers.CharField()
    store = serializers.CharField(source="store.code")
    slot = serializers.IntegerField()
    due_at = serializers.DateTimeField(help_text="When it is to be ready: the begin of its slot.")
    kind = serializers.ChoiceField(choices=FulfilmentKind.values)
    items = MadeSerializer(source="lines", many=True)
    state = serializers.ChoiceField(choices=FulfilmentState.values)
    version = serializers.IntegerField(help_text="Grows with each move; give it back to move the order.")
    changed_by = serializers.CharField(allow_blank=True)
    changed_at = serializers.DateTimeField()
    reason = serializers.CharField(allow_blank=True)


class MoveSerializer(StrictSerializer):
    """Where an order goes, by somebody who has seen it in ``version``."""

    to = serializers.ChoiceField(choices=[state for state in FulfilmentState.values if state != "ACCEPTED"])
    version = Integer(min_value=1, max_value=2**31 - 1)
    reason = Text(max_length=500, required=False, allow_blank=True, default="", help_text="Required for `REFUSED`.")


class RebookSerializer(StrictSerializer):
    """The slot that a customer wants instead."""

    slot = Integer(min_value=1, max_value=2**63 - 1)


class RebookedSerializer(serializers.Serializer[Any]):
    """An order and its new slot."""

    order_no = serializers.CharField()
    slot = serializers.IntegerField()


_STORE = OpenApiParameter(
    "store", OpenApiTypes.STR, OpenApiParameter.QUERY, required=True, description="The store's code."
)


class FulfilmentsView(View):
    """A store's queue."""

    permission_classes = (IsAuthenticated, MayFulfil)
    parameters = frozenset({"store"})

    @extend_schema(
        operation_id="list_fulfilments",
        parameters=[_STORE, *RATE],
        responses={200: FulfilmentSerializer(many=True), **problems(403, 404)},
    )
    def get(self, request: Request) -> Response:
        """List what a store has to do, the next first, 500 at most. For staff."""
        code = request.query_params.get("store", "")
        store = None if "\0" in code else Store.objects.filter(code=code).first()
        if store is None:
            raise Problem(404, "store-not-found", "There is no such store.")
        found = delivery.selectors.queue(store=store.pk).select_related("store")[:MOST]
        return Response(FulfilmentSerializer(found, many=True).data)


class MoveView(View):
    """Moving an order in its store's queue."""

    permission_classes = (IsAuthenticated, MayFulfil)
    rates = {"POST": "reads"}

    @extend_schema(
        operation_id="move_fulfilment",
        parameters=[ORDER_NO, *RATE],
        request=MoveSerializer,
        responses={200: FulfilmentSerializer, **problems(403, 404, 409, 413, 422)},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Move an order: accepted, making, ready, handed over or not collected. For staff.

        409 if somebody has moved it since `version`. `REFUSED`, with a reason, gives the customer the money back.
        """
        body = MoveSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        try:
            moved = services.move(
                order_no=order_no,
                to=FulfilmentState(asked["to"]),
                version=asked["version"],
                by=request.user.get_username(),
                reason=asked["reason"].strip(),
            )
        except DeliveryError as error:
            raise _problem(error) from error
        return Response(FulfilmentSerializer(moved).data)


class RebookView(View):
    """Another slot for a confirmed order."""

    rates = {"POST": "cancels"}

    @extend_schema(
        operation_id="rebook_order",
        parameters=[ORDER_NO, *RATE],
        request=RebookSerializer,
        responses={200: RebookedSerializer, **problems(404, 409, 413, 422)},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Take another slot of the same store for one of your confirmed orders, until its slot closes.

        The new place is booked before the old one is released: 409 if it cannot be had, and then nothing has changed.
        """
        body = RebookSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        customer = int(request.user.pk)  # type: ignore[arg-type]  # not None: authenticated
        try:
            order = services.rebook(customer_id=customer, order_no=order_no, slot=body.validated_data["slot"])
        except DeliveryError as error:
            raise _problem(error) from error
        return Response(RebookedSerializer({"order_no": order.order_no, "slot": order.slot}).data)


def _problem(error: DeliveryError) -> Problem:
    match error:
        case NotInQueue():
            return Problem(404, error.code, "There is no such order in a store: it is not confirmed.")
        case ReasonMissing():
            errors = [{"pointer": "#/reason", "code": "required", "detail": "A refusal needs a reason."}]
            return Problem(422, error.code, "A refusal needs a reason.", errors=errors)
    return Problem(409, error.code, f"{error}.")
