"""Limits of requests of one client in a minute: one count over all web processes, in Redis.

A client that is far from its limit is counted without waiting for Redis. So up to ``ONE_OF`` web processes keep a limit
exactly; with more of them, a client that spreads its requests evenly over all may get proportionally more.

Redis may postpone and never deny. If it does not answer, there is no limit. A count is of one minute by this process's
own clock, so a wrong value is forgotten after a minute. ``sagas.check_admission`` guards the
system as a whole.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from orders.api.protocol.addresses import client_address
from sagas.redis import client as redis_client

if TYPE_CHECKING:
    from redis import Redis

WINDOW = 60
PREFIX = "drinkgroup:rate"
#: Web processes with which a limit is exact.
ONE_OF = 64
_KEPT = b"%d" % (2 * WINDOW)
#: Seconds since 1970.
clock = time.time


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client has left of a rate.

    Attributes:
        rate: its name, such as "orders".
        limit: requests in a minute.
        left: how many more are allowed in this minute; negative after too many.
        resets_in: seconds until the next minute begins.
    """

    rate: str
    limit: int
    left: int
    resets_in: int

    def headers(self) -> dict[str, str]:
        """The RateLimit fields of the IETF's draft."""
        return {
            "RateLimit-Policy": f'"{self.rate}";q={self.limit};w={WINDOW}',
            "RateLimit": f'"{self.rate}";r={max(self.left, 0)};t={self.resets_in}',
        }


class _Minute:
    """What this process has counted in one minute, by client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, rate: str, who: str, minute: int, by: int) -> int:
        """Count; return how many they are in this process."""
        with self._lock:
            if minute != self._minute:
                self._minute, self._counts = minute, {}
            made = self._counts[rate, who] = self._counts.get((rate, who), 0) + by
            return made


_here = _Minute()


def count(rate: str, who: str, *, by: int = 1) -> Standing | None:
    """Count a request of ``who`` (``by=0``: read only); ``None`` if there is no count now.

    The setting ``<RATE>_PER_MINUTE`` has the limit. As long as this process alone has counted less than a part of
    ``ONE_OF`` of it, Redis is told and not asked, so nobody waits for it: the requests that are left are those that
    this process knows of. From then on Redis' count decides.
    """
    minute, second = divmod(int(clock()), WINDOW)
    limit = int(getattr(settings, f"{rate.upper()}_PER_MINUTE"))
    here = _here.count(rate, who, minute, by)
    # Hashed, so that the key is short and safe.
    key = f"{PREFIX}:{rate}:{hashlib.sha256(who.encode()).hexdigest()[:32]}:{minute}"
    if by and here * ONE_OF < limit:
        name = key.encode()
        told = redis_client.tell(redis_client.pack((b"INCRBY", name, b"%d" % by), (b"EXPIRE", name, _KEPT)))
        return Standing(rate, limit, limit - here, WINDOW - second) if told else None

    def add(client: Redis) -> Any:
        pipeline = client.pipeline(transaction=False)
        pipeline.incrby(key, by)
        pipeline.expire(key, 2 * WINDOW)
        return pipeline.execute(raise_on_error=False)[0]

    made = redis_client.ask(add)
    if not isinstance(made, int):
        # No answer, or the value is not a number.
        return None
    return Standing(rate, limit, limit - made, WINDOW - second)


def hold_back(rate: str, who: str) -> None:
    """Count a request of ``who``; ``Throttled`` if it is one too many."""
    standing = count(rate, who)
    if standing and standing.left < 0:
        raise Throttled(standing.resets_in)


def hold_back_if_spent(rate: str, who: str) -> None:
    """Count nothing; ``Throttled`` if ``who`` has nothing left."""
    standing = count(rate, who, by=0)
    if standing and standing.left <= 0:
        raise Throttled(standing.resets_in)


def address(request: Request) -> str:
    """The client's address, as the nearest trusted proxy saw it (``NUM_PROXIES``)."""
    return f"address {client_address(request)}"


class PerMinute(BaseThrottle):
    """Count the requests of a customer or an address, by the rate that the view names for the method."""

    standing: Standing | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count, and compare."""
        rates: dict[str, str] = getattr(view, "rates", {})
        method, customer = str(request.method), request.user.pk
        rate = rates.get("GET" if method == "HEAD" else method)
        if rate is None:
            return True
        who = address(request) if customer is None else f"customer {customer}"
        self.standing = count(rate, who)
        # The view adds the fields to every answer.
        request._request.META["drinkgroup.standing"] = self.standing
        return self.standing is None or self.standing.left >= 0

    def wait(self) -> float:
        """Seconds until the next minute begins."""
        return float(self.standing.resets_in) if self.standing else 1.0
