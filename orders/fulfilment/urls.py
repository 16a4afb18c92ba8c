"""The URLs of staff's pages, below ``/staff/``."""

from __future__ import annotations

from django.urls import path

from orders.fulfilment import views

app_name = "staff"
urlpatterns = [
    path("", views.stores, name="stores"),
    path("<slug:code>/", views.queue, name="queue"),
    path("<slug:code>/slots/", views.slots, name="slots"),
    path("<slug:code>/move/", views.move, name="move"),
    path("<slug:code>/refuse/<slug:order_no>/", views.refuse, name="refuse"),
]
