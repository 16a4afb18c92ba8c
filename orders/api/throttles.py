"""Limits of requests of one client in a minute: one count over all web processes, in Redis.

Redis may postpone and never deny. If it does not answer, there is no limit. A count is of one minute by this process's
own clock, so a wrong value is forgotten after a minute. ``sagas.check_admission`` guards the
system as a whole.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from orders.api.addresses import client_address
from sagas.redis import client as redis_client

WINDOW = 60
PREFIX = "drinkgroup:rate"
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


def count(rate: str, who: str, *, by: int = 1) -> Standing | None:
    """Count a request of ``who`` (``by=0``: read only); ``None`` if there is no count now.

    The setting ``<RATE>_PER_MINUTE`` has the limit.
    """
    minute, second = divmod(int(clock()), WINDOW)
    # Hashed, so that the key is short and safe.
    key = f"{PREFIX}:{rate}:{hashlib.sha256(who.encode()).hexdigest()[:32]}:{minute}"

    def add(client: redis.Redis) -> Any:
        pipeline = client.pipeline(transaction=False)
        pipeline.incrby(key, by)
        pipeline.expire(key, 2 * WINDOW)
        return pipeline.execute(raise_on_error=False)[0]

    made = redis_client.ask(add)
    if not isinstance(made, int):
        # No answer, or the value is not a number.
        return None
    limit = int(getattr(settings, f"{rate.upper()}_PER_MINUTE"))
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
        rate = rates.get("GET" if request.method == "HEAD" else str(request.method))
        if rate is None:
            return True
        who = address(request) if request.user.pk is None else f"customer {request.user.pk}"
        self.standing = count(rate, who)
        # The view adds the fields to every answer.
        request._request.META["drinkgroup.standing"] = self.standing
        return self.standing is None or self.standing.left >= 0

    def wait(self) -> float:
        """Seconds until the next minute begins."""
        return float(self.standing.resets_in) if self.standing else 1.0
