"""The endpoints of group buys. Who has joined has an order: it is read, paid and cancelled as any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

import campaigns.selectors
import orders.selectors
from campaigns.models import Campaign, CampaignState
from campaigns.selectors import Standing
from orders.api import placing
from orders.api.protocol import idempotency, lists
from orders.api.protocol.addresses import customers_address
from orders.api.protocol.fields import Amount, Currency, Integer, Text
from orders.api.protocol.idempotency import Key
from orders.api.protocol.unknown import StrictSerializer
from orders.api.schema import IDEMPOTENCY_KEY, LOCATION, RATE, REPLAYED, SAGA_ID, problems
from orders.api.serializers import AcceptedSerializer
from orders.api.views import View
from orders.errors import NoSuchCampaign
from orders.groups.joining import Wish

_MAX_QUANTITY = 1000

CAMPAIGN_ID = OpenApiParameter(
    "campaign_id",
    {"type": "integer", "minimum": 1, "maximum": 10**18 - 1, "example": 1},
    OpenApiParameter.PATH,
    description="The campaign's id.",
)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A campaign, and how it stands."""

    campaign: Campaign
    standing: Standing


class JoinSerializer(StrictSerializer):
    """What a customer orders in the group."""

    quantity = Integer(min_value=1, max_value=_MAX_QUANTITY, required=False, default=1, help_text="Cups.")
    coupon = Text(max_length=32, required=False, allow_null=True, default=None)


class CampaignSerializer(serializers.Serializer[Any]):
    """A group buy."""

    id = serializers.IntegerField(source="campaign.pk")
    slug = serializers.CharField(source="campaign.slug")
    title = serializers.CharField(source="campaign.title")
    state = serializers.ChoiceField(choices=CampaignState.values, source="standing.state")
    outcome = serializers.ChoiceField(
        choices=["FORMED", "SHORT", "CALLED_OFF"],
        allow_blank=True,
        source="standing.outcome",
        help_text="How it was decided; empty while it is open.",
    )
    sku = serializers.CharField(source="campaign.sku")
    price_amount = Amount(source="campaign.price_cents", help_text="Of a cup.")
    currency = Currency()
    slot = serializers.IntegerField(source="campaign.slot")
    minimum = serializers.IntegerField(
        source="campaign.minimum", help_text="So many must have paid for the group to form."
    )
    capacity = serializers.IntegerField(source="campaign.capacity")
    most_cups = serializers.IntegerField(source="campaign.most_cups", help_text="Cups that one member may order.")
    takes_coupons = serializers.BooleanField(source="campaign.takes_coupons")
    paid = serializers.IntegerField(source="standing.paid", help_text="Members who have paid.")
    joined = serializers.IntegerField(source="standing.joined", help_text="Those, and members who may still pay.")
    places_left = serializers.IntegerField(source="standing.places_left")
    cups_left = serializers.IntegerField(source="standing.cups_left")
    closes_at = serializers.DateTimeField(source="standing.closes_at", help_text="When the last may join.")
    takes_joins = serializers.BooleanField(source="standing.takes_joins")
    page = serializers.CharField(source="campaign.page_path", help_text="The path of the page to share.")


def _show(found: Iterable[Campaign]) -> list[_Shown]:
    listed = list(found)
    standings = campaigns.selectors.standings(campaign_ids=[campaign.pk for campaign in listed])
    return [_Shown(campaign, standings[campaign.pk]) for campaign in listed]


class CampaignListQuery(lists.ListQuery):
    """Which group buys are listed, and how."""

    state = serializers.ChoiceField(
        choices=CampaignState.values, required=False, help_text="Without it: all that are not settled."
    )
    sku = lists.Code(required=False, help_text="Those of a drink.")
    ordering = lists.ordering("-created_at", "created_at", "closes_at", "-closes_at")


class CampaignsView(View):
    """The group buys."""

    parameters = CampaignListQuery.names()

    @extend_schema(
        operation_id="campaigns",
        parameters=[CampaignListQuery, *RATE],
        responses={200: lists.page_of(CampaignSerializer, "CampaignPageSerializer"), **problems()},
    )
    def get(self, request: Request) -> Response:
        """List the group buys that are not settled, the newest first."""
        asked = CampaignListQuery.of(request)
        found = Campaign.objects.all() if "state" in asked else campaigns.selectors.current()
        found = found.filter(**lists.filters(asked, {"state": "state", "sku": "sku"}))
        by = asked["ordering"].replace("created_at", "id")
        return Response(
            lists.paged(
                request, asked, found, by=by, write=lambda page: CampaignSerializer(_show(page), many=True).data
            )
        )


class CampaignView(View):
    """One group buy."""

    @extend_schema(
        operation_id="campaign",
        parameters=[CAMPAIGN_ID, *RATE],
        responses={200: CampaignSerializer, **problems(404)},
    )
    def get(self, _request: Request, campaign_id: int) -> Response:
        """Read a group buy, and how it stands now."""
        shown = _show(Campaign.objects.filter(pk=campaign_id))
        if not shown:
            raise NoSuchCampaign
        return Response(CampaignSerializer(shown[0]).data)


class JoinView(View):
    """Joining a group buy."""

    rates = {"POST": "orders"}

    @extend_schema(
        operation_id="join_campaign",
        parameters=[CAMPAIGN_ID, IDEMPOTENCY_KEY, REPLAYED, LOCATION, SAGA_ID, *RATE],
        request=JoinSerializer,
        responses={202: AcceptedSerializer, **problems(404, 409, 413, 422)},
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Join a group buy. It makes an order, which `Location` shows; pay it in time to keep the place.

        The order is confirmed once it is paid and the group has formed. If the group does not form, it is undone, and
        what was paid goes back. To leave before the group has formed, cancel the order.
        """
        key = idempotency.key_of(request)
        body = JoinSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked: Mapping[str, Any] = body.validated_data
        customer_id = int(request.user.pk)  # type: ignore[arg-type]  # not None: authenticated
        wish = Wish(campaign_id, customer_id, asked["quantity"], asked["coupon"])
        answer = placing.join(
            wish=wish,
            address=customers_address(request),
            key=None if key is None else Key(key, idempotency.fingerprint(request, asked)),
        )
        run_id = answer.run_id or orders.selectors.run_of(order_no=answer.body["order_no"])
        headers = {"Location": answer.location, "X-Saga-ID": str(run_id)}
        if answer.replayed:
            headers["Idempotency-Replayed"] = "true"
        return Response(answer.body, status=answer.status, headers=headers)
