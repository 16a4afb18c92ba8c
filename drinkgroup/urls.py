"""URLs of the project: the admin, the API of orders, and pages. ``drinkgroup.health`` answers probes earlier."""

from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.decorators.http import require_POST
from django.views.generic import RedirectView, TemplateView
from django.views.i18n import set_language

from drinkgroup import accounts
from orders.api.protocol import problem_types
from orders.groups import page
from orders.pages import confirmed, history, placing, stores
from sagas import http

# A function, so that it is evaluated when the page is rendered.
_home = TemplateView.as_view(template_name="home.html", extra_context={"api_docs": lambda: settings.API_DOCS})

urlpatterns = [
    # First, because most requests are of the API, and each pattern before it is tried.
    path("api/", include("orders.api.urls")),
    path("admin/", admin.site.urls),
    path("sign-in/", accounts.SignIn.as_view(), name="sign-in"),
    path("sign-out/", accounts.SignOut.as_view(), name="sign-out"),
    path("password/", accounts.ChangePassword.as_view(), name="change-password"),
    path("language/", require_POST(set_language), name="language"),
    path("order/", placing.order, name="place-order"),
    path("orders/", history.orders, name="my-orders"),
    path("orders/<order_no:order_no>/", history.order, name="my-order"),
    path("orders/<order_no:order_no>/cancel/", history.cancel, name="cancel-order"),
    path("orders/<order_no:order_no>/rebook/", confirmed.rebook, name="rebook-order"),
    path("orders/<order_no:order_no>/give-back/", confirmed.give_back, name="give-back-order"),
    path("stores/", stores.stores, name="stores"),
    path("g/<slug:slug>/", page.show, name="group"),
    path("g/<slug:slug>/join/", page.join, name="join-group"),
    path("g/<slug:slug>/leave/", page.leave, name="leave-group"),
    path("g/<slug:slug>/qr.svg", page.qr, name="group-qr"),
    path("g/<slug:slug>/events/", page.events, name="group-events"),
    path("sagas/reports/", http.report),
    path("staff/", include("orders.fulfilment.urls")),
    path("problems/", problem_types.index, name="problems"),
    path("problems/<slug:code>", problem_types.page, name="problem"),
    # Browsers request it for every page.
    path("favicon.ico", RedirectView.as_view(url=static("orders/icon.svg"))),
    path("", _home, name="home"),
]

handler400 = "orders.api.protocol.problems.bad_request"
handler404 = "orders.api.protocol.problems.not_found"
handler500 = "orders.api.protocol.problems.server_error"
