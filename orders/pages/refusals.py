"""What a page says of a request that is refused, and how its form is read. The API's problems are its words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.translation import gettext as _
from rest_framework.exceptions import Throttled

from orders.api.protocol.problems import Problem, problem_of
from orders.errors import JoinRefused, NoSuchCampaign, OrderNotFound, OrderRefused, TooMuchOpen
from sagas.errors import SagaError

#: What is refused on purpose. Anything else is an error of the server.
REFUSED: Final = (
    JoinRefused,
    NoSuchCampaign,
    OrderNotFound,
    OrderRefused,
    Problem,
    SagaError,
    Throttled,
    TooMuchOpen,
)
_KEY = re.compile(r"page-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused.

    Attributes:
        status: of the answer.
        code: the problem's word.
        by_field: sentences by the field's name; "whole" for the whole.
        headers: of the answer.
    """

    status: int
    code: str
    by_field: Mapping[str, str]
    headers: Mapping[str, str]


def refusal(error: Exception) -> Refusal:
    """What a page says of an error of ``REFUSED``."""
    problem = problem_of(error)
    if problem is None:
        raise error
    by_field: dict[str, str] = {}
    for found in problem.errors:
        name = found["pointer"].removeprefix("#/").partition("/")[0]
        name = {"items": "cups", "quantity": "cups", "slot": "slot", "coupon": "coupon"}.get(name, "whole")
        by_field[name] = " ".join(filter(None, [by_field.get(name), found["detail"]]))
    if not by_field:
        by_field["whole"] = _for_people(problem)
    return Refusal(problem.status_code, problem.code, by_field, problem.headers)


def _for_people(problem: Problem) -> str:
    """What the problem means to somebody who sees a page: they know of no key."""
    match problem.code:
        case "idempotency-key-reused":
            return _("This page was used for an order already. Look at your orders, or load the page again.")
        case "request-in-progress":
            return _("Your order is being taken. Look at your orders in a moment.")
        case "overloaded":
            return _("There are more orders than can be begun in time. Send it again in a moment.")
        case "too-many-requests":
            return _("There were too many requests. Wait a minute.")
        case _:
            return str(problem.detail)


def finish(response: HttpResponse, refused: Refusal | None) -> HttpResponse:
    """Give the answer to a refused request its status and headers."""
    if refused is not None:
        response.status_code = refused.status
        for name, value in refused.headers.items():
            response[name] = value
    return response


def key_of(form: QueryDict) -> str | None:
    """The idempotency key that the page has carried; ``None`` if it has none of ours."""
    key = form.get("key", "")
    return key if _KEY.fullmatch(key) else None


def whole_number(text: str, *, most: int = _MOST) -> int | None:
    """A number that a form says; ``None`` if it is none, or too large."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST))):
        return None
    number = int(text)
    return number if number <= most else None


def customer_of(request: HttpRequest) -> int:
    """Id of who is signed in; the view has ensured that there is somebody."""
    return int(request.user.pk)  # type: ignore[arg-type]  # not None: authenticated
