"""Sends an event to an endpoint, signed by the Standard Webhooks specification. It follows no redirects.

The endpoint's address is looked up and checked here, and the connection goes to the address that was checked: a name
that leads elsewhere a moment later leads nowhere. An endpoint that is slow holds a coroutine and no thread, and at most
``AT_ONCE`` of a process, so it holds up no other.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import httpcore
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook

from sagas import Call
from sagas.remote import AsyncParticipant, Circuit, NotYet, trace_headers
from webhooks.models import API_VERSION, Endpoint, Event
from webhooks.requests import Delivery

#: Seconds for one attempt, and for which it is tried again.
TIMEOUT: Final = 10.0
LASTS: Final = 3 * 24 * 3600.0
#: The shortest and the longest wait between two attempts, in seconds. A wait is half of what has passed.
SOONEST: Final = 5.0
LATEST: Final = 3600.0
#: Attempts of one process at one endpoint at a time. What is above comes again after a moment.
AT_ONCE: Final = 4
CROWDED: Final = 2.0
#: So much of an answer is read: it only says by its status whether it was taken.
ANSWER: Final = 4096

#: An endpoint that fails is asked again later, and that is no failure of the others: nothing stops all.
endpoints = AsyncParticipant(
    "webhooks", timeout=TIMEOUT + 5.0, concurrency=100, patience=2 * LASTS, circuit=Circuit(faults=0, rate=1.0)
)
_busy: Counter[UUID] = Counter()


class GivenUp(Exception):
    """The endpoint has not taken the event in time. Nothing more is sent of it."""


class Unreachable(Exception):
    """The endpoint could not be reached, or is at an address that is nobody's public server."""


#: Whatever keeps an endpoint from answering. A name that cannot be encoded is a ``ValueError``.
_NO_ANSWER = (
    Unreachable,
    TimeoutError,
    OSError,
    ValueError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: where to, and by which secret it is signed."""

    url: str
    secret: str
    event_id: str
    body: str
    since: datetime


@endpoints.operation
async def send(call: Call[Delivery]) -> object:
    """Send the event; what is not taken is sent again, for three days. 410 ends it, and all else of the endpoint.

    Returns:
        ``{"status"}`` if the endpoint has taken it; ``{"gone": true}``; ``{"skipped"}`` if the endpoint or the event is
        not there any more.

    Raises:
        GivenUp: it was not taken for three days.
    """
    wanted = call.request
    if _busy[wanted.endpoint] >= AT_ONCE:
        return NotYet(CROWDED)
    _busy[wanted.endpoint] += 1
    try:
        message = await sync_to_async(read, thread_sensitive=False)(wanted)
        if message is None:
            return {"skipped": "the endpoint or the event is not there any more"}
        try:
            async with asyncio.timeout(TIMEOUT):
                status = await _post(message, trace_headers(call))
        except _NO_ANSWER:
            status = 0
    finally:
        _busy[wanted.endpoint] -= 1
        if not _busy[wanted.endpoint]:
            del _busy[wanted.endpoint]
    if status == 410:
        return {"gone": True}
    if 200 <= status < 300:
        return {"status": status}
    age = (timezone.now() - message.since).total_seconds()
    if age > LASTS:
        msg = f"the endpoint has not taken it for {LASTS / 86400:g} days"
        raise GivenUp(msg)
    return NotYet(min(max(age / 2, SOONEST), LATEST))


def read(wanted: Delivery) -> Message | None:
    """Read what is to be sent; ``None`` if the endpoint was removed or disabled, or the event is too old."""
    try:
        endpoint = Endpoint.objects.filter(pk=wanted.endpoint, disabled_at=None).first()
        event = Event.objects.filter(pk=wanted.event).first()
    finally:
        # The thread is of a pool, and may not be asked again for long.
        connection.close()
    if endpoint is None or event is None:
        return None
    return Message(endpoint.url, endpoint.secret, f"evt_{event.event_id.hex}", write(event), event.created_at)


def write(event: Event) -> str:
    """The body of an event: the same text in every attempt."""
    return json.dumps(represent(event), ensure_ascii=False)


def represent(event: Event) -> dict[str, Any]:
    """An event as clients get it."""
    return {
        "id": f"evt_{event.event_id.hex}",
        "type": event.kind,
        "api_version": API_VERSION,
        "subject": event.subject,
        "sequence": event.sequence,
        "created_at": event.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": event.data,
    }


async def _post(message: Message, trace: Mapping[str, str]) -> int:
    # A new timestamp for each attempt, and the same id: a receiver refuses what is old, and knows a repeat.
    now = datetime.now(UTC)
    signature = Webhook(message.secret).sign(message.event_id, now, message.body)
    headers = {
        "Host": urlsplit(message.url).netloc,
        "Content-Type": "application/json",
        "User-Agent": "drinkgroup-webhooks",
        "webhook-id": message.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
        # Not the baggage: ids of runs mean nothing to a customer.
        **{name: value for name, value in trace.items() if name != "baggage"},
    }
    async with (
        httpcore.AsyncConnectionPool(network_backend=_Checked(), max_connections=1, retries=0) as pool,
        pool.stream(
            "POST",
            message.url,
            headers=list(headers.items()),
            content=message.body.encode(),
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT)},
        ) as response,
    ):
        taken = 0
        async for chunk in response.aiter_stream():
            taken += len(chunk)
            if taken > ANSWER:
                break
        return int(response.status)


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the name up, check the address, and connect to that address and no other."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            msg = f"{host} is not known"
            raise Unreachable(msg) from error
        addresses = [str(address[0]) for *_, address in found]
        if not addresses or not all(map(is_public, addresses)):
            # All of them: a name that leads to both is not to be tried until the other one comes.
            msg = f"{host} is no public server"
            raise Unreachable(msg)
        return await self._inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Nobody's public server."""
        raise Unreachable

    async def sleep(self, seconds: float) -> None:
        """Between the pool's own retries, of which there are none."""
        await asyncio.sleep(seconds)


def is_public(address: str) -> bool:
    """Whether an address is of the public internet; any, where the settings allow private ones."""
    if settings.WEBHOOKS_PRIVATE:
        return True
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        # Addresses of IPv4 in other clothes count as what they are.
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is not None:
            found = inner
        elif found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found.is_global and not found.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
