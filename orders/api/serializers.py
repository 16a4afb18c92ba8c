"""Requests and answers of the API. Input is strict: a string that looks like a number is not a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orders.api.unknown import StrictSerializer
from payments.models import Outcome, PaymentState
from sagas import State
from sagas.decisions.progress import StepState
from sagas.decisions.reasons import PUBLIC_KINDS, public_reason

#: The largest id of the database.
_MAX_ID = 2**63 - 1
_MAX_LINES = 50


class Integer(serializers.IntegerField):
    """An integer; a text that looks like one is refused."""

    def to_internal_value(self, data: Any) -> int:
        """Refuse texts and booleans."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A text; a number is refused."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse numbers."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field({"type": "string", "pattern": r"^\d+\.\d\d$", "example": "18.00"})
class Yuan(serializers.Field[int, Any, str, int]):
    """An amount in yuan with two decimals, from cents. It is a string, because JSON numbers are rounded."""

    def to_representation(self, value: int) -> str:
        """Write cents as yuan."""
        return f"{value // 100}.{value % 100:02d}"


class WantedSerializer(StrictSerializer):
    """Cups of one SKU."""

    sku = Text(max_length=32)
    quantity = Integer(min_value=1, max_value=1000)


class PlaceOrderSerializer(StrictSerializer):
    """An order to be placed."""

    items = serializers.ListField(child=WantedSerializer(), allow_empty=False, min_length=1, max_length=_MAX_LINES)
    slot = Integer(min_value=1, max_value=_MAX_ID)
    coupon = Text(max_length=32, required=False, allow_null=True, default=None)

    def validate_items(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse a SKU that comes twice: it is unclear whether the second replaces the first or adds to it."""
        codes = [item["sku"] for item in items]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            message = f"{', '.join(twice)}: listed twice; give each SKU once, with the whole quantity."
            raise serializers.ValidationError(message, code="duplicate-sku")
        return items


class PaymentSerializer(serializers.Serializer[Any]):
    """What the gateway says of a payment: the signature is over this, and not over the URL."""

    order_no = Text(max_length=32)
    payment_id = Text(max_length=100)
    amount = Integer(min_value=0, max_value=_MAX_ID, help_text="In minor units: 1200 is 12.00 yuan.")
    currency = Text(min_length=3, max_length=3, help_text="ISO 4217, such as CNY.")
    status = Text(max_length=32, help_text="`succeeded` where the money has come; anything else is only noted.")

    def validate_currency(self, currency: str) -> str:
        """Accept lower case: some gateways write "cny"."""
        return currency.upper()


class ReceivedSerializer(serializers.Serializer[Any]):
    """What a payment came to, as it stands now. A repeat is told what has become of it since."""

    order_no = serializers.CharField()
    payment_id = serializers.CharField()
    outcome = serializers.ChoiceField(
        choices=["taken", "settled", "not_paid"],
        help_text="`taken`: it may still be given back, if a step of the order says no. `settled`: the order is "
        "confirmed by it. `not_paid`: the message tells of no money that has come; it is kept, and changes nothing.",
    )
    order_state = serializers.ChoiceField(choices=[state.value for state in State], allow_null=True)
    received_at = serializers.DateTimeField(allow_null=True, help_text="When the payment came first.")
    confirmed_at = serializers.DateTimeField(allow_null=True, help_text="The same, once it is settled.")


class AcceptedSerializer(serializers.Serializer[Any]):
    """An order as it was accepted: nothing is done yet."""

    order_no = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in State])
    confirm_deadline = serializers.DateTimeField(allow_null=True)


class CancelledSerializer(serializers.Serializer[Any]):
    """An order that is being undone, or is undone."""

    order_no = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in State])


class SkuSerializer(serializers.Serializer[Any]):
    """A drink on the menu."""

    sku = serializers.CharField(source="code")
    name = serializers.CharField()
    price = Yuan(source="price_cents")
    available = serializers.IntegerField()


class SlotSerializer(serializers.Serializer[Any]):
    """A delivery slot that lies ahead."""

    id = serializers.IntegerField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    available = serializers.IntegerField()


class LineSerializer(serializers.Serializer[Any]):
    """Cups of one SKU, at the price at which the order was accepted."""

    sku = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price = Yuan(source="unit_price_cents")


class OrderSerializer(serializers.Serializer[Any]):
    """An order in short. ``items`` are there once its first step is done."""

    order_no = serializers.CharField(source="order.order_no")
    state = serializers.ChoiceField(choices=[state.value for state in State], source="run.state")
    created_at = serializers.DateTimeField(source="order.created_at")
    confirm_deadline = serializers.DateTimeField(source="run.deadline", allow_null=True)
    items = LineSerializer(source="order.lines.all", many=True)
    slot = serializers.IntegerField(source="order.slot")
    coupon = serializers.CharField(source="order.coupon", allow_null=True)
    discount = Yuan(source="order.discount_cents")
    total = Yuan(source="order.total_cents", allow_null=True)


_COUPON_NOT_USABLE = {"CouponUnknown", "CouponNotYours", "CouponExpired", "CouponInactive"}


class ReasonSerializer(serializers.Serializer[Any]):
    """Why an order is undone, or a step is not done."""

    kind = serializers.ChoiceField(choices=[kind.value for kind in PUBLIC_KINDS])
    code = serializers.CharField()
    detail = serializers.CharField()

    def to_representation(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out internal errors and operators' notes, which are not for customers."""
        if instance["code"] in _COUPON_NOT_USABLE:
            # As when the order is placed: otherwise codes could be guessed.
            return {"kind": "rejected", "code": "CouponNotUsable", "detail": "The coupon cannot be used."}
        return super().to_representation(public_reason(instance))


class StepSerializer(serializers.Serializer[Any]):
    """One step of an order's run."""

    name = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in StepState])
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = ReasonSerializer(allow_null=True)


class OrderPaymentSerializer(serializers.Serializer[Any]):
    """A payment that the gateway has named the order for, and where the money is."""

    payment_id = serializers.CharField()
    amount = serializers.IntegerField(help_text="In minor units of its currency.")
    currency = serializers.CharField()
    state = serializers.ChoiceField(
        choices=PaymentState.values,
        help_text="TAKEN; DUE_BACK, RETURNING or RETURNED where it is given back; CONFLICT where a person must decide.",
    )
    reason = serializers.ChoiceField(choices=Outcome.values, allow_blank=True, help_text="Why it is due back.")
    received_at = serializers.DateTimeField()
    returned_at = serializers.DateTimeField(allow_null=True)


class OrderDetailSerializer(OrderSerializer):
    """An order with every step, and with its payments."""

    payments = OrderPaymentSerializer(many=True)

    finished_at = serializers.DateTimeField(source="run.finished_at", allow_null=True)
    reason = ReasonSerializer(source="run.reason", allow_null=True)
    steps = StepSerializer(source="run.steps", many=True)


class OrderPageSerializer(serializers.Serializer[Any]):
    """A page of orders, newest first."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = OrderSerializer(many=True)


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

    pointer = serializers.CharField(help_text="JSON pointer into the body.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error, as RFC 9457 has it."""

    type = serializers.CharField(help_text="Stable; /problems/ and a word for the problem.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # a field, as RFC 9457 names it
