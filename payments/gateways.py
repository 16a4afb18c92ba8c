"""The payment gateways: their names and secrets, and how a refund is asked of one, over HTTP.

A gateway keeps the contract of remote participants (``docs/reference/remote-participants.md``) for two operations,
``POST /refunds`` and ``POST /charges``, and answers queries: see ``docs/how-to/connect-a-payment-gateway.md``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from django.conf import settings

from sagas import Call, Done, Rejected
from sagas.remote import Circuit, HttpOperation, HttpParticipant, NotYet

#: Seconds that a gateway may take for an answer. Those of banks are slow.
TIMEOUT = 10.0
#: The longest that an answer to a webhook waits, in seconds; and what is left of a gateway's patience for its way.
LONGEST_ANSWER, _ON_ITS_WAY = 8.0, 2.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A payment gateway.

    Attributes:
        name: the one in its webhooks' URL.
        secret: that signs its webhooks, or several with spaces between.
        url: the address of its API; empty if it has none, so that people return money in its console.
        token: for its API.
        patience: seconds for which it waits for the answer to a webhook. Then it takes the message for lost.
    """

    name: str
    secret: str
    url: str = ""
    token: str = ""
    patience: float = 10.0

    @property
    def longest_answer(self) -> float:
        """Seconds for which an answer to its webhooks may wait: it is on its way before the gateway gives up."""
        return max(0.0, min(LONGEST_ANSWER, self.patience - _ON_ITS_WAY))


def find(name: str) -> Gateway | None:
    """The gateway of this name, if the settings have one."""
    if name == settings.PAYMENT_GATEWAY:
        return Gateway(
            name,
            settings.WEBHOOK_SECRET,
            settings.GATEWAY_URL,
            settings.GATEWAY_TOKEN,
            settings.GATEWAY_PATIENCE,
        )
    told = settings.MORE_GATEWAYS.get(name)
    return Gateway(name, **told) if told else None


class ToReturn(Protocol):
    """The part of a request that a refund needs."""

    @property
    def gateway(self) -> str:
        """Its name."""
        ...

    @property
    def payment_id(self) -> str:
        """The gateway's id of the payment."""
        ...

    @property
    def amount(self) -> int:
        """In minor units of the currency."""
        ...

    @property
    def currency(self) -> str:
        """Of three letters."""
        ...


def _known(name: str) -> Gateway:
    found = find(name)
    if found is None:
        msg = f"the settings have no gateway {name}"
        raise LookupError(msg)
    return found


@cache
def participant(name: str) -> HttpParticipant:
    """The gateway's API as a remote participant. Its address and token are those of each call."""
    return HttpParticipant(
        f"gateway-{name}",
        lambda: _known(name).url,
        timeout=TIMEOUT,
        headers=lambda: {"Authorization": f"Bearer {_known(name).token}"},
        # The global transaction is the refund's id: a gateway that has forgotten an idempotency key still has that.
        query="/operations/{tx}/{branch}/{operation}",
        # The retries of a refund take hours, and one gateway must not hold up another one's refunds.
        circuit=Circuit(faults=0),
    )


def _refund_body(call: Call[ToReturn]) -> dict[str, Any]:
    asked = call.request
    return {
        "refund_id": str(call.run_id),
        "payment_id": asked.payment_id,
        "refund_amount": asked.amount,
        "currency": asked.currency,
    }


class ToCharge(Protocol):
    """The part of a request that a charge needs."""

    @property
    def gateway(self) -> str:
        """Its name."""
        ...

    @property
    def order_no(self) -> str:
        """The order that is paid."""
        ...

    @property
    def total_cents(self) -> int:
        """What it costs, in minor units of the shop's currency."""
        ...

    @property
    def card(self) -> str:
        """The card that the customer has left with the gateway, as the gateway names it."""
        ...


def _charge_body(call: Call[ToCharge]) -> dict[str, Any]:
    asked = call.request
    return {
        "order_no": asked.order_no,
        "amount": asked.total_cents,
        "currency": settings.CURRENCY,
        "card": asked.card,
    }


def _nothing(_call: Call[Any]) -> dict[str, Any]:
    """The charge is found by its transaction."""
    return {}


@cache
def _operation(name: str, path: str, body: Callable[[Call[Any]], object]) -> HttpOperation:
    return participant(name).post(path, body)


class GatewayLane:
    """One kind of request to all gateways, so many at a time and so many a second in each worker process.

    For the engine it is a ``Remote`` participant. A call that may have been made before is queried first, by its
    transaction: for a refund, that is the refund's id.

    Args:
        lane: its name.
        path: where the requests go.
        body: what they say.
        concurrency: calls at a time.
        per_second: calls that begin in a second.
    """

    def __init__(
        self,
        lane: str,
        path: str,
        body: Callable[[Call[Any]], object],
        *,
        concurrency: int,
        per_second: float,
    ) -> None:
        self.lane = lane
        self.concurrency = concurrency
        self._path = path
        self._body = body
        self.lease = 3 * (1.0 + TIMEOUT) + 5.0
        self.patience = 24 * 3600.0
        self._interval = 1 / per_second
        self._lock = threading.Lock()
        self._next = 0.0

    def __str__(self) -> str:
        """Its name in the log."""
        return f"{self.lane}: POST {self._path}"

    __repr__ = __str__

    def admit(self, wanted: int) -> tuple[int, float]:
        """Let as many calls begin as the rate allows: one, or those of a second that nobody has used."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - 1.0)
            admitted = min(wanted, max(0, int((now - self._next) / self._interval)))
            self._next += admitted * self._interval
            return admitted, self._next + self._interval - now if admitted < wanted else 0.0

    def call(self, call: Call[Any], *, repeated: bool) -> Done | Rejected | NotYet:
        """Ask the gateway that the request names."""
        return _operation(call.request.gateway, self._path, self._body).call(call, repeated=repeated)


#: Of most refunds.
refunds = GatewayLane("refunds", "/refunds", _refund_body, concurrency=4, per_second=20.0)
#: Of many at once that nobody waits for, such as those of a group buy that was short.
later_refunds = GatewayLane("refunds-later", "/refunds", _refund_body, concurrency=1, per_second=2.0)
#: Charges of cards, and their undos.
charges = GatewayLane("charges", "/charges", _charge_body, concurrency=8, per_second=50.0)
charge_refunds = GatewayLane("charge-refunds", "/charges/refunds", _nothing, concurrency=4, per_second=20.0)
