"""The endpoints of stores: what customers see of them, another slot for an order, and what a store's staff does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

import delivery.selectors
import delivery.services
from delivery.errors import DayUnusable, DeliveryError, NotInQueue, ReasonMissing
from delivery.models import MOST_ORDERS, OPEN, Fulfilment, FulfilmentKind, FulfilmentState, OpeningHours, Store
from orders.api.protocol import conditional, lists
from orders.api.protocol.fields import Integer, Text
from orders.api.protocol.problem_types import told
from orders.api.protocol.problems import Problem
from orders.api.protocol.unknown import StrictSerializer
from orders.api.schema import CONDITIONAL, ORDER_NO, RATE, SAGA_ID, STORE, problems
from orders.api.serializers import SlotSerializer
from orders.api.views import View
from orders.fulfilment import services

#: Slots of each store that are listed.
MOST_SLOTS = 20
_MINUTE = timedelta(minutes=1)


class MayFulfil(BasePermission):
    """Staff of a store."""

    message = gettext_lazy("This is for a store's staff.")

    def has_permission(self, request: Request, _view: Any) -> bool:
        """Require ``delivery.fulfil``."""
        return request.user.has_perm("delivery.fulfil")


class HoursSerializer(serializers.Serializer[Any]):
    """From when to when a store is open on a day of the week, by its own clock."""

    weekday = serializers.ChoiceField(choices=OpeningHours.Weekday.values, help_text="1 is Monday.")
    opens = serializers.TimeField(format="%H:%M")
    closes = serializers.TimeField(format="%H:%M", help_text="00:00 is the end of the day.")


class ClosureSerializer(serializers.Serializer[Any]):
    """A time in which a store is closed although its hours say otherwise."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class StoreSerializer(serializers.Serializer[Any]):
    """A store, when it is open, and its next slots."""

    code = serializers.CharField(source="store.code")
    name = serializers.CharField(source="store.name")
    timezone = serializers.CharField(source="store.timezone", help_text="In which its hours are, as Asia/Shanghai.")
    cut_off_minutes = serializers.IntegerField(
        source="store.cut_off_minutes", help_text="How long before its begin a slot usually takes the last order."
    )
    hours = HoursSerializer(source="store.hours.all", many=True)
    closures = ClosureSerializer(source="store.closures.all", many=True, help_text="Those that are not over.")
    slots = SlotSerializer(many=True, help_text=f"The next that take orders, {MOST_SLOTS} at most.")


class OpenDaySerializer(StrictSerializer):
    """A day of a store, for which slots are to be made."""

    day = serializers.DateField(help_text="By the store's own clock: from today to a year ahead.")
    minutes = Integer(
        min_value=delivery.services.SHORTEST // _MINUTE,
        max_value=delivery.services.LONGEST // _MINUTE,
        help_text="How long each slot is.",
    )
    capacity = Integer(min_value=1, max_value=MOST_ORDERS, help_text="Orders of each slot.")


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


class StoresView(View):
    """The stores."""

    @extend_schema(
        operation_id="list_stores",
        parameters=[*CONDITIONAL, *RATE],
        responses={200: StoreSerializer(many=True), 304: None, **problems()},
    )
    def get(self, request: Request) -> Response:
        """List the stores: when they are open and closed, and their next slots."""
        found = delivery.selectors.store_views(most=MOST_SLOTS)
        return conditional.answer(request, StoreSerializer(found, many=True).data)


class OpenDayView(View):
    """Making the slots of a store's day."""

    permission_classes = (IsAuthenticated, MayFulfil)
    rates = {"POST": "reads"}

    @extend_schema(
        operation_id="open_slots",
        parameters=[STORE, *RATE],
        request=OpenDaySerializer,
        responses={200: SlotSerializer(many=True), **problems(403, 404, 409, 413, 422)},
    )
    def post(self, request: Request, store: str) -> Response:
        """Make the slots of a day, by the store's hours and outside its closures; the new ones are returned. For staff.

        Slots that there are stay as they are, and none is made that overlaps one of them: a repeat makes none.
        """
        found = Store.objects.filter(code=store).first()
        if found is None:
            raise _no_store()
        body = OpenDaySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        try:
            made = delivery.services.open_day(
                store=found.pk, day=asked["day"], length=asked["minutes"] * _MINUTE, capacity=asked["capacity"]
            )
        except DeliveryError as error:
            raise _problem(error) from error
        return Response(SlotSerializer(made, many=True).data)


class FulfilmentListQuery(lists.ListQuery):
    """Which part of a store's queue is listed, and how."""

    store = lists.Code(help_text="The store's code.")
    state = serializers.ChoiceField(choices=[str(state) for state in OPEN], required=False)
    kind = serializers.ChoiceField(choices=FulfilmentKind.values, required=False)
    due_before = lists.Moment(required=False, help_text="What is to be ready before this time.")
    ordering = lists.ordering("due_at", "-due_at")


class FulfilmentsView(View):
    """A store's queue."""

    permission_classes = (IsAuthenticated, MayFulfil)
    parameters = FulfilmentListQuery.names()

    @extend_schema(
        operation_id="list_fulfilments",
        parameters=[FulfilmentListQuery, *RATE],
        responses={200: lists.page_of(FulfilmentSerializer, "FulfilmentPageSerializer"), **problems(403, 404)},
    )
    def get(self, request: Request) -> Response:
        """List what a store has to do, the next first. For staff."""
        asked = FulfilmentListQuery.of(request)
        store = Store.objects.filter(code=asked["store"]).first()
        if store is None:
            raise _no_store()
        filters = lists.filters(asked, {"state": "state", "kind": "kind", "due_before": "due_at__lt"})
        found = delivery.selectors.queue(store=store.pk).filter(**filters).select_related("store")
        return Response(lists.paged(request, asked, found, by=asked["ordering"], write=_write_fulfilments))


def _write_fulfilments(found: list[Fulfilment]) -> Any:
    return FulfilmentSerializer(found, many=True).data


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
        parameters=[ORDER_NO, SAGA_ID, *RATE],
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
        rebooked = RebookedSerializer({"order_no": order.order_no, "slot": order.slot}).data
        return Response(rebooked, headers={"X-Saga-ID": str(order.run_id)})


def _no_store() -> Problem:
    return Problem(404, "store-not-found", _("There is no such store."))


def _problem(error: DeliveryError) -> Problem:
    match error:
        case NotInQueue():
            return Problem(404, error.code, _("There is no such order in a store: it is not confirmed."))
        case ReasonMissing():
            errors = [{"pointer": "#/reason", "code": "required", "detail": _("A refusal needs a reason.")}]
            return Problem(422, error.code, _("A refusal needs a reason."), errors=errors)
        case DayUnusable():
            errors = [{"pointer": "#/day", "code": error.code, "detail": told(error.code, f"{error}.")}]
            return Problem(422, error.code, told(error.code, f"{error}."), errors=errors)
    return Problem(409, error.code, told(error.code, f"{error}."))
