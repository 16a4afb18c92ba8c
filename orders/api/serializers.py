"""Requests and answers of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from delivery.models import FulfilmentKind, FulfilmentState
from delivery.selectors import Stage
from orders.api.protocol import reasons
from orders.api.protocol.fields import Amount, Currency, Integer, RegexField, Text
from orders.api.protocol.unknown import StrictSerializer
from payments.models import Outcome, PaymentState, RefundState
from payments.services import REFUNDED
from sagas import State
from sagas.selectors import PUBLIC_KINDS, StepState, public_reason

#: The largest id of the database.
_MAX_ID = 2**63 - 1
_MAX_LINES = 50
_MAX_QUANTITY = 1000
_MAX_CODE = 32
_MAX_PAYMENT_ID = 100


class WantedSerializer(StrictSerializer):
    """Cups of one SKU."""

    sku = Text(max_length=_MAX_CODE)
    quantity = Integer(min_value=1, max_value=_MAX_QUANTITY)


class AddressSerializer(StrictSerializer):
    """Whither a courier brings an order, and to whom. It is personal, and shown to nobody but the courier."""

    recipient = Text(max_length=200)
    phone = RegexField(r"^\+?[0-9][0-9 -]{4,28}[0-9]\Z", help_text="Digits, blanks and hyphens, perhaps a plus.")
    street = Text(max_length=200)
    city = Text(max_length=200)
    note = Text(max_length=200, required=False, allow_blank=True, default="")


class WantedFulfilmentSerializer(StrictSerializer):
    """How the customer gets an order: at a store's counter, or by courier."""

    kind = serializers.ChoiceField(choices=[FulfilmentKind.PICK_UP.value, FulfilmentKind.COURIER.value])
    address = AddressSerializer(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Require an address for a courier, and refuse one that nobody would use."""
        by_courier = attrs["kind"] == FulfilmentKind.COURIER
        if by_courier and attrs["address"] is None:
            raise serializers.ValidationError({"address": [_("A courier needs an address.")]}, code="required")
        if not by_courier and attrs["address"] is not None:
            raise serializers.ValidationError({"address": [_("Nobody brings what is picked up.")]}, code="not-used")
        return attrs


class PlaceOrderSerializer(StrictSerializer):
    """An order to be placed."""

    items = serializers.ListField(child=WantedSerializer(), allow_empty=False, min_length=1, max_length=_MAX_LINES)
    slot = Integer(min_value=1, max_value=_MAX_ID)
    coupon = Text(max_length=_MAX_CODE, required=False, allow_null=True, default=None)
    expected_total_amount = Integer(
        min_value=0,
        max_value=_MAX_ID,
        required=False,
        allow_null=True,
        default=None,
        help_text="What the customer was told that the order costs, in minor units: 2500 is 25.00 yuan. If it costs "
        "something else by now, it is refused (`price-changed`).",
    )
    fulfilment = WantedFulfilmentSerializer(
        required=False, help_text="Without it, the order is delivered in its slot, as it was arranged with the shop."
    )

    def validate_items(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse a SKU that comes twice: it is unclear whether the second replaces the first or adds to it."""
        codes = [item["sku"] for item in items]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            message = _("%(skus)s: listed twice; give each SKU once, with the whole quantity.") % {
                "skus": ", ".join(twice)
            }
            raise serializers.ValidationError(message, code="duplicate-sku")
        return items


def read_order(data: Any) -> dict[str, Any]:
    """Validate the body of an order. What is plainly right is read here; ``PlaceOrderSerializer`` decides the rest.

    The serializer makes its fields anew for each request, which costs more than the order's statement.

    Raises:
        serializers.ValidationError: what the serializer says is wrong.
    """
    read = _plainly_right(data)
    if read is None:
        body = PlaceOrderSerializer(data=data)
        body.is_valid(raise_exception=True)
        read = body.validated_data
    return read


def _plainly_right(data: Any) -> dict[str, Any] | None:
    """What the serializer would make of a body; ``None`` where a look is not enough."""
    if type(data) is not dict or not data.keys() <= _ORDER_FIELDS:
        return None
    items, slot, coupon = data.get("items"), data.get("slot"), data.get("coupon")
    expected = data.get("expected_total_amount")
    if expected is not None and (type(expected) is not int or not 0 <= expected <= _MAX_ID):
        return None
    if type(items) is not list or not 1 <= len(items) <= _MAX_LINES:
        return None
    if type(slot) is not int or not 1 <= slot <= _MAX_ID:
        return None
    if coupon is not None and not _is_plain(coupon):
        return None
    for item in items:
        if type(item) is not dict or item.keys() != _ITEM_FIELDS or not _is_plain(item["sku"]):
            return None
        quantity = item["quantity"]
        if type(quantity) is not int or not 1 <= quantity <= _MAX_QUANTITY:
            return None
    if len(items) > 1 and len({item["sku"] for item in items}) < len(items):
        return None
    return {"items": items, "slot": slot, "coupon": coupon, "expected_total_amount": expected}


_ORDER_FIELDS = frozenset({"items", "slot", "coupon", "expected_total_amount"})
_ITEM_FIELDS = frozenset({"sku", "quantity"})


def _is_plain(text: Any, most: int = _MAX_CODE) -> bool:
    """Whether a text is one that the serializer leaves as it is: printable ASCII, nothing to be trimmed."""
    return (
        type(text) is str and len(text) <= most and text.isascii() and text.isprintable() and text == text.strip() != ""
    )


class PaymentSerializer(serializers.Serializer[Any]):
    """What the gateway says of a payment: the signature is over this, and not over the URL."""

    order_no = Text(max_length=_MAX_CODE)
    payment_id = Text(max_length=_MAX_PAYMENT_ID)
    amount = Integer(min_value=0, max_value=_MAX_ID, help_text="In minor units: 1200 is 12.00 yuan.")
    currency = Text(min_length=3, max_length=3, help_text="ISO 4217, such as CNY.")
    status = Text(
        max_length=_MAX_CODE,
        help_text="`succeeded`: the money has come. `failed`: another attempt may follow. `closed`: none will. "
        "`refunded`: `refund_amount` of it was returned. `disputed`: the payer disputes it. Others are only kept.",
    )
    occurred_at = serializers.DateTimeField(required=False, help_text="When it happened, by the gateway's clock.")
    refund_id = Text(
        required=False, max_length=_MAX_PAYMENT_ID, help_text="Of a refund: the shop's id, or the gateway's own."
    )
    refund_amount = Integer(required=False, min_value=1, max_value=_MAX_ID, help_text="In minor units.")

    def validate_currency(self, currency: str) -> str:
        """Accept lower case: some gateways write "cny"."""
        return currency.upper()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask a refund for its id and its amount."""
        if attrs["status"] == REFUNDED:
            lacking = [name for name in ("refund_id", "refund_amount") if name not in attrs]
            if lacking:
                raise serializers.ValidationError(
                    {name: [serializers.ErrorDetail(_("A refund has it."), code="required")] for name in lacking}
                )
        return attrs


def read_payment(data: Any) -> dict[str, Any]:
    """Validate the body of a payment's webhook, as ``read_order`` does for an order's.

    Raises:
        serializers.ValidationError: what the serializer says is wrong.
    """
    read = _plain_payment(data)
    if read is None:
        body = PaymentSerializer(data=data)
        body.is_valid(raise_exception=True)
        read = body.validated_data
    return read


#: Fields that few messages have.
_RARE = frozenset({"occurred_at", "refund_id", "refund_amount"})


def _plain_payment(data: Any) -> dict[str, Any] | None:
    """What the serializer would make of the body of a payment; ``None`` where a look is not enough."""
    if type(data) is not dict or not _RARE.isdisjoint(data) or data.get("status") == REFUNDED:
        return None
    order_no, payment_id, status = data.get("order_no"), data.get("payment_id"), data.get("status")
    if not (_is_plain(order_no) and _is_plain(payment_id, _MAX_PAYMENT_ID) and _is_plain(status)):
        return None
    amount, currency = data.get("amount"), data.get("currency")
    if type(amount) is not int or not 0 <= amount <= _MAX_ID:
        return None
    if type(currency) is not str or len(currency) != 3 or not _is_plain(currency):
        return None
    return {
        "order_no": order_no,
        "payment_id": payment_id,
        "amount": amount,
        "currency": currency.upper(),
        "status": status,
    }


class RefundSerializer(serializers.Serializer[Any]):
    """A return of a payment, or of a part of it."""

    refund_id = serializers.CharField()
    refund_amount = Amount()
    currency = serializers.CharField(help_text="That of the payment.")
    state = serializers.ChoiceField(choices=RefundState.values)
    reason = serializers.ChoiceField(choices=Outcome.values)


class ReceivedSerializer(serializers.Serializer[Any]):
    """What a payment came to, as it stands now. A repeat is told what has become of it since."""

    order_no = serializers.CharField()
    payment_id = serializers.CharField()
    outcome = serializers.ChoiceField(
        choices=["settled", *Outcome.values],
        help_text="`taken`: it may still be given back, if a step of the order says no. `settled`: the order is "
        "confirmed by it. `parked`: the order waits for a person. `not_paid`: the message tells of no money that has "
        "come; it is kept, and changes nothing. Others say why the payment is given back, or is for a person.",
    )
    order_state = serializers.ChoiceField(choices=[state.value for state in State], allow_null=True)
    booking_id = serializers.IntegerField(
        allow_null=True, help_text="Of the order's place in its slot, once confirmed."
    )
    refund = RefundSerializer(allow_null=True, help_text="The payment's latest refund.")
    received_at = serializers.DateTimeField(allow_null=True, help_text="When the payment came first.")
    confirmed_at = serializers.DateTimeField(allow_null=True, help_text="The same, once it is settled.")


def write_received(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Write what a payment came to, as ``ReceivedSerializer`` does, without making its fields anew."""
    state: State | None = answer["order_state"]
    return {
        **answer,
        "order_state": None if state is None else state.value,
        "received_at": _TIME.to_representation(answer["received_at"]),
        "confirmed_at": _TIME.to_representation(answer["confirmed_at"]),
    }


_TIME = serializers.DateTimeField()


class AcceptedSerializer(serializers.Serializer[Any]):
    """An order as it was accepted: nothing is done yet."""

    order_no = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in State])
    confirm_deadline = serializers.DateTimeField(allow_null=True)


