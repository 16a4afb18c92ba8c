"""The middleware of the project: ids and languages of requests, and what only pages need, passed over by the API's.

A request of the API has neither a cookie nor a form: its token is in a header, and its answer is JSON. Sessions, logins
of the admin and messages took an eighth of what a request for an order cost. What protects an answer stays: hosts, TLS,
and every header.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import uuid_utils
from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django_otp.middleware import OTPMiddleware
from structlog.contextvars import bind_contextvars, clear_contextvars

from sagas import trace_context

#: Where the paths of the API begin. Its docs are pages.
API = "/api/v1/"


#: An id of a request that a caller or a proxy may give; any other text gets one of ours.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=-]{0,99}")


class RequestIds:
    """Gives each request an id, ``X-Request-ID``: the caller's or the proxy's, if it has one.

    The answer has it, each problem (RFC 9457), and each line of the log that is written for the request. A request with
    a ``traceparent`` gets one back. So does one with an ``X-Saga-ID``, if its answer is about no other run.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Bind the id until the thread serves the next request: Django logs what became of this one behind all this."""
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid_utils.uuid7().hex
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        if run_id := _run_id(request.META.get("HTTP_X_SAGA_ID", "")):
            bind_contextvars(run_id=run_id)
        trace_context.receive(request.headers.get("traceparent"), request.headers.get("tracestate"))
        response = self._get_response(request)
        response["X-Request-ID"] = request_id
        if saga := response.get("X-Saga-ID"):
            # For the lines that Django writes of the answer.
            bind_contextvars(run_id=saga)
        elif run_id:
            response["X-Saga-ID"] = run_id
        if (trace := trace_context.current()) is not None:
            response["traceparent"] = trace.traceparent
        return response

    def process_view(self, _request: HttpRequest, _view: object, _args: object, named: dict[str, Any]) -> None:
        """Name the order of the URL in the lines."""
        if order_no := named.get("order_no"):
            bind_contextvars(order_no=str(order_no))


def _run_id(given: str) -> str:
    """The run that a caller names by ``X-Saga-ID``; nothing if that is no id."""
    try:
        return str(UUID(given))
    except ValueError:
        return ""


#: The language in which texts are written in the code.
_WRITTEN = "en"


class Languages:
    """The language of each answer: a page's by its visitor's choice, else by ``Accept-Language``; the API's by that.

    A request of the API that does not ask for Chinese costs nothing: what is said to it is English as it is written.
    A thread serves one request after the other, so the language ends with the request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer in a language."""
        is_of_api = request.path_info.startswith(API)
        if is_of_api and "zh" not in request.META.get("HTTP_ACCEPT_LANGUAGE", "").lower():
            language, response = _WRITTEN, self._get_response(request)
        else:
            language = translation.get_language_from_request(request)
            with translation.override(language, deactivate=True):
                response = self._get_response(request)
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ["Accept-Language"])
        return response


class _OfPages:
    """Mixed into a middleware that passes requests of the API on."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(API):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]  # mixed into a middleware


class Sessions(_OfPages, SessionMiddleware):
    """Django's sessions."""


class Logins(_OfPages, AuthenticationMiddleware):
    """The user who is logged in to the admin. The API finds its own by tokens."""


class SecondFactors(_OfPages, OTPMiddleware):  # type: ignore[misc]  # django-otp ships no types
    """Whether that user has given a second factor."""


class Messages(_OfPages, MessageMiddleware):
    """Messages on the admin's pages."""


class ContentPolicy(CSPMiddleware):
    """The policy of every answer. That of the API is the same for all, and written once."""

    get_response: Any
    _policy: str | None = None

    def __call__(self, request: HttpRequest) -> Any:
        """Add the policy to the answer."""
        # Django's own pages about errors have none while one is developing.
        if settings.DEBUG or not request.path_info.startswith(API):
            return super().__call__(request)
        if self._policy is None:
            self._policy = build_policy()
        response = self.get_response(request)
        response.headers.setdefault(HEADER, self._policy)
        return response
