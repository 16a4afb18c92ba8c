"""A light HTTP client that places orders at a steady rate, and pays each at once: ``python -m bench.client``.

It reads a plan from its standard input, and writes what it saw to its standard output, both as JSON. It shares the
processors with what it measures, so it writes HTTP by hand. An order is due at its time whether the earlier ones were
answered or not: where the shop is late, the order has waited.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

#: Seconds for which an answer is awaited.
_PATIENCE = 30.0
#: The exit code where the rate is given up.
LATE = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        port: of the shop, on this machine.
        tokens: of the customers, who order in turns.
        secret: that signs payments.
        rate: orders a second.
        orders: how many.
        skus: of which an order takes one cup, in turns.
        slots: in turns.
        price: of a cup.
        currency: of it.
        late: seconds by which an answer may be late; beyond them the rate is given up.
        connections: kept open.
        pay_port: of the web that takes payments; 0: the same one.
    """

    port: int
    tokens: list[str]
    secret: str
    rate: float
    orders: int
    skus: list[str]
    slots: list[int]
    price: int
    currency: str
    late: float
    connections: int = 64
    pay_port: int = 0


@dataclass(slots=True)
class Seen:
    """What came of it.

    Attributes:
        due: by order number, when it should have been sent; seconds since the epoch.
        placed: milliseconds from then to the answer, in the order of ``due``.
        paid: milliseconds of each payment.
        refused: other answers, by status, and lost connections.
        turned_away: milliseconds from when an order was due to the answer 409 or 503.
        cpu: seconds that the client took.
    """

    due: dict[str, float] = field(default_factory=dict)
    placed: list[float] = field(default_factory=list)
    paid: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    turned_away: list[float] = field(default_factory=list)
    cpu: float = 0.0


class Connections:
    """Connections that are kept, each used by one request at a time."""

    def __init__(self, port: int, most: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._places = asyncio.Semaphore(most)

    async def post(self, path: str, headers: str, body: bytes) -> tuple[int, bytes]:
        """Send a body; return the status and the answer's body."""
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{headers}"
        return await self._send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def get(self, path: str, headers: str) -> tuple[int, bytes]:
        """Read; return the status and the body."""
        return await self._send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode())

    async def _send(self, request: bytes) -> tuple[int, bytes]:
        async with self._places:
            # A kept connection may have been closed meanwhile, so a new one is tried once.
            for kept in (True, False):
                pair = (
                    self._free.pop() if kept and self._free else await asyncio.open_connection("127.0.0.1", self._port)
                )
                try:
                    answer = await asyncio.wait_for(_exchange(*pair, request), _PATIENCE)
                except (ConnectionError, asyncio.IncompleteReadError):
                    pair[1].close()
                    continue
                self._free.append(pair)
                return answer
        return 0, b""


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    start = head.index(b"content-length:") + len(b"content-length:")
    length = int(head[start : head.index(b"\r\n", start)])
    return int(head.split(None, 2)[1]), await reader.readexactly(length)


async def run(plan: Plan) -> Seen:
    """Place and pay all orders."""
    seen, connections = Seen(), Connections(plan.port, plan.connections)
    payments = Connections(plan.pay_port, plan.connections) if plan.pay_port else connections
    began, clock = time.time() + 0.2, asyncio.get_running_loop().time
    start = clock() + 0.2
    async with asyncio.TaskGroup() as tasks:
        for number in range(plan.orders):
            due = number / plan.rate
            if (wait := start + due - clock()) > 0:
                await asyncio.sleep(wait)
            tasks.create_task(_order(plan, number, began + due, (connections, payments), seen))
    seen.cpu = time.process_time()
    return seen


async def _order(plan: Plan, number: int, due: float, webs: tuple[Connections, Connections], seen: Seen) -> None:
    connections, payments = webs
    wanted = {"items": [{"sku": plan.skus[number % len(plan.skus)], "quantity": 1}]}
    body = json.dumps({**wanted, "slot": plan.slots[number % len(plan.slots)]}).encode()
    token = plan.tokens[number % len(plan.tokens)]
    headers = f"Authorization: Token {token}\r\nIdempotency-Key: {uuid4()}\r\n"
    try:
        status, answer = await connections.post("/api/v1/orders/", headers, body)
        if status != 202:
            seen.refused[f"order {status}"] += 1
            if status in {409, 503}:
                seen.turned_away.append((time.time() - due) * 1000)
            return
        order_no = json.loads(answer)["order_no"]
        seen.due[order_no] = due
        now = time.time()
        if now - due > plan.late:
            sys.exit(LATE)
        seen.placed.append((now - due) * 1000)
        status, _ = await payments.post(*payment(plan, order_no, int(now)))
        seen.paid.append((time.time() - now) * 1000)
        if status != 200:
            seen.refused[f"payment {status}"] += 1
    except (OSError, TimeoutError) as error:
        seen.refused[type(error).__name__] += 1


def payment(plan: Plan, order_no: str, now: int) -> tuple[str, str, bytes]:
    """Path, headers and body of the payment provider's webhook, signed by the Standard Webhooks specification."""
    paid = {"order_no": order_no, "payment_id": f"pay-{order_no}", "amount": plan.price, "currency": plan.currency}
    body = json.dumps({**paid, "status": "succeeded"}).encode()
    message = f"msg_{order_no}"
    key = base64.b64decode(plan.secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message}.{now}.".encode() + body, hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    headers = f"webhook-id: {message}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\n"
    return f"/api/v1/orders/{order_no}/confirm/", headers, body


def main() -> None:
    """Read the plan, carry it out, and write what was seen."""
    given: dict[str, Any] = json.load(sys.stdin)
    seen = asyncio.run(run(Plan(**given)))
    json.dump({name: getattr(seen, name) for name in Seen.__slots__}, sys.stdout)


if __name__ == "__main__":
    main()