class CancelledSerializer(serializers.Serializer[Any]):
    """An order that is being undone, or is undone."""

    order_no = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in State])


class RefundOrderSerializer(StrictSerializer):
    """What of an order is to be refunded; everything that is left, without lines."""

    lines = serializers.ListField(child=WantedSerializer(), required=False, min_length=1, max_length=_MAX_LINES)
    reason = Text(max_length=500, required=False, default="")

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse a SKU that is named twice."""
        if len({line["sku"] for line in lines}) < len(lines):
            raise serializers.ValidationError(_("A SKU is named twice."))
        return lines


class OrderRefundSerializer(serializers.Serializer[Any]):
    """A refund as it was accepted. The order's payments say when the money has gone back."""

    order_no = serializers.CharField(source="order.order_no")
    refund_amount = Amount(source="amount")
    currency = Currency()
    whole = serializers.BooleanField(help_text="Whether nothing of the order is left.")
    lines = serializers.DictField(child=serializers.IntegerField(), help_text="Refunded cups by SKU.")
    created_at = serializers.DateTimeField()


class SkuSerializer(serializers.Serializer[Any]):
    """A drink on the menu."""

    sku = serializers.CharField(source="code")
    name = serializers.CharField()
    price_amount = Amount(source="price_cents")
    currency = Currency()
    available = serializers.IntegerField()


