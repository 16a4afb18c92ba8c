"""The endpoints: read the request, call a service or a selector, write the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import delivery.selectors
import inventory.selectors
from orders import selectors, services
from orders.api import idempotency, paying, placing, serializers, throttles, unknown, webhooks
from orders.api.addresses import customers_address
from orders.api.idempotency import Answer, Key
from orders.api.pagination import OrderPagination
from orders.api.problems import Problem
from orders.api.schema import IDEMPOTENCY_KEY, LOCATION, ORDER_NO, PAGE, RATE, SIGNATURE, problems
from orders.errors import OrderRefused
from orders.services import COUPON_NOT_USABLE, Wanted
from sagas import State


def _customer(request: Request) -> int:
    """Id of the authenticated user; the permissions have ensured that there is one."""
    return int(request.user.pk)  # type: ignore[arg-type]  # not None: authenticated


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
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise Problem(
                415, "unsupported-content-encoding", "Send the body as it is.", headers={"Accept-Encoding": "identity"}
            )
        if self.parameters is None:
            return
        for name in request.query_params:
            if name not in self.parameters:
                raise Problem(400, "unknown-parameter", unknown.complaint("query parameter", name, self.parameters))


class MenuView(View):
    """The menu."""

    @extend_schema(
        operation_id="menu", parameters=RATE, responses={200: serializers.SkuSerializer(many=True), **problems()}
    )
    def get(self, _request: Request) -> Response:
        """List the drinks, with what is available now. It may be gone when an order is processed."""
        return Response(serializers.SkuSerializer(inventory.selectors.menu(), many=True).data)


class SlotsView(View):
    """The delivery slots."""

    @extend_schema(
        operation_id="slots", parameters=RATE, responses={200: serializers.SlotSerializer(many=True), **problems()}
    )
    def get(self, _request: Request) -> Response:
        """List the coming delivery slots, the next first."""
        return Response(serializers.SlotSerializer(delivery.selectors.upcoming(), many=True).data)


class OrdersView(View):
    """A customer's orders."""

    rates = {"GET": "reads", "POST": "orders"}
    parameters = frozenset({"cursor"})

    @extend_schema(
        operation_id="list_orders",
        parameters=[PAGE, *RATE],
        responses={200: serializers.OrderPageSerializer, **problems(404)},
    )
    def get(self, request: Request) -> Response:
        """List your orders, newest first."""
        paginator = OrderPagination()
        orders = selectors.orders_of(customer_id=_customer(request))
        page = selectors.with_standings(orders=paginator.paginate_queryset(orders, request, view=self) or [])
        return paginator.get_paginated_response(serializers.OrderSerializer(page, many=True).data)

    @extend_schema(
        operation_id="place_order",
        parameters=[IDEMPOTENCY_KEY, LOCATION, *RATE],
        request=serializers.PlaceOrderSerializer,
        responses={202: serializers.AcceptedSerializer, **problems(409, 413, 422)},
    )
    def post(self, request: Request) -> Response:
        """Place an order. It is processed from now on; `Location` shows how far it has come.

        What is known at once to be wrong is refused here (422). Stock, the use of a coupon and the capacity of a
        slot are decided by the order's steps: such an order ends `FAILED`, with the reason.
        """
        key = idempotency.key_of(request)
        body = serializers.PlaceOrderSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = body.validated_data
        customer = f"customer {_customer(request)}"
        if wanted["coupon"] is not None:
            throttles.hold_back_if_spent("coupon_guesses", customer)
        try:
            answer = self._place(request, key, wanted)
        except OrderRefused as refused:
            if any(fault.code == COUPON_NOT_USABLE for fault in refused.faults):
                throttles.hold_back("coupon_guesses", customer)
            raise
        headers = {"Location": answer.location}
        if answer.replayed:
            headers["Idempotency-Replayed"] = "true"
        return Response(answer.body, status=answer.status, headers=headers)

    def _place(self, request: Request, key: str | None, wanted: Mapping[str, Any]) -> Answer:
        return placing.place(
            customer_id=_customer(request),
            address=customers_address(request),
            key=None if key is None else Key(key, idempotency.fingerprint(request, wanted)),
            items=[Wanted(item["sku"], item["quantity"]) for item in wanted["items"]],
            slot=wanted["slot"],
            coupon=wanted["coupon"],
        )


class OrderView(View):
    """One order of a customer."""

    @extend_schema(
        operation_id="get_order",
        parameters=[ORDER_NO, *RATE],
        responses={200: serializers.OrderDetailSerializer, **problems(404)},
    )
    def get(self, request: Request, order_no: str) -> Response:
        """Read one of your orders, with the state of every step."""
        order = selectors.order_with_run(customer_id=_customer(request), order_no=order_no)
        return Response(serializers.OrderDetailSerializer(order).data)


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
        webhook_id = webhooks.verified(request)
        # The rate is of one order, so other orders' payments are not affected. Forgeries are counted by address.
        throttles.hold_back("confirms", f"order {order_no}")
        body = serializers.PaymentSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        answer = paying.receive(
            order_no=order_no, webhook_id=webhook_id, body=request.body.decode(), paid=body.validated_data
        )
        return Response(serializers.ReceivedSerializer(answer).data)


class CancelView(View):
    """Cancelling an order."""

    rates = {"POST": "cancels"}

    @extend_schema(
        operation_id="cancel_order",
        parameters=[ORDER_NO, *RATE],
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
        state = services.cancel_order(customer_id=_customer(request), order_no=order_no)
        body = serializers.CancelledSerializer({"order_no": order_no, "state": state}).data
        return Response(body, status=200 if state is State.FAILED else 202)
