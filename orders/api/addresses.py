"""The client of a request, as the nearest trusted proxy saw it."""

from __future__ import annotations

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
    try:
        return str(ip_address(said))
    except ValueError:
        return None


def customers_address(request: HttpRequest | Request) -> str | None:
    """Address of the client, if it distinguishes customers: a proxy's on this machine does not."""
    address = client_address(request)
    return None if address is None or ip_address(address).is_loopback else address
