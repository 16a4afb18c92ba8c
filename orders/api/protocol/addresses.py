"""The client of a request, as the nearest trusted proxy saw it."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle


def client_address(request: HttpRequest | Request) -> str | None:
    """Address of the client; ``None`` if it is unknown.

    ``X-Forwarded-For`` is trusted as far as ``NUM_PROXIES`` says, by DRF's own code, so that all limits by address
    use the same address.
    """
    said = BaseThrottle().get_ident(request)  # type: ignore[arg-type]  # it reads META alone
    return _parse(said)[0]


def customers_address(request: HttpRequest | Request) -> str | None:
    """Address of the client, if it distinguishes customers: a proxy's on this machine does not."""
    said = BaseThrottle().get_ident(request)  # type: ignore[arg-type]  # it reads META alone
    address, is_loopback = _parse(said)
    return None if is_loopback else address


@lru_cache(maxsize=4096)
def _parse(said: str) -> tuple[str | None, bool]:
    """An address as it is written everywhere, and whether it is this machine's own."""
    try:
        address = ip_address(said)
    except ValueError:
        return None, False
    return str(address), address.is_loopback
