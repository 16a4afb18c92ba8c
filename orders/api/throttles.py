"""How many orders one customer may place in a minute."""

from __future__ import annotations

import time

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

_WINDOW = 60


class OrdersPerMinute(BaseThrottle):
    """Count a customer's POSTs in the current minute.

    In the memory of this process, so the limit is per process, roughly: it keeps a client that runs wild from
    starving the others, and needs no Redis to be there. ``sagas.admit`` guards the system as a whole.
    """

    def allow_request(self, request: Request, _view: APIView) -> bool:
        """Count, and compare."""
        if request.method != "POST" or request.user.pk is None:
            return True
        key = f"orders-per-minute:{request.user.pk}:{int(time.time()) // _WINDOW}"
        cache.add(key, 0, timeout=_WINDOW)
        return bool(cache.incr(key) <= settings.ORDERS_PER_MINUTE)

    def wait(self) -> float:
        """Seconds until the next minute begins."""
        return _WINDOW - time.time() % _WINDOW + 1
