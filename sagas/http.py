"""A view by which a participant reports the outcome of an accepted operation, signed as Standard Webhooks are.

Put ``path("sagas/reports/", http.report)`` into the project's URLs, and ``SAGAS["CALLBACK_SECRET"]`` into its settings.
Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

import sagas
from sagas.conf import Misconfigured, config
from sagas.db import close_session, describe_error, is_transient
from sagas.definition.participants import Done
from sagas.errors import NotAwaited, Rejected, RunNotFound, UnknownSaga, UnknownStep
from sagas.signatures import BadSignature, parse_secrets, verify_signature
from sagas.validation import parse_json

logger = logging.getLogger(__name__)

_FORM = (
    'Send {"run": id, "step": name, "operation": name, "outcome": "done" or "rejected", '
    '"result" or "code" and "detail"}.'
)

_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: {"Allow": "POST"},
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {"Accept-Encoding": "identity"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "1"},
}
_FIELDS = {"run", "step", "operation", "outcome", "result", "code", "detail"}


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@csrf_exempt
def report(request: HttpRequest) -> JsonResponse:
    """Take ``{"run", "step", "operation", "outcome": "done" | "rejected", "result" | "code", "detail"}``.

    See ``sagas.report``. Without "operation" it is a report of the step's forward operation. The answer is 200 with the
    run's state, also to a repeat; 400 for an invalid body; 401 without a valid signature of the last five minutes; 404
    for an unknown run, step or operation; 409 for an operation that has not begun; 503 with Retry-After while the
    database is not available.
    """
    try:
        body = _verified(request)
        run_id, step, operation, outcome = _read(body)
        try:
            state = sagas.report(run_id, step, outcome, operation=operation, by="callback")
        except (RunNotFound, UnknownStep, UnknownSaga) as error:
            raise _Refused(HTTPStatus.NOT_FOUND, str(error)) from error
        except NotAwaited as error:
            raise _Refused(HTTPStatus.CONFLICT, str(error)) from error
        except (TypeError, ValueError) as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"result: {error}") from error
        except Error as error:
            if not is_transient(error):
                raise
            close_session()
            logger.warning("sagas: a report could not be taken: %s", describe_error(error))
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer. Report again.") from error
    except _Refused as refused:
        return JsonResponse(
            {"type": "about:blank", "title": refused.status.phrase, "status": refused.status, "detail": str(refused)},
            status=refused.status,
            content_type="application/problem+json",
            headers=_HEADERS.get(refused.status, {}),
        )
    return JsonResponse({"run": str(run_id), "state": state})


def _verified(request: HttpRequest) -> bytes:
    """The body, after its signature was verified."""
    if request.method != "POST":
        raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Reports are posted.")
    try:
        secret = config().callback_secret
    except Misconfigured as error:
        # With such settings no process starts, unless the check is silenced. The sender will repeat the report.
        logger.exception("sagas: no report can be taken")
        raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Reports cannot be taken at the moment.") from error
    if secret is None:
        raise _Refused(HTTPStatus.NOT_FOUND, "Nothing is reported here: SAGAS['CALLBACK_SECRET'] is not set.")
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the report as it is, not compressed.")
    try:
        body = _body(request)
    except RequestDataTooBig as error:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The report is too large.") from error
    try:
        verify_signature(body, request.headers, parse_secrets(secret))
    except BadSignature as error:
        raise _Refused(HTTPStatus.UNAUTHORIZED, "The signature is missing, wrong, or too old.") from error
    return body


def _body(request: HttpRequest) -> bytes:
    """Read the body, also a chunked one: Django reads nothing of it if the server leaves it chunked."""
    if request.body or "Transfer-Encoding" not in request.headers or request.META.get("CONTENT_LENGTH"):
        return request.body
    if not request.META.get("wsgi.input_terminated"):
        raise _Refused(HTTPStatus.LENGTH_REQUIRED, "Say how long the report is, by Content-Length.")
    limit = cast("int | None", settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    body: bytes = request.META["wsgi.input"].read(-1 if limit is None else limit + 1)
    if limit is not None and len(body) > limit:
        raise RequestDataTooBig
    return body


def _read(body: bytes) -> tuple[UUID, str, str, Done | Rejected]:
    try:
        given: Any = parse_json(body, once=True)
        run_id, step, outcome = UUID(given["run"]), given["step"], given["outcome"]
        operation = given.get("operation", "")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, _FORM) from error
    if unknown := sorted(set(given) - _FIELDS):
        # Otherwise a misspelt "result" would be lost.
        raise _Refused(HTTPStatus.BAD_REQUEST, f"There is no field {unknown[0][:40]!a}. {_FORM}")
    if isinstance(step, str) and isinstance(operation, str):
        if outcome == "done":
            return run_id, step, operation, Done(given.get("result"))
        if outcome == "rejected":
            why = Rejected(str(given.get("detail") or ""), code=str(given.get("code") or "Rejected"))
            return run_id, step, operation, why
    raise _Refused(HTTPStatus.BAD_REQUEST, _FORM)
