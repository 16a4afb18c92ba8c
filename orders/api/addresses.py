"""Which client a request comes from, as the nearest trusted proxy saw it."""

from __future__ import annotations

from ipaddress import ip_address

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle


def client_address(request: HttpRequest | Request) -> str | None:
    """Address of the client; ``None`` where it is not known to be one.

    ``X-Forwarded-For`` is believed as far as ``NUM_PROXIES`` says: by DRF's own reading, so that limits by address mean
    the same client everywhere.
    """
    said = BaseThrottle().get_ident(request)  # type: ignore[arg-type]  # it reads META alone
    try:
        return str(ip_address(said))
    except ValueError:
        return None


def customers_address(request: HttpRequest | Request) -> str | None:
    """Address of the client, where it tells one customer from others: that of a proxy on this machine does not."""
    address = client_address(request)
    return None if address is None or ip_address(address).is_loopback else address