class SlotSerializer(serializers.Serializer[Any]):
    """A slot of a store that lies ahead."""

    id = serializers.IntegerField()
    store = serializers.CharField(source="store.code", help_text="The store's code.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField(help_text="Until when it takes orders, and gives its places back.")
    available = serializers.IntegerField()


class LineSerializer(serializers.Serializer[Any]):
    """Cups of one SKU, at the price at which the order was accepted."""

    sku = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price_amount = Amount(source="unit_price_cents")
    currency = Currency()


class OrderSerializer(serializers.Serializer[Any]):
    """An order in short. ``items`` are there once its first step is done."""

    order_no = serializers.CharField(source="order.order_no")
    state = serializers.ChoiceField(choices=[state.value for state in State], source="run.state")
    created_at = serializers.DateTimeField(source="order.created_at")
    confirm_deadline = serializers.DateTimeField(source="run.deadline", allow_null=True)
    items = LineSerializer(source="order.lines.all", many=True)
    slot = serializers.IntegerField(source="order.slot")
    coupon = serializers.CharField(source="order.coupon", allow_null=True)
    discount_amount = Amount(source="order.discount_cents")
    total_amount = Amount(source="order.total_cents", allow_null=True)
    currency = Currency()


_COUPON_NOT_USABLE = {"CouponUnknown", "CouponNotYours", "CouponExpired", "CouponNotYet", "CouponInactive"}


class ReasonSerializer(serializers.Serializer[Any]):
    """Why an order is undone, or a step is not done."""

    kind = serializers.ChoiceField(choices=[kind.value for kind in PUBLIC_KINDS])
    code = serializers.CharField()
    detail = serializers.CharField()

    def to_representation(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out internal errors and operators' notes, which are not for customers."""
        if instance["code"] in _COUPON_NOT_USABLE:
            # As when the order is placed: otherwise codes could be guessed.
            return {"kind": "rejected", "code": "CouponNotUsable", "detail": _("The coupon cannot be used.")}
        public = public_reason(instance)
        return super().to_representation({**public, "detail": str(reasons.detail_text(public))})


class StepSerializer(serializers.Serializer[Any]):
    """One step of an order's run."""

    name = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in StepState])
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = ReasonSerializer(allow_null=True)


