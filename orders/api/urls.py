"""The API's URLs, below ``/api/``."""

from __future__ import annotations

from django.urls import include, path, re_path, register_converter, reverse_lazy
from django.urls.converters import StringConverter
from django.utils.text import format_lazy

from orders.api import docs, examples, problems, tokens, views


class OrderNumberConverter(StringConverter):
    """Strings that may be order numbers. Others, such as one with a NUL byte, never reach the database."""

    regex = "[0-9A-Za-z-]{1,32}"


class TokenIdConverter(StringConverter):
    """Strings that may be ids of tokens."""

    regex = "[0-9A-Za-z]{1,25}"


register_converter(OrderNumberConverter, "order_no")
register_converter(TokenIdConverter, "token_id")

app_name = "api"
_V1 = [
    path("tokens/", tokens.TokensView.as_view(), name="tokens"),
    path("tokens/<token_id:token_id>/", tokens.TokenView.as_view(), name="token"),
    path("menu/", views.MenuView.as_view(), name="menu"),
    path("slots/", views.SlotsView.as_view(), name="slots"),
    path("orders/", views.OrdersView.as_view(), name="orders"),
    path("orders/<order_no:order_no>/", views.OrderView.as_view(), name="order"),
    path("orders/<order_no:order_no>/confirm/", views.ConfirmView.as_view(), name="confirm"),
    path("orders/<order_no:order_no>/cancel/", views.CancelView.as_view(), name="cancel"),
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
