"""The logistics company, which books couriers over HTTP. ``examples/courier`` stands in for it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from django.conf import settings

from delivery.addresses import Address
from sagas import Call
from sagas.remote import HttpParticipant


class WantsCourier(Protocol):
    """The part of a request that a courier needs."""

    @property
    def order_no(self) -> str:
        """What is written on the bag."""
        ...

    @property
    def slot(self) -> int:
        """Id of the slot in which it is fetched."""
        ...

    @property
    def address(self) -> Address | None:
        """Whither it goes."""
        ...


def _asked(call: Call[WantsCourier]) -> dict[str, Any]:
    """What the company is told: the bag and the address, and nothing else of the order."""
    address = call.request.address
    return {
        "order_no": call.request.order_no,
        "slot": call.request.slot,
        "address": asdict(address) if address is not None else None,
    }


logistics = HttpParticipant(
    "courier",
    lambda: settings.COURIER_URL,
    timeout=3.0,
    concurrency=8,
    headers=lambda: {"Authorization": f"Bearer {settings.COURIER_TOKEN}"} if settings.COURIER_TOKEN else {},
    query="/operations",
)

#: Try books a courier, confirm makes it final, cancel frees it: each by run and step, however often it comes.
couriers = logistics.tcc("/deliveries", _asked)
