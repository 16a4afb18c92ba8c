"""Requests of the API pass over the middleware of pages, and are answered as if they did not."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as project
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from drinkgroup import middleware

OURS = (
    middleware.ContentPolicy,
    middleware.Sessions,
    middleware.Logins,
    middleware.SecondFactors,
    middleware.Messages,
)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


#: The classes of Django and others from which ours are derived.
THEIRS = {_name(ours): _name(ours.__bases__[-1]) for ours in OURS}
ASKED: dict[str, dict[str, Any]] = {
    "read": {"method": "GET", "path": "/api/v1/menu/"},
    "of a browser": {"method": "GET", "path": "/api/v1/menu/", "HTTP_COOKIE": "csrftoken=abc; theme=dark"},
    "not authenticated": {"method": "GET", "path": "/api/v1/orders/"},
    "another method": {"method": "PUT", "path": "/api/v1/orders/"},
    "no such path": {"method": "GET", "path": "/api/v1/nowhere/"},
    "not signed": {"method": "POST", "path": "/api/v1/orders/20260101-ABC/confirm/"},
    "another host": {"method": "GET", "path": "/api/v1/menu/", "HTTP_HOST": "example.com"},
    "without TLS": {"method": "GET", "path": "/api/v1/menu/", "secure": False},
    "a page": {"method": "GET", "path": "/"},
    "the admin": {"method": "GET", "path": "/admin/login/"},
}
#: They are others from request to request.
COUNTED = {"RateLimit", "X-Request-ID"}


def _answer(asked: dict[str, Any]) -> tuple[int, dict[str, str], list[str]]:
    given = {"secure": True, **asked}
    answer = Client(enforce_csrf_checks=True, raise_request_exception=False).generic(
        given.pop("method"), given.pop("path"), **given
    )
    headers = {name: value for name, value in answer.items() if name not in COUNTED}
    return answer.status_code, headers, sorted(answer.cookies)


@pytest.mark.parametrize("debug", [False, True], ids=["", "DEBUG"])
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
def test_an_answer_is_as_with_djangos_own_middleware(
    database: None, settings: Settings, asked: dict[str, Any], debug: bool
) -> None:
    # Given the settings of a deployment
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.DEBUG = debug
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 3600
    ours = _answer(asked)
    # When the same is asked through the middleware from which ours is derived
    assert set(THEIRS) <= set(project.MIDDLEWARE)
    settings.MIDDLEWARE = [THEIRS.get(name, name) for name in project.MIDDLEWARE]
    theirs = _answer(asked)
    # Then status, headers and cookies are the same
    if asked["path"] == "/admin/login/":
        assert ours[0] == theirs[0] and ours[1].keys() == theirs[1].keys() and ours[2] == theirs[2]
    else:
        assert ours == theirs


def test_whoever_is_logged_in_to_the_admin_is_nobody_for_the_api(database: None) -> None:
    user = User.objects.create_superuser("chief-of-pages", password="a long passphrase")
    client = Client()
    client.force_login(user)
    assert client.get("/admin/").status_code == 200
    assert client.get("/api/v1/orders/").status_code == 401
    user.delete()
