"""An order's progress as server-sent events, for pages: replayed from the run's log, and then live.

A browser's EventSource sends no header of its own, so a ticket in the URL opens the stream of one order for some
minutes. The id of an event is the sequence of a log entry, and once a store has the order, with a hyphen, the version
of the store's work (``Position``): after a break the browser names the last one, and gets what came after it. A stream
holds a connection, and neither a thread nor one of the database (``drinkgroup.server``).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core import signing
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

import delivery.selectors
from orders import selectors
from orders.api import serializers
from orders.api.protocol import unknown
from orders.api.protocol.authentication import TokenAuthentication
from orders.api.protocol.deferred import DEFERS, Watch
from orders.api.protocol.event_streams import MEDIA_TYPE, EventStreamResponse
from orders.api.protocol.problems import Problem
from orders.api.schema import ORDER_NO, RATE, problems
from orders.api.views import View, customer_of
from orders.errors import OrderNotFound
from sagas.selectors import LogView, log_after
from sagas.states import FINAL
from sagas.watching import watch

logger = logging.getLogger(__name__)

#: Seconds for which a ticket opens a stream.
TICKET_LASTS = 15 * 60
#: The greatest number of a log entry.
_HIGHEST = 2**63 - 1
_SALT = "orders.events"
_EVENT_ID = {"type": "string", "pattern": "^[0-9]{1,19}(-[0-9]{1,9})?$"}


class Position(NamedTuple):
    """How much of an order's events somebody has seen: two records, each with a count of its own.

    Attributes:
        sequence: of the last entry of the run's log.
        version: of the store's work; 0 before the order is confirmed.
    """

    sequence: int
    version: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the id of an event."""
        found = re.fullmatch(r"([0-9]{1,19})(?:-([0-9]{1,9}))?", text, re.ASCII)
        if found is None or int(found[1]) > _HIGHEST:
            raise Problem(400, "invalid-event-id", _("The id of an event is a number, or two with a hyphen."))
        return cls(int(found[1]), int(found[2] or 0))

    def __str__(self) -> str:
        return f"{self.sequence}-{self.version}" if self.version else str(self.sequence)


class TicketAuthentication(BaseAuthentication):
    """A ticket in the URL, of one order."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Read it, if there is one."""
        ticket = request._request.GET.get("ticket")
        if ticket is None:
            return None
        try:
            customer_id, order_no = signing.loads(ticket, salt=_SALT, max_age=TICKET_LASTS)
        except (signing.BadSignature, ValueError, TypeError):
            raise AuthenticationFailed(_("The ticket is not valid, or no more.")) from None
        match = request._request.resolver_match
        user = get_user_model().objects.filter(pk=customer_id, is_active=True).first()
        if user is None or match is None or match.kwargs.get("order_no") != order_no:
            raise AuthenticationFailed(_("The ticket is not valid, or no more."))
        return user, ticket

    def authenticate_header(self, _request: Request) -> str:
        """What a 401 asks for."""
        return "Token"


def ticket_url(*, customer_id: int, order_no: str) -> str:
    """A URL that opens the events of a customer's order for ``TICKET_LASTS`` seconds. It is the customer's order."""
    return f"{reverse('api:events', args=[order_no])}?ticket={signing.dumps([customer_id, order_no], salt=_SALT)}"


class _EventRenderer(JSONRenderer):
    """Names the media type; the events are written by the response."""

    media_type = MEDIA_TYPE
    format = "events"


class TicketView(View):
    """Tickets for an order's events."""

    rates = {"POST": "reads"}

    @extend_schema(
        operation_id="create_events_ticket",
        parameters=[ORDER_NO, *RATE],
        request=None,
        responses={201: serializers.TicketSerializer, **problems(404, 413, 422)},
    )
    def post(self, request: Request, order_no: str) -> Response:
        """Get a URL that opens the events of one of your orders for a quarter of an hour, without a header."""
        unknown.NothingSerializer(data=request.data).is_valid(raise_exception=True)
        customer_id = customer_of(request)
        if not selectors.is_of(customer_id=customer_id, order_no=order_no):
            raise OrderNotFound(order_no)
        url = ticket_url(customer_id=customer_id, order_no=order_no)
        return Response({"url": url, "expires_in": TICKET_LASTS}, status=201, headers={"Cache-Control": "no-store"})


