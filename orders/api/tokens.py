"""Tokens: a customer logs in for one, lists their own, and revokes them. Each expires.

A token is shown once, and kept hashed (knox). Its id is its first 15 characters of 64, which name it and do not
reveal it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from orders.api import serializers
from orders.api.protocol import unknown
from orders.api.protocol.problems import Problem
from orders.api.schema import RATE, TOKEN_ID, problems
from orders.api.views import View

#: Valid tokens of one customer. A new one revokes the oldest, so that a login is always possible.
MOST = 20


def lifetime() -> timedelta:
    """How long a token lives."""
    return cast("timedelta", settings.REST_KNOX["TOKEN_TTL"])


def ends_at(token: Any) -> datetime:
    """When a token expires; a token without an end has the same lifetime as the others."""
    found: datetime = token.expiry or token.created + lifetime()
    return found


def living(user: Any) -> QuerySet[Any]:
    """A customer's valid tokens, the newest first."""
    now = timezone.now()
    good = Q(expiry__gt=now) | Q(expiry__isnull=True, created__gt=now - lifetime())
    found: QuerySet[Any] = AuthToken.objects.filter(good, user=user).order_by("-created", "digest")
    return found


def sweep() -> int:
    """Delete expired tokens; return how many."""
    now = timezone.now()
    ended = Q(expiry__lte=now) | Q(expiry__isnull=True, created__lte=now - lifetime())
    swept, _ = AuthToken.objects.filter(ended).delete()
    return int(swept)


@transaction.atomic
def issue(user: AbstractBaseUser) -> tuple[Any, str]:
    """Create a token: its row, and the secret, which is shown only once."""
    # Simultaneous logins of one customer wait for each other.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    kept = list(living(user).values_list("digest", flat=True)[: MOST - 1])
    AuthToken.objects.filter(user=user).exclude(digest__in=kept).delete()
    made: tuple[Any, str] = AuthToken.objects.create(user=user)
    return made


class TokensView(View):
    """A customer's tokens."""

    rates = {"GET": "reads", "POST": "logins", "DELETE": "cancels"}

    def get_authenticators(self) -> list[Any]:
        """Ignore the token of a login request: an expired token must not prevent a new one."""
        # None while the schema is made.
        if getattr(self.request, "method", None) == "POST":
            return []
        return super().get_authenticators()

    def get_permissions(self) -> list[Any]:
        """Allow logins without authentication."""
        return [AllowAny()] if self.request.method == "POST" else list(super().get_permissions())

    @extend_schema(
        operation_id="log_in",
        auth=[],
        parameters=RATE,
        request=serializers.LoginSerializer,
        responses={201: serializers.IssuedSerializer, **problems(413, 422)},
    )
    def post(self, request: Request) -> Response:
        """Log in, and get a token. It is shown here, and never again.

        401: name and password do not match. 429 after too many failures of a name or from an address: then no
        password is checked for a while. Of more than twenty tokens the oldest is revoked.
        """
        body = serializers.LoginSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = request._request
        user = authenticate(asked, **body.validated_data)
        if getattr(asked, "axes_locked_out", False):
            # The middleware of axes would answer with the admin's page.
            asked.axes_locked_out = False  # type: ignore[attr-defined]  # django-axes put it there
            wait = str(int(settings.AXES_COOLOFF_TIME.total_seconds()))
            raise Problem(
                429, "too-many-requests", _("There were too many failed logins."), headers={"Retry-After": wait}
            )
        if user is None:
            detail = _("Name and password do not fit.")
            raise Problem(401, "invalid-credentials", detail, headers={"WWW-Authenticate": "Token"})
        token, secret = issue(user)
        user_logged_in.send(sender=type(user), request=asked, user=user)
        issued = {"id": token.token_key, "token": secret, "created_at": token.created, "expires_at": ends_at(token)}
        return Response(serializers.IssuedSerializer(issued).data, status=201, headers={"Cache-Control": "no-store"})

    @extend_schema(
        operation_id="list_tokens",
        parameters=RATE,
        responses={200: serializers.TokenSerializer(many=True), **problems()},
    )
    def get(self, request: Request) -> Response:
        """List your valid tokens, the newest first; `current` is the one that you use."""
        told = [
            {
                "id": token.token_key,
                "created_at": token.created,
                "expires_at": ends_at(token),
                "current": token.digest == getattr(request.auth, "digest", None),
            }
            for token in living(request.user)
        ]
        return Response(serializers.TokenSerializer(told, many=True).data)

    @extend_schema(operation_id="revoke_tokens", parameters=RATE, request=None, responses={204: None, **problems()})
    def delete(self, request: Request) -> Response:
        """Revoke all of your tokens, this one too."""
        unknown.NothingSerializer(data=request.data).is_valid(raise_exception=True)
        AuthToken.objects.filter(user=request.user).delete()
        return Response(status=204)


class TokenView(View):
    """One token of a customer."""

    rates = {"DELETE": "cancels"}

    @extend_schema(
        operation_id="revoke_token",
        parameters=[TOKEN_ID, *RATE],
        request=None,
        responses={204: None, **problems(404)},
    )
    def delete(self, request: Request, token_id: str) -> Response:
        """Revoke one of your tokens. `current` is the one that you use."""
        unknown.NothingSerializer(data=request.data).is_valid(raise_exception=True)
        mine = AuthToken.objects.filter(user=request.user)
        is_current = token_id == "current"  # noqa: S105 - no password, but the id of whatever this request came with
        which = {"digest": getattr(request.auth, "digest", "")} if is_current else {"token_key": token_id}
        deleted = mine.filter(**which).delete()[0]
        if not deleted:
            raise Problem(404, "token-not-found", _("You have no token %(token)s.") % {"token": token_id})
        return Response(status=204)