class OutcomeSerializer(serializers.Serializer[Any]):
    """How far an order had come when its client had waited: it is no longer `PENDING` or `EXECUTING`."""

    order_no = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in State], source="outcome.state")
    confirm_deadline = serializers.DateTimeField(source="outcome.deadline", allow_null=True)
    booking_id = serializers.IntegerField(
        source="outcome.booking_id", allow_null=True, help_text="Of the place in the delivery slot."
    )
    reason = ReasonSerializer(source="outcome.reason", allow_null=True, help_text="Why it is undone.")


class OrderPaymentSerializer(serializers.Serializer[Any]):
    """A payment that the gateway has named the order for, and where the money is."""

    payment_id = serializers.CharField()
    paid_amount = Amount(source="amount")
    currency = serializers.CharField()
    state = serializers.ChoiceField(
        choices=PaymentState.values,
        help_text="TAKEN; PARKED while its order waits for a person; DUE_BACK, RETURNING, RETURNED or PARTLY_RETURNED "
        "where it is given back; CONFLICT where a person must decide.",
    )
    reason = serializers.ChoiceField(choices=Outcome.values, allow_blank=True, help_text="Why it is due back.")
    returned_amount = Amount(help_text="What is returned of it.")
    received_at = serializers.DateTimeField()
    returned_at = serializers.DateTimeField(allow_null=True)


class StageSerializer(serializers.Serializer[Any]):
    """A state that a store has come to with an order."""

    version = serializers.IntegerField(help_text="Counts them, from 1.")
    state = serializers.ChoiceField(choices=FulfilmentState.values)
    at = serializers.DateTimeField()
    reason = serializers.SerializerMethodField(help_text="Why it is refused, or what was given back.")

    def get_reason(self, stage: Stage) -> str:
        """Write a known reason in the client's language."""
        return str(reasons.stage_reason(stage))


class ProgressSerializer(serializers.Serializer[Any]):
    """What a store does for a confirmed order."""

    store = serializers.CharField(source="work.store.code")
    kind = serializers.ChoiceField(choices=FulfilmentKind.values, source="work.kind")
    due_at = serializers.DateTimeField(source="work.due_at", help_text="When it is to be ready.")
    state = serializers.ChoiceField(choices=FulfilmentState.values, source="work.state")
    stages = StageSerializer(many=True, help_text="All states that it has come to, in order.")


class OrderDetailSerializer(OrderSerializer):
    """An order with every step, with its payments, and with what its store does."""

    payments = OrderPaymentSerializer(many=True)
    fulfilment = ProgressSerializer(allow_null=True, help_text="`null` until the order is confirmed.")

    finished_at = serializers.DateTimeField(source="run.finished_at", allow_null=True)
    reason = ReasonSerializer(source="run.reason", allow_null=True)
    steps = StepSerializer(source="run.steps", many=True)


class TicketSerializer(serializers.Serializer[Any]):
    """A URL for a browser's EventSource."""

    url = serializers.CharField(help_text="The path of the stream, with its ticket.")
    expires_in = serializers.IntegerField(help_text="Seconds for which it can be opened.")


class LoginSerializer(StrictSerializer):
    """Who logs in."""

    username = Text(max_length=150)
    password = Text(max_length=256, trim_whitespace=False)


class TokenSerializer(serializers.Serializer[Any]):
    """A token, without its secret."""

    id = serializers.CharField(help_text="The token's first characters.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    current = serializers.BooleanField(help_text="Whether this request came with it.")


class IssuedSerializer(serializers.Serializer[Any]):
    """A new token."""

    id = serializers.CharField(help_text="The token's first characters.")
    token = serializers.CharField(help_text="The secret. It is shown here, and never again.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class FieldErrorSerializer(serializers.Serializer[Any]):
    """One thing that is wrong with a request."""

    pointer = serializers.CharField(required=False, help_text="JSON pointer into the body, where it is wrong there.")
    parameter = serializers.CharField(required=False, help_text="The query parameter, where that is wrong.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error, as RFC 9457 has it."""

    type = serializers.CharField(help_text="Stable; /problems/ and a word for the problem.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    request_id = serializers.CharField(
        required=False, help_text="As in `X-Request-ID`: by it, we find what the log says of the request."
    )
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # a field, as RFC 9457 names it