class EventsView(View):
    """An order's events."""

    authentication_classes = (TicketAuthentication, TokenAuthentication)
    renderer_classes = (_EventRenderer, JSONRenderer)
    parameters = frozenset({"ticket", "last_event_id"})

    @extend_schema(
        operation_id="order_events",
        parameters=[
            ORDER_NO,
            OpenApiParameter(
                "Last-Event-ID",
                _EVENT_ID,
                OpenApiParameter.HEADER,
                description="Of the last event that came: those after it follow. Also as `last_event_id` in the URL.",
            ),
            OpenApiParameter("last_event_id", _EVENT_ID),
            *RATE,
        ],
        responses={
            (200, MEDIA_TYPE): OpenApiTypes.STR,
            204: None,
            **problems(404),
        },
    )
    def get(self, request: Request, order_no: str) -> HttpResponse:
        """Follow one of your orders by server-sent events.

        `step` tells of an operation of a step, `state` of the order, `fulfilment` of what its store does once it is
        confirmed, `end` that nothing more will come: an order that has ended, that its store is done with, and whose
        events were all sent, is answered 204, which tells a browser to come no more. A stream lasts ten minutes at
        most.
        """
        last = _last_event(request)
        if not selectors.is_of(customer_id=customer_of(request), order_no=order_no):
            raise OrderNotFound(order_no)
        outcome = selectors.outcome_of(order_no=order_no)
        if last.sequence and _is_over(outcome, last):
            return HttpResponse(status=204)
        if not request.META.get(DEFERS):
            raise Problem(
                503, "too-many-streams", _("Too many clients wait at the moment."), headers={"Retry-After": "5"}
            )
        return EventStream(order_no, outcome.run_id, last)


def _last_event(request: Request) -> Position:
    return Position.read(request.META.get("HTTP_LAST_EVENT_ID") or request._request.GET.get("last_event_id") or "0")


def _is_over(outcome: selectors.Outcome, last: Position) -> bool:
    """Whether nothing comes behind this position any more."""
    if outcome.state not in FINAL or log_after(outcome.run_id, last.sequence, limit=1):
        return False
    progress = delivery.selectors.progress_of(run_id=outcome.run_id)
    return progress is None or (progress.is_over and not progress.after(last.version))


class EventStream(EventStreamResponse):
    """The events of one order.

    Args:
        order_no: the order.
        run_id: its run.
        last: how much the client knows.
    """

    def __init__(self, order_no: str, run_id: UUID, last: Position) -> None:
        super().__init__()
        self._order_no = order_no
        self._run_id = run_id
        self._last = last
        self._state: str | None = None

    def watch_for(self, seconds: float, go_on: Callable[[], None]) -> Watch:
        """See ``EventStreamResponse``."""
        return watch(self._run_id, seconds, go_on, besides=delivery.selectors.versions)

    def news(self) -> tuple[bytes, bool]:
        """See ``EventStreamResponse``."""
        # The state first: what is written between both reads is told of the next time.
        outcome = selectors.outcome_of(order_no=self._order_no)
        entries = log_after(self._run_id, self._last.sequence)
        said = [self._step(entry) for entry in entries if _is_public(entry)]
        if entries:
            self._last = self._last._replace(sequence=entries[-1].sequence)
        if outcome.state.value != self._state:
            self._state = outcome.state.value
            body = serializers.OutcomeSerializer({"order_no": self._order_no, "outcome": outcome}).data
            said.append(self._event("state", body))
        progress = delivery.selectors.progress_of(run_id=self._run_id)
        for stage in progress.after(self._last.version) if progress is not None else ():
            self._last = self._last._replace(version=stage.version)
            said.append(self._event("fulfilment", serializers.StageSerializer(stage).data))
        ends = _is_over(outcome, self._last)
        if ends:
            said.append(self._event("end", {}))
        return "".join(said).encode(), ends

    def _step(self, entry: LogView) -> str:
        data = {
            "step": entry.step,
            "operation": entry.operation,
            "outcome": entry.outcome.lower(),
            "attempt": entry.attempt,
            "at": entry.at,
        }
        self._last = self._last._replace(sequence=entry.sequence)
        return self._event("step", data)

    def _event(self, name: str, data: object) -> str:
        return f"id: {self._last}\nevent: {name}\ndata: {json.dumps(data, cls=JSONEncoder)}\n\n"


def _is_public(entry: LogView) -> bool:
    """Whether customers are told: of what became of operations."""
    return bool(entry.step) and entry.outcome in {"DONE", "REJECTED", "FAULT"}
