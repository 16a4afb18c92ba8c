"""Answers that wait for an order: ``Prefer: wait=8`` (RFC 7240). They hold no thread and no connection to the database.

What is waited for is committed before. Above the server's limit of deferred answers, and with a server that cannot
defer one, the answer is given at once.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db import Error, close_old_connections, connections
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder
from structlog.contextvars import bind_contextvars

import delivery.selectors
from orders import selectors
from orders.api.protocol import conditional
from orders.api.protocol.deferred import DEFERS, DeferredResponse, Piece, Watch
from orders.api.protocol.idempotency import Answer
from orders.api.serializers import OutcomeSerializer
from sagas import State
from sagas.db import describe_error
from sagas.models import Run
from sagas.states import FINAL
from sagas.watching import Versions, watch

logger = logging.getLogger(__name__)

#: The longest that an answer waits, in seconds: proxies and clients give up later.
LONGEST = 30.0
#: For how long the answer to an order with little time to live waits, if its client has not said.
URGENT = 8.0
_AT_ONCE = re.compile(r"(?i)(?:^|[,;])\s*respond-async\s*(?=$|[,;])")
_WAIT = re.compile(r"(?i)(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])")


def can_wait(request: Request) -> bool:
    """Whether the server would defer the answer to a request now."""
    return bool(request.META.get(DEFERS))


def preferred_wait(request: Request) -> float | None:
    """The seconds that a request prefers to wait, ``LONGEST`` at most, 0 for an answer at once; ``None``: nothing said.

    A preference that cannot be read is ignored, as RFC 7240 wants it.
    """
    header = request.META.get("HTTP_PREFER", "")
    if found := _WAIT.search(header):
        return min(float(found[1]), LONGEST)
    return 0.0 if _AT_ONCE.search(header) else None


@dataclass(frozen=True, slots=True)
class Late:
    """The answer that was waited for: 304 has no body. Its headers come in place of the first answer's."""

    body: Mapping[str, Any] | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class WaitingResponse(DeferredResponse):
    """An answer that waits until an order's run is where the client wants to see it, or until the time is over.

    Args:
        first: the body of the answer that is given when the time is over, and its status.
        run_id: the run.
        seconds: how long to wait.
        look: reads the order, and returns the answer if it is time for it.
        headers: of the answer.
        besides: what is looked at besides the run (``sagas.watching``).
    """

    def __init__(
        self,
        first: Late,
        run_id: UUID,
        seconds: float,
        look: Callable[[], Late | None],
        *,
        headers: Mapping[str, str] | None = None,
        besides: Versions | None = None,
    ) -> None:
        super().__init__(_encode(first.body), status=first.status, content_type="application/json")
        for name, value in {**(headers or {}), **first.headers}.items():
            self[name] = value
        self._first = first
        self._run_id = run_id
        self._end = time.monotonic() + seconds
        self._look = look
        self._besides = besides

    def watch(self, go_on: Callable[[], None]) -> Watch:
        """See ``Deferred``."""
        # Its thread has served others since.
        bind_contextvars(request_id=self.get("X-Request-ID", ""))
        close_old_connections()
        left = max(0.0, self._end - time.monotonic())
        try:
            return watch(self._run_id, left, go_on, besides=self._besides)
        except Error as error:
            logger.warning("orders: nobody waits for run %s: %s", self._run_id, describe_error(error))
            self._end = 0.0
            return _Nothing()

    def resume(self, *, over: bool) -> Piece | None:
        """See ``Deferred``. Where the order cannot be read, the answer is the first one: the order is accepted."""
        try:
            with self.in_its_language():
                late = self._look()
        except Error as error:
            logger.warning("orders: run %s cannot be read: %s", self._run_id, describe_error(error))
            connections.close_all()
            late = self._first
        except Exception:
            logger.exception("orders: an answer that waited for run %s could not be written", self._run_id)
            late = self._first
        if late is None:
            if not over and time.monotonic() < self._end:
                return None
            late = self._first
        data = _encode(late.body)
        status = HTTPStatus(late.status)
        for name, value in late.headers.items():
            self[name] = value
        return Piece(data, status=f"{status.value} {status.phrase}", headers=self.heads(len(data)))


def wait_for_steps(
    answer: Answer, run_id: UUID, preferred: float | None, *, headers: Mapping[str, str]
) -> WaitingResponse:
    """Wait until an accepted order's steps are done, or until it is being undone.

    Args:
        answer: to the order's request. It is given when the time is over.
        run_id: the order's run.
        preferred: how long its client would wait, in seconds; ``None`` if it has not said: then it is ``URGENT``.
        headers: of the answer.
    """
    order_no = answer.body["order_no"]

    def look() -> Late | None:
        outcome = selectors.outcome_of(order_no=order_no)
        if outcome.state in {State.PENDING, State.EXECUTING}:
            return None
        return Late(OutcomeSerializer({"order_no": order_no, "outcome": outcome}).data)

    return WaitingResponse(
        Late(answer.body, answer.status),
        run_id,
        URGENT if preferred is None else preferred,
        look,
        headers={**headers, **({} if preferred is None else {"Preference-Applied": f"wait={preferred:g}"})},
    )


#: Where a paid run is when its gateway is answered: confirmed, being undone, or with a person.
_ANSWERED = FINAL | {State.COMPENSATING, State.ESCALATED}


def wait_for_end(
    first: Mapping[str, Any], run_id: UUID, seconds: float, *, again: Callable[[], Mapping[str, Any]]
) -> WaitingResponse:
    """Wait until a paid order is confirmed, or is being undone.

    Args:
        first: the answer to the payment, which is committed. It is given when the time is over.
        run_id: the order's run.
        seconds: how long to wait.
        again: the answer to a repeat, which tells the present truth.
    """

    def look() -> Late | None:
        state = Run.objects.filter(pk=run_id).values_list("state", flat=True).first()
        return Late(again()) if state is None or State(state) in _ANSWERED else None

    return WaitingResponse(Late(first), run_id, seconds, look)


def wait_for_change(run_id: UUID, etag: str, seconds: float, look: Callable[[], Late | None]) -> WaitingResponse:
    """Wait until an order is another than its client knows; 304 if it is not, until the time is over."""
    first = Late(None, 304, conditional.headers(etag))
    told = {"X-Saga-ID": str(run_id), "Preference-Applied": f"wait={seconds:g}"}
    return WaitingResponse(first, run_id, seconds, look, headers=told, besides=delivery.selectors.versions)


class _Nothing:
    """What is waited for where nothing can be watched."""

    def cancel(self) -> None:
        """There is nothing to cancel."""


def _encode(body: Mapping[str, Any] | None) -> bytes:
    return (
        b"" if body is None else json.dumps(body, cls=JSONEncoder, ensure_ascii=False, separators=(",", ":")).encode()
    )
