"""Every error of the API as an RFC 9457 problem: one place that turns errors into answers.

``exception_handler`` serves the views; ``not_found``, ``bad_request`` and ``server_error`` serve what
fails outside them, under ``/api/``. A problem's ``type`` is stable; its ``detail`` is for people.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import Error, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from structlog.contextvars import get_contextvars

import sagas
from orders.api.protocol import reasons, unknown
from orders.api.protocol.bodies import drain
from orders.api.protocol.problem_types import TYPES, title, told
from orders.errors import Fault, JoinRefused, NoSuchCampaign, OrderNotFound, OrderRefused, SoldOut, TooMuchOpen
from sagas.db import close_session, describe_error, is_transient
from sagas.errors import DataTooLarge, InvalidArgument, SagaError

MEDIA_TYPE = "application/problem+json"

logger = logging.getLogger(__name__)


class Problem(exceptions.APIException):
    """An error with a type of its own.

    Args:
        status: HTTP status.
        code: last part of the problem's type.
        detail: one sentence for the client's developer or customer.
        errors: what is wrong where, as ``{"pointer", "code", "detail"}``.
        headers: HTTP headers that go with it.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.code = code
        self.errors = errors
        self.headers = dict(headers or {})

    def body(self, path: str) -> dict[str, Any]:
        """Write the problem's JSON for a request to ``path``."""
        body: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": title(self.code),
            "status": self.status_code,
            "detail": str(self.detail),
            "instance": path,
        }
        if request_id := get_contextvars().get("request_id"):
            body["request_id"] = request_id
        if self.errors:
            body["errors"] = list(self.errors)
        return body


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer an exception of a view; ``None``, which becomes a 500 by ``server_error``, for an unexpected one."""
    problem = problem_of(error)
    if problem is None:
        return None
    request = context["request"]
    if problem.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        drain(request)
    # A problem is always JSON: the schema view would write it as YAML, the docs view as a page.
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    return Response(
        problem.body(request.path), status=problem.status_code, headers=problem.headers, content_type=MEDIA_TYPE
    )


def problem_of(error: Exception) -> Problem | None:
    """The problem that an exception is for a client; ``None`` for an unexpected one."""
    match error:
        case Problem():
            return error
        case JoinRefused() | NoSuchCampaign() | OrderNotFound() | OrderRefused() | TooMuchOpen():
            return _of_orders(error)
        case SagaError():
            return _of_engine(error)
        case Error() if _is_unavailable(error):
            return _unavailable(error)
        case RequestDataTooBig():
            return Problem(413, "body-too-large", _("The body is larger than 64 KiB."))
        case Http404():
            return Problem(404, "not-found", _("There is nothing here."))
        case PermissionDenied():
            return Problem(403, "forbidden", _("You may not do this."))
        case exceptions.ValidationError(detail=detail):
            errors = list(_flatten(detail, "#"))
            if {error["code"] for error in errors} == {unknown.FIELD}:
                return Problem(
                    422, unknown.FIELD, _("The request has fields that do not exist; see errors."), errors=errors
                )
            return Problem(422, "invalid-request", _("The request does not fit; see errors."), errors=errors)
        case exceptions.APIException():
            return _of_framework(error)
    return None


def _of_orders(error: Exception) -> Problem | None:
    """Translate an error of the orders domain."""
    match error:
        case OrderRefused(faults=faults):
            codes = {fault.code for fault in faults}
            errors = [{"pointer": f"#{f.pointer}", "code": f.code, "detail": _detail(f)} for f in faults]
            detail = " ".join(found["detail"] for found in errors)
            if isinstance(error, SoldOut):
                return Problem(409, error.problem, detail if detail.endswith("。") else f"{detail}.", errors=errors)
            return Problem(422, codes.pop() if len(codes) == 1 else "order-refused", detail, errors=errors)
        case TooMuchOpen(retry_after=seconds):
            return Problem(
                429, "too-many-open-orders", _("%(why)s.") % {"why": error}, headers={"Retry-After": str(seconds)}
            )
        case OrderNotFound():
            return Problem(404, "order-not-found", _("There is no order %(order_no)s.") % {"order_no": error})
        case JoinRefused(code=code):
            return Problem(409, code, str(error))
        case NoSuchCampaign():
            return Problem(404, "campaign-not-found", _("There is no such group buy."))
    return None


def _detail(fault: Fault) -> str:
    """The sentence of a fault. Rejections, and what a coupon asks for, are written in English by other apps."""
    if fault.code in TYPES:
        return told(fault.code, fault.detail) if fault.code == "coupon-minimum" else fault.detail
    return str(reasons.detail_text({"kind": "rejected", "code": fault.code, "detail": fault.detail}))


def _is_unavailable(error: BaseException | None) -> bool:
    """Whether the database failed temporarily, which is not the client's fault."""
    return isinstance(error, OperationalError | InterfaceError) or (error is not None and is_transient(error))


