"""The endpoints: read the request, call a service or a selector, write the answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.db import Error
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.fields import ChoiceField
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from structlog.contextvars import bind_contextvars

import delivery.selectors
import inventory.selectors
import sagas
from delivery.addresses import Address
from delivery.models import FulfilmentKind
from orders import offers, selectors, services
from orders.api import paying, placing, serializers, waiting, webhooks
from orders.api.protocol import conditional, idempotency, lists, throttles, unknown
from orders.api.protocol.addresses import customers_address
from orders.api.protocol.idempotency import Answer, Key
from orders.api.protocol.problem_types import told
from orders.api.protocol.problems import Problem
from orders.api.schema import (
    CONDITIONAL,
    GATEWAY,
    IDEMPOTENCY_KEY,
    LOCATION,
    LONG_POLL,
    ORDER_NO,
    PREFER,
    RATE,
    REPLAYED,
    SAGA_ID,
    SIGNATURE,
    problems,
)
from orders.api.waiting import Late
from orders.models import Order, OrderStatus
from orders.refunds import services as refunds
from orders.services import Wanted
from payments import gateways
from sagas import State

logger = logging.getLogger(__name__)


def customer_of(request: Request) -> int:
    """Id of the authenticated user; the permissions have ensured that there is one."""
    return int(request.user.pk)  # type: ignore[arg-type]  # not None: authenticated


def _fulfilment(wanted: Mapping[str, Any] | None) -> dict[str, Any]:
    """How an order is to get to its customer, as ``placing.place`` takes it."""
    if wanted is None:
        return {}
    address = wanted["address"]
    return {
        "fulfilment": FulfilmentKind(wanted["kind"]),
        "deliver_to": None if address is None else Address(**address),
    }


class View(APIView):
    """A view that refuses what it would otherwise ignore: compressed bodies, and unknown query parameters.

    A misspelt ``cursor`` would begin from the start again.
    """

    #: Known query parameters; ``None`` for views whose callers do not choose their URLs.
    parameters: frozenset[str] | None = frozenset()
    #: By method, the rate to which its requests count.
    rates: Mapping[str, str] = {"GET": "reads"}
    throttle_classes = [throttles.PerMinute]

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add what is left of the rate to the answer."""
        if standing := request.META.get("drinkgroup.standing"):
            for name, value in standing.headers().items():
                response[name] = value
        return super().finalize_response(request, response, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check both after authentication and permissions."""
        super().initial(request, *args, **kwargs)
        encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise Problem(
                415,
                "unsupported-content-encoding",
                _("Send the body as it is."),
                headers={"Accept-Encoding": "identity"},
            )
        if self.parameters is None:
            return
        for name in request._request.GET:
            if name not in self.parameters:
                raise Problem(400, "unknown-parameter", unknown.complaint("query parameter", name, self.parameters))


class MenuQuery(lists.Query):
    """Which drinks are listed."""

    available = lists.Flag(required=False, help_text="`true`: only those of which there are cups now.")


class MenuView(View):
    """The menu."""

    parameters = MenuQuery.names()

    @extend_schema(
        operation_id="menu",
        parameters=[MenuQuery, *CONDITIONAL, *RATE],
        responses={200: serializers.SkuSerializer(many=True), 304: None, **problems()},
    )
    def get(self, request: Request) -> Response:
        """List the drinks by their codes, with what is available now. It may be gone when an order is processed."""
        menu = inventory.selectors.menu()
        if (available := MenuQuery.of(request).get("available")) is not None:
            menu = menu.filter(available__gt=0) if available else menu.filter(available__lte=0)
        return conditional.answer(request, serializers.SkuSerializer(menu, many=True).data)


class SlotsQuery(lists.Query):
    """Which slots are listed."""

    store = lists.Code(required=False, help_text="Those of a store, by its code.")
    available = lists.Flag(required=False, help_text="`true`: only those with places now.")
    starts_after = lists.Moment(required=False, help_text="That begin at or after this time.")
    starts_before = lists.Moment(required=False, help_text="That begin before this time.")


_SLOT_FILTERS = {"store": "store__code", "starts_after": "starts_at__gte", "starts_before": "starts_at__lt"}


class SlotsView(View):
    """The delivery slots."""

    parameters = SlotsQuery.names()

    @extend_schema(
        operation_id="slots",
        parameters=[SlotsQuery, *CONDITIONAL, *RATE],
        responses={200: serializers.SlotSerializer(many=True), 304: None, **problems()},
    )
    def get(self, request: Request) -> Response:
        """List the coming delivery slots, the next first."""
        asked = SlotsQuery.of(request)
        slots = delivery.selectors.upcoming().filter(**lists.filters(asked, _SLOT_FILTERS))
        if (available := asked.get("available")) is not None:
            slots = slots.filter(available__gt=0) if available else slots.filter(available=0)
        return conditional.answer(request, serializers.SlotSerializer(slots, many=True).data)


class OrderListQuery(lists.ListQuery):
    """Which of a customer's orders are listed, and how."""

    status = ChoiceField(choices=OrderStatus.values, required=False, help_text="What the order's steps have come to.")
    slot = lists.Id(required=False, help_text="The delivery slot's id.")
    campaign = lists.Id(required=False, help_text="Those of a group buy.")
    created_after = lists.Moment(required=False, help_text="Accepted at or after this time.")
    created_before = lists.Moment(required=False, help_text="Accepted before this time.")
    ordering = lists.ordering("-created_at", "created_at")


#: By parameter, what it is for the table.
_ORDER_FILTERS = {
    "status": "status",
    "slot": "slot",
    "campaign": "campaign",
    "created_after": "created_at__gte",
    "created_before": "created_at__lt",
}


def _write_orders(found: list[Order]) -> Any:
    return serializers.OrderSerializer(selectors.with_standings(orders=found), many=True).data


class OrdersView(View):
    """A customer's orders."""

    rates = {"GET": "reads", "POST": "orders"}
    parameters = OrderListQuery.names()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse new orders under overload before anything else is done for them, but never an accepted order's repeat.

        Whether a request is a repeat is known by its key and its customer, so a request with a key is authenticated.
        """
        is_new = request.method == "POST"
        if is_new and "HTTP_IDEMPOTENCY_KEY" not in request.META:
            sagas.check_admission()
        super().initial(request, *args, **kwargs)
        if is_new and (key := idempotency.key_of(request)) is not None:
            try:
                sagas.check_admission()
            except sagas.Overloaded:
                if not idempotency.is_repeat(customer_id=customer_of(request), key=key):
                    raise

    @extend_schema(
        operation_id="list_orders",
        parameters=[OrderListQuery, *RATE],
        responses={200: lists.page_of(serializers.OrderSerializer, "OrderPageSerializer"), **problems()},
    )
    def get(self, request: Request) -> Response:
        """List your orders, newest first."""
        asked = OrderListQuery.of(request)
        orders = selectors.orders_of(customer_id=customer_of(request)).filter(**lists.filters(asked, _ORDER_FILTERS))
        by = "-id" if asked["ordering"] == "-created_at" else "id"
        return Response(lists.paged(request, asked, orders, by=by, write=_write_orders))

    @extend_schema(
        operation_id="place_order",
        parameters=[IDEMPOTENCY_KEY, REPLAYED, *PREFER, LOCATION, SAGA_ID, *RATE],
        request=serializers.PlaceOrderSerializer,
        responses={
            200: serializers.OutcomeSerializer,
            202: serializers.AcceptedSerializer,
            **problems(409, 413, 422),
        },
    )
    def post(self, request: Request) -> HttpResponse:
        """Place an order. It is processed from now on; `Location` shows how far it has come.

        What is known at once to be wrong is refused here (422). Stock, the use of a coupon and the capacity of a
        slot are decided by the order's steps: such an order ends `FAILED`, with the reason.
        """
        key = idempotency.key_of(request)
        wanted = serializers.read_order(request.data)
        customer_id = customer_of(request)
        preferred = waiting.preferred_wait(request)
        waits = offers.is_urgent(slot=wanted["slot"]) if preferred is None else preferred > 0
        answer = self._place(request, customer_id, key, wanted)
        bind_contextvars(order_no=answer.body["order_no"])
        run_id = answer.run_id or selectors.run_of(order_no=answer.body["order_no"])
        headers = {"Location": answer.location, "X-Saga-ID": str(run_id)}
        if answer.replayed:
            headers["Idempotency-Replayed"] = "true"
        # The order is committed, and so is the answer that a repeat gets. Whoever repeats waits anew.
        if waits and waiting.can_wait(request):
            return waiting.wait_for_steps(answer, run_id, preferred, headers=headers)
        return Response(answer.body, status=answer.status, headers=headers)

    def _place(self, request: Request, customer_id: int, key: str | None, wanted: Mapping[str, Any]) -> Answer:
        return placing.order(
            customer_id=customer_id,
            items=[Wanted(item["sku"], item["quantity"]) for item in wanted["items"]],
            slot=wanted["slot"],
            coupon=wanted["coupon"],
            expected_total_cents=wanted["expected_total_amount"],
            **_fulfilment(wanted.get("fulfilment")),
            address=customers_address(request),
            key=None if key is None else Key(key, idempotency.fingerprint(request, wanted)),
        )


class OrderView(View):
    """One order of a customer."""

    @extend_schema(
        operation_id="get_order",
        parameters=[ORDER_NO, *CONDITIONAL, *LONG_POLL, SAGA_ID, *RATE],
        responses={200: serializers.OrderDetailSerializer, 304: None, **problems(404)},
    )
    def get(self, request: Request, order_no: str) -> HttpResponse:
        """Read one of your orders, with the state of every step.

        With `If-None-Match` and the last `ETag` the answer is 304 as long as nothing has changed; with `Prefer: wait=`
        besides, it waits for a change.
        """
        customer_id = customer_of(request)
        # The version first: what changes between both reads has another one next time.
        run_id, version = selectors.version_of(customer_id=customer_id, order_no=order_no)
        etag, saga = conditional.tag(version), {"X-Saga-ID": str(run_id)}
        if conditional.is_known(request, etag):
            seconds = waiting.preferred_wait(request)
            if not seconds or not waiting.can_wait(request):
                return Response(status=304, headers={**conditional.headers(etag), **saga})
            look = partial(self._look, customer_id, order_no, etag)
            return waiting.wait_for_change(run_id, etag, seconds, look)
        return Response(self._read(customer_id, order_no), headers={**conditional.headers(etag), **saga})

    def _look(self, customer_id: int, order_no: str, known: str) -> Late | None:
        _, version = selectors.version_of(customer_id=customer_id, order_no=order_no)
        if (etag := conditional.tag(version)) == known:
            return None
        return Late(self._read(customer_id, order_no), headers=conditional.headers(etag))

    def _read(self, customer_id: int, order_no: str) -> Any:
        order = selectors.order_with_run(customer_id=customer_id, order_no=order_no)
        return serializers.OrderDetailSerializer(order).data


class ConfirmView(View):
    """The webhook of the payment provider."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    parameters = None

    @extend_schema(
        operation_id="confirm_order",
        auth=[],
        parameters=[ORDER_NO, *SIGNATURE],
        request=serializers.PaymentSerializer,
        responses={200: serializers.ReceivedSerializer, **problems(404, 409, 413, 422)},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Take the gateway's report of an order's payment: a webhook, signed by the Standard Webhooks specification.

        It is kept, whatever the answer. 200 if the payment is taken: `outcome` says whether it is settled. A repeat
        gets the present state. 409 if the payment does not pay the order (it is cancelled, or paid by another
        payment, or costs something else), or if the signed order is another one; such a payment is due back.
        """
        gateway = gateways.find(settings.PAYMENT_GATEWAY)
        assert gateway is not None
        webhook_id = webhooks.verified(request, gateway)
        # The rate is of one order, so other orders' payments are not affected. Forgeries are counted by address.
        throttles.hold_back("confirms", f"order {order_no}")
        said = serializers.read_payment(request.data)
        answer = paying.receive_for_order(
            order_no=order_no, gateway=gateway.name, webhook_id=webhook_id, body=request.body.decode(), said=said
        )
        return Response(serializers.write_received(answer))


class WebhookView(View):
    """The webhook of a payment gateway."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    parameters = None

    @extend_schema(
        operation_id="payment_webhook",
        auth=[],
        parameters=[GATEWAY, *SIGNATURE],
        request=serializers.PaymentSerializer,
        responses={200: serializers.ReceivedSerializer, **problems(404, 413, 422)},
    )
    def post(self, request: Request, gateway: str) -> HttpResponse:
        """Take a gateway's message about a payment, signed by the Standard Webhooks specification.

        200 once it is stored, whatever it came to: `outcome` says that, and a repeat is told the present truth. 4xx
        where it is not stored, and would not be if it were repeated; 503 where it could not be stored now. The payment
        of an order that is due in a quarter of an hour is answered once the order is confirmed, within 8 s.
        """
        found = gateways.find(gateway)
        if found is None:
            raise Problem(404, "not-found", _("There is no gateway %(gateway)s.") % {"gateway": gateway})
        webhook_id = webhooks.verified(request, found)
        said = serializers.read_payment(request.data)
        receive = partial(
            paying.receive, gateway=found.name, webhook_id=webhook_id, body=request.body.decode(), said=said
        )
        try:
            received = receive()
        except (Problem, Error):
            raise
        except Exception:
            logger.exception("a message of gateway %s could not be stored: %s", gateway, webhook_id)
            detail = _("The message could not be stored. Repeat it.")
            raise Problem(503, "payments-unavailable", detail, headers={"Retry-After": "60"}) from None
        answer = serializers.write_received(received.body)
        # The payment is committed. A repeat finds it, and is answered at once.
        if received.awaits and found.longest_answer and waiting.can_wait(request):
            return waiting.wait_for_end(
                answer,
                received.awaits,
                found.longest_answer,
                again=lambda: serializers.write_received(receive().body),
            )
        return Response(answer)


class RefundView(View):
    """Refunding an order."""

    rates = {"POST": "cancels"}

    @extend_schema(
        operation_id="refund_order",
        parameters=[ORDER_NO, IDEMPOTENCY_KEY, SAGA_ID, *RATE],
        request=serializers.RefundOrderSerializer,
        responses={202: serializers.OrderRefundSerializer, **problems(404, 409, 413, 422)},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Refund one of your confirmed orders, or some of its lines, until its slot's cut-off.

        Without `lines` everything that is left is refunded, and a repeat gets the same refund. With `lines` the
        request needs an `Idempotency-Key`, under which a repeat gets the same refund.
        """
        body = serializers.RefundOrderSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        key, lines = idempotency.key_of(request), body.validated_data.get("lines")
        if lines is not None and key is None:
            raise Problem(400, "invalid-idempotency-key", _("A refund of lines needs an Idempotency-Key."))
        customer_id = customer_of(request)
        try:
            refund = refunds.refund_order(
                order_no=order_no,
                reason=body.validated_data["reason"] or refunds.BY_CUSTOMER,
                by=f"customer {customer_id}",
                lines=None if lines is None else {line["sku"]: line["quantity"] for line in lines},
                customer_id=customer_id,
                key=key,
            )
        except refunds.NotRefundable as refused:
            raise Problem(409, refused.code, told(refused.code, str(refused))) from refused
        headers = {"X-Saga-ID": str(refund.order.run_id)}
        return Response(serializers.OrderRefundSerializer(refund).data, status=202, headers=headers)


class CancelView(View):
    """Cancelling an order."""

    rates = {"POST": "cancels"}

    @extend_schema(
        operation_id="cancel_order",
        parameters=[ORDER_NO, SAGA_ID, *RATE],
        request=None,
        responses={
            200: serializers.CancelledSerializer,
            202: serializers.CancelledSerializer,
            **problems(404, 409, 413, 422),
        },
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Cancel one of your orders. 202 while it is being undone, 200 once it is undone; 409 if it is confirmed."""
        unknown.NothingSerializer(data=request.data).is_valid(raise_exception=True)
        state = services.cancel_order(customer_id=customer_of(request), order_no=order_no)
        body = serializers.CancelledSerializer({"order_no": order_no, "state": state}).data
        headers = {"X-Saga-ID": str(selectors.run_of(order_no=order_no))}
        return Response(body, status=200 if state is State.FAILED else 202, headers=headers)
