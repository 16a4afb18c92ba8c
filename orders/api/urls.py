"""The API's URLs, below ``/api/``."""

from __future__ import annotations

from django.urls import include, path, re_path, register_converter, reverse_lazy
from django.urls.converters import IntConverter, StringConverter
from django.utils.text import format_lazy

from orders.api import campaigns, coupons, docs, endpoints, examples, stores, streams, tokens, views
from orders.api.protocol import problems


class OrderNumberConverter(StringConverter):
    """Strings that may be order numbers. Others, such as one with a NUL byte, never reach the database."""

    regex = "[0-9A-Za-z-]{1,32}"


class TokenIdConverter(StringConverter):
    """Strings that may be ids of tokens."""

    regex = "[0-9A-Za-z]{1,25}"


class CouponCodeConverter(StringConverter):
    """Strings that may be codes of coupons, with blanks around them."""

    regex = r"[^/\x00-\x1f\x7f]{1,64}"


class CampaignIdConverter(IntConverter):
    """Numbers that may be ids of campaigns: the database has none that is larger."""

    regex = "[0-9]{1,18}"


register_converter(CampaignIdConverter, "campaign_id")


class GatewayConverter(StringConverter):
    """Strings that may be names of gateways."""

    regex = "[0-9A-Za-z_-]{1,32}"


class StoreCodeConverter(StringConverter):
    """Strings that may be codes of stores."""

    regex = "[0-9A-Za-z_-]{1,32}"


register_converter(StoreCodeConverter, "store_code")
register_converter(OrderNumberConverter, "order_no")
register_converter(CouponCodeConverter, "coupon_code")
register_converter(TokenIdConverter, "token_id")
register_converter(GatewayConverter, "gateway")

app_name = "api"
# The most frequent first: each pattern before it is tried.
_V1 = [
    path("orders/", views.OrdersView.as_view(), name="orders"),
    path("orders/<order_no:order_no>/", views.OrderView.as_view(), name="order"),
    path("orders/<order_no:order_no>/confirm/", views.ConfirmView.as_view(), name="confirm"),
    path("orders/<order_no:order_no>/cancel/", views.CancelView.as_view(), name="cancel"),
    path("orders/<order_no:order_no>/events/", streams.EventsView.as_view(), name="events"),
    path("orders/<order_no:order_no>/events/ticket/", streams.TicketView.as_view(), name="events-ticket"),
    path("coupons/", coupons.CouponsView.as_view(), name="coupons"),
    path("coupons/<coupon_code:code>/claim/", coupons.ClaimView.as_view(), name="claim"),
    path("orders/<order_no:order_no>/rebook/", stores.RebookView.as_view(), name="rebook"),
    path("stores/", stores.StoresView.as_view(), name="stores"),
    path("stores/<store_code:store>/slots/", stores.OpenDayView.as_view(), name="open-slots"),
    path("fulfilments/", stores.FulfilmentsView.as_view(), name="fulfilments"),
    path("fulfilments/<order_no:order_no>/move/", stores.MoveView.as_view(), name="move-fulfilment"),
    path("orders/<order_no:order_no>/refund/", views.RefundView.as_view(), name="refund"),
    path("payments/webhook/<gateway:gateway>/", views.WebhookView.as_view(), name="webhook"),
    path("tokens/", tokens.TokensView.as_view(), name="tokens"),
    path("tokens/<token_id:token_id>/", tokens.TokenView.as_view(), name="token"),
    path("webhook-endpoints/", endpoints.EndpointsView.as_view(), name="endpoints"),
    path("webhook-endpoints/<uuid:endpoint_id>/", endpoints.EndpointView.as_view(), name="endpoint"),
    path("webhook-endpoints/<uuid:endpoint_id>/test/", endpoints.EndpointTestView.as_view(), name="endpoint-test"),
    path("events/", endpoints.EventsView.as_view(), name="event-list"),
    path("campaigns/", campaigns.CampaignsView.as_view(), name="campaigns"),
    path("campaigns/<campaign_id:campaign_id>/", campaigns.CampaignView.as_view(), name="campaign"),
    path("campaigns/<campaign_id:campaign_id>/join/", campaigns.JoinView.as_view(), name="join"),
    path("menu/", views.MenuView.as_view(), name="menu"),
    path("slots/", views.SlotsView.as_view(), name="slots"),
]
#: The docs page asks for the example, so that it can be tried out.
_WITH_EXAMPLE = format_lazy("{}?{}=1", reverse_lazy("api:schema"), examples.WANTED)
urlpatterns = [
    path("v1/", include(_V1)),
    path("schema/", docs.SchemaView.as_view(), name="schema"),
    path("docs/", docs.DocsView.as_view(url=_WITH_EXAMPLE), name="docs"),
    # Here too, and not only as handler404, so that a URL without its last slash is not redirected (a POST would
    # become a GET), and the answer is the same in DEBUG.
    re_path("", problems.not_found),
]
