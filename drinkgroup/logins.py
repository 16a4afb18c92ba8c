"""Limits of failed logins: guessing is refused before a password is hashed.

django-axes counts failures in the database, so that all web processes share the counts. Its own limit is one number
for everything that it counts. Here a name, an address and both together have a limit each, because an address may be
a whole office, and a name may be tried from a thousand addresses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_ip_address, get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.admin import ModelAdmin
from django.contrib.admin.sites import AdminSite
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q, Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django_otp.admin import OTPAdminSite


class LoginHandler(AxesDatabaseHandler):  # type: ignore[misc]  # axes ships no types
    """Count failures by name and address together, by address, and by name."""

    def is_locked(self, request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> bool:
        """Whether one of the three counts has reached its limit within ``AXES_COOLOFF_TIME``."""
        limits = settings.LOGIN_FAILURES
        name, address = get_client_username(request, credentials), get_client_ip_address(request)
        by_both = Q(username=name, ip_address=address)
        counts = AccessAttempt.objects.filter(
            Q(username=name) | Q(ip_address=address), attempt_time__gte=get_cool_off_threshold(request)
        ).aggregate(
            both=Sum("failures_since_start", filter=by_both),
            address=Sum("failures_since_start", filter=Q(ip_address=address)),
            name=Sum("failures_since_start", filter=Q(username=name)),
        )
        return any((counts[key] or 0) >= limits[key] for key in ("both", "address", "name"))

    def get_failures(self, request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> int:
        """Return 1 if this failure was the last allowed one, for axes to compare with its own limit, 1."""
        return int(self.is_locked(request, credentials))


def failure_limit(_request: HttpRequest, _credentials: Mapping[str, Any] | None) -> int:
    """The limit of axes, to which ``LoginHandler`` counts."""
    return 1


def locked_out(
    request: HttpRequest, _response: HttpResponse | None, _credentials: Mapping[str, Any] | None
) -> HttpResponse:
    """Answer that no login is tried for a while, and for how long."""
    minutes = round(settings.AXES_COOLOFF_TIME.total_seconds() / 60)
    is_of_admin = request.path.startswith(reverse("admin:index"))
    return TemplateResponse(
        request,
        "admin/locked_out.html" if is_of_admin else "accounts/locked_out.html",
        {"minutes": minutes, "title": _("Too many attempts")},
        status=429,
        headers={"Retry-After": str(minutes * 60)},
    ).render()


class ShopAdminSite(OTPAdminSite):  # type: ignore[misc]  # django-otp ships no types
    """Django's admin, which asks for a second factor if ``ADMIN_SECOND_FACTOR`` is set, and guards every history."""

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        if not settings.ADMIN_SECOND_FACTOR:
            self.login_form = AdminSite.login_form
            self.login_template = AdminSite.login_template

    def has_permission(self, request: HttpRequest) -> bool:
        """Let in active staff, with their second factor if it is required."""
        if settings.ADMIN_SECOND_FACTOR:
            return bool(super().has_permission(request))
        user = request.user
        return isinstance(user, AbstractBaseUser) and user.is_active and bool(getattr(user, "is_staff", False))

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., HttpResponse]:
        """Wrap a view as Django does. A history is refused before its row is looked for, in other people's admins too:
        Django's view tells anyone in the admin whether there is such a row.
        """
        owner = getattr(view, "__self__", None)
        if isinstance(owner, ModelAdmin) and view.__name__ == "history_view":
            view = _asked_first(owner, view)
        wrapped: Callable[..., HttpResponse] = super().admin_view(view, cacheable)
        return wrapped


def _asked_first(owner: ModelAdmin[Any], view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @functools.wraps(view)
    def asked_first(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not owner.has_view_or_change_permission(request):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return asked_first
