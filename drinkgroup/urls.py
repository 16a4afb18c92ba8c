"""URLs of the project: the admin, and the API of orders."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
