"""URLs of the project: the admin, the API of orders, and pages. ``drinkgroup.health`` answers probes earlier."""

from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView, TemplateView

from orders.api.protocol import problem_types
from orders.groups import page
from sagas import http

# A function, so that it is evaluated when the page is rendered.
_home = TemplateView.as_view(template_name="home.html", extra_context={"api_docs": lambda: settings.API_DOCS})

urlpatterns = [
    # First, because most requests are of the API, and each pattern before it is tried.
    path("api/", include("orders.api.urls")),
    path("admin/", admin.site.urls),
    path("g/<slug:slug>/", page.show, name="group"),
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