def _unavailable(error: BaseException) -> Problem:
    logger.warning("the database could not serve a request: %s", describe_error(error))
    close_session()
    detail = _("The database does not answer. Repeat the request with the same Idempotency-Key.")
    return Problem(503, "database-unavailable", detail, headers={"Retry-After": "1"})


def _of_engine(error: SagaError) -> Problem | None:
    """Translate an error of the engine."""
    match error:
        case sagas.AlreadyDecided(state=state):
            code = "order-undone" if state in {"COMPENSATING", "FAILED"} else "order-decided"
            return Problem(409, code, told(code, f"The order is {state}: {error}."))
        case sagas.InvalidRequest(errors=found):
            # The serializer accepts it and the saga does not, as an order that is too large.
            errors = [
                {
                    "pointer": "#",
                    "code": str(e.get("type", "invalid")),
                    "detail": told("invalid-request", str(e["msg"])),
                }
                for e in found
            ]
            return Problem(422, "invalid-request", _("The request does not fit; see errors."), errors=errors)
        case InvalidArgument():
            return Problem(422, "invalid-request", told("invalid-request", f"{error}."))
        case DataTooLarge():
            return Problem(413, "body-too-large", told("body-too-large", f"{error}."))
        case sagas.Overloaded(retry_after=seconds):
            return Problem(503, "overloaded", told("overloaded", f"{error}."), headers={"Retry-After": str(seconds)})
    return None


def _of_framework(error: exceptions.APIException) -> Problem:
    """Translate an exception of the REST framework: its status says which problem it is."""
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    code = {
        400: "malformed-json",
        401: "unauthenticated",
        403: "forbidden",
        404: "not-found",
        405: "method-not-allowed",
        406: "not-acceptable",
        415: "unsupported-media-type",
        429: "too-many-requests",
    }.get(error.status_code, "error")
    return Problem(error.status_code, code, str(error.detail), headers=headers)


def _flatten(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    """List the errors of a serializer, each with a JSON pointer to its place."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            yield from _flatten(value, pointer if key == "non_field_errors" else f"{pointer}/{_token(key)}")
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            # A list of texts belongs to one place; a list of mappings has one place for each element.
            yield from _flatten(value, f"{pointer}/{index}" if isinstance(value, Mapping) else pointer)
    else:
        yield {"pointer": pointer, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}


def _token(key: Any) -> str:
    """Escape a name as a part of a JSON pointer in a URI fragment (RFC 6901)."""
    return quote(str(key).replace("~", "~0").replace("/", "~1"), safe="~", errors="replace")


def _plain(request: HttpRequest, problem: Problem) -> HttpResponse:
    return JsonResponse(
        problem.body(request.path), status=problem.status_code, headers=problem.headers, content_type=MEDIA_TYPE
    )


# Exempt from CSRF, so that a POST to an unknown URL is "not found" instead of a CSRF failure.
@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer an unknown URL."""
    if not request.path.startswith("/api/"):
        return defaults.page_not_found(request, exception or Http404())
    return _plain(request, Problem(404, "not-found", _("There is nothing here.")))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refuses."""
    if not request.path.startswith("/api/"):
        return defaults.bad_request(request, exception)
    return _plain(request, Problem(400, "bad-request", _("The request is malformed.")))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an unexpected error. Django has logged it; the client gets no internal details.

    Outside the API (the admin, middleware) a database that cannot serve comes here, too.
    """
    if _is_unavailable(error := sys.exc_info()[1]):
        assert error is not None
        problem = _unavailable(error)
        if request.path.startswith("/api/"):
            return _plain(request, problem)
        text = "The database does not answer. Try again in a moment.\n"
        return HttpResponse(text, status=503, headers=problem.headers, content_type="text/plain")
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    return _plain(request, Problem(500, "internal-error", _("Something broke on our side; it has been logged.")))
