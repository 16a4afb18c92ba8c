"""A customer's coupons over HTTP: list them, and claim one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

import coupons.selectors
import coupons.services
import sagas
from coupons.models import CouponKind
from coupons.refusals import CouponSpent, CouponUsed
from coupons.services import Claim
from orders.api.protocol import lists, throttles, unknown
from orders.api.protocol.fields import Amount, Currency
from orders.api.protocol.problems import Problem
from orders.api.schema import RATE, problems
from orders.api.serializers import ReasonSerializer
from orders.api.views import View, customer_of
from sagas import State

#: What a customer reads of a grant's state. One that is being given back is not theirs yet.
_STATES = {"ISSUED": "ISSUED", "USED": "USED", "REFUNDING": "USED"}

CODE = OpenApiParameter(
    "code",
    {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[^/\x00-\x1f\x7f]{1,64}$", "example": "TEA10"},
    OpenApiParameter.PATH,
    description="The coupon's code, without regard to case and surrounding blanks.",
)


class CouponSerializer(serializers.Serializer[Any]):
    """A coupon that a customer has, or has used."""

    id = serializers.IntegerField()
    coupon = serializers.CharField(source="coupon_id", help_text="The code, for an order's `coupon`.")
    state = serializers.SerializerMethodField(help_text="`ISSUED`: it may be used; `USED`: an order has it.")
    kind = serializers.ChoiceField(source="coupon.kind", choices=CouponKind.values)
    discount_amount = Amount(source="coupon.discount_cents", help_text="Of an `AMOUNT`.")
    percent = serializers.IntegerField(source="coupon.percent", allow_null=True, help_text="Of a `PERCENT`.")
    cap_amount = Amount(source="coupon.cap_cents", allow_null=True, help_text="The most it takes off.")
    minimum_amount = Amount(source="coupon.minimum_cents", help_text="What an order costs at least.")
    currency = Currency()
    expires_at = serializers.DateTimeField(source="lock_expires_at")

    def get_state(self, grant: Any) -> str:
        """The state for its customer."""
        return _STATES[grant.state]


class ClaimSerializer(serializers.Serializer[Any]):
    """How a claim stands."""

    coupon = serializers.CharField(help_text="The code as the shop writes it.")
    state = serializers.ChoiceField(
        choices=[state.value for state in State], help_text="`SUCCEEDED`: the coupon is yours, until `expires_at`."
    )
    expires_at = serializers.DateTimeField(allow_null=True)
    reason = ReasonSerializer(allow_null=True, help_text="Why it is undone.")


class CouponListQuery(lists.ListQuery):
    """Which of a customer's coupons are listed, and how."""

    state = serializers.ChoiceField(choices=["ISSUED", "USED"], required=False)
    coupon = lists.Code(required=False, help_text="Those of this code, without regard to case and surrounding blanks.")
    ordering = lists.ordering("-created_at", "created_at")


class CouponsView(View):
    """A customer's coupons."""

    parameters = CouponListQuery.names()

    @extend_schema(
        operation_id="list_coupons",
        parameters=[CouponListQuery, *RATE],
        responses={200: lists.page_of(CouponSerializer, "CouponPageSerializer"), **problems()},
    )
    def get(self, request: Request) -> Response:
        """List the coupons that you have, or have used, newest first."""
        asked = CouponListQuery.of(request)
        grants = coupons.selectors.coupons_of(customer_id=customer_of(request))
        if "state" in asked:
            grants = grants.filter(state__in=[state for state, told in _STATES.items() if told == asked["state"]])
        grants = grants.filter(**lists.filters(asked, {"coupon": "coupon__code__iexact"}))
        by = "-id" if asked["ordering"] == "-created_at" else "id"
        return Response(
            lists.paged(request, asked, grants, by=by, write=lambda found: CouponSerializer(found, many=True).data)
        )


class ClaimView(View):
    """Claiming a coupon."""

    rates = {"GET": "reads", "POST": "claims"}

    @extend_schema(
        operation_id="claim_coupon",
        parameters=[CODE, *RATE],
        request=None,
        responses={200: ClaimSerializer, 202: ClaimSerializer, **problems(404, 409, 413, 422)},
    )
    def post(self, request: Request, code: str) -> Response:
        """Claim a coupon. 200 if you have it, 202 while it is being issued; read the same address to follow it.

        A repeat does nothing: you get a second one of the same coupon only when you have used the first, and the shop
        lets you have two.
        """
        unknown.NothingSerializer(data=request.data).is_valid(raise_exception=True)
        customer_id = customer_of(request)
        claim = _asked(customer_id, lambda: coupons.services.claim(code=code, customer_id=customer_id))
        return Response(ClaimSerializer(claim).data, status=200 if claim.state is State.SUCCEEDED else 202)

    @extend_schema(
        operation_id="get_claim", parameters=[CODE, *RATE], responses={200: ClaimSerializer, **problems(404)}
    )
    def get(self, request: Request, code: str) -> Response:
        """Read how your latest claim of a coupon stands."""
        customer_id = customer_of(request)
        claim = _asked(customer_id, lambda: coupons.services.how_claim_stands(code=code, customer_id=customer_id))
        if claim is None:
            raise _not_found()
        return Response(ClaimSerializer(claim).data)


def _asked(customer_id: int, ask: Callable[[], Claim | None]) -> Any:
    """Ask for a claim, as a problem where it is refused; a code that is none, or another's, counts as a guess."""
    who = f"customer {customer_id}"
    throttles.hold_back_if_spent("coupon_guesses", who)
    try:
        return ask()
    except CouponUsed as used:
        raise Problem(409, "coupon-limit-reached", _("You have had this coupon as often as you may.")) from used
    except CouponSpent as spent:
        raise Problem(409, "coupon-gone", _("Nothing is left of this coupon.")) from spent
    except sagas.Rejected as refused:
        throttles.hold_back("coupon_guesses", who)
        raise _not_found() from refused


def _not_found() -> Problem:
    # One answer, whether it does not exist, has expired, is switched off, or is another customer's.
    return Problem(404, "coupon-not-found", _("There is no such coupon for you."))
