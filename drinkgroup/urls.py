"""URLs of the project: the admin, the API of orders, and health."""

from django.contrib import admin
from django.urls import include, path

from drinkgroup import health
from sagas import callbacks

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("orders.api.urls")),
    path("sagas/reports/", callbacks.report),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]

handler400 = "orders.api.problems.bad_request"
handler404 = "orders.api.problems.not_found"
handler500 = "orders.api.problems.server_error"
