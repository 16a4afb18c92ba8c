"""Customers who follow their orders, and gateways that are answered: ``python -m bench.waiting_client``.

Orders of two kinds take turns. An *ordinary* one is placed, and then read every ``poll`` seconds until it is to be
paid, and again until it is confirmed. One that is *due soon* is not read at all: the answer to the order waits until it
is to be paid, and the answer to its payment until it is confirmed. Plan and result are JSON, as of ``bench.client``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import uuid4

from bench.client import Connections, Plan, payment

_ENDED = frozenset({"SUCCEEDED", "FAILED", "ESCALATED", "COMPENSATING"})


@dataclass(frozen=True, slots=True)
class WaitingPlan(Plan):
    """As ``Plan``; ``slots`` are those of ordinary orders.

    Attributes:
        soon: slots that end soon.
        poll: seconds between two reads of an ordinary order.
    """

    soon: list[int] = field(default_factory=list)
    poll: float = 1.0


@dataclass(slots=True)
class Followed:
    """What came of the orders of one kind: by number, seconds from when it was due, or was paid, until that was known.

    Attributes:
        known: that it is confirmed, from when it was due.
        confirmed: the same, from when its payment was sent.
        other: other ends, and other answers, by what they are.
    """

    known: dict[str, float] = field(default_factory=dict)
    confirmed: dict[str, float] = field(default_factory=dict)
    other: Counter[str] = field(default_factory=Counter)


class _Unexpected(Exception):
    """Another answer than was to come."""


async def run(plan: WaitingPlan) -> dict[str, Followed]:
    """Place, follow and pay all orders."""
    seen = {"ordinary": Followed(), "due soon": Followed()}
    # Who waits keeps its connection.
    webs = Connections(plan.port, 512), Connections(plan.pay_port, 512)
    began, clock = time.time() + 0.2, asyncio.get_running_loop().time
    start = clock() + 0.2
    async with asyncio.TaskGroup() as tasks:
        for number in range(plan.orders):
            due = number / plan.rate
            if (wait := start + due - clock()) > 0:
                await asyncio.sleep(wait)
            tasks.create_task(_customer(plan, number, began + due, webs, seen))
    return seen


async def _customer(
    plan: WaitingPlan, number: int, due: float, webs: tuple[Connections, Connections], seen: dict[str, Followed]
) -> None:
    is_soon = bool(number % 2)
    slots, followed = (plan.soon, seen["due soon"]) if is_soon else (plan.slots, seen["ordinary"])
    wanted = {"items": [{"sku": plan.skus[number % len(plan.skus)], "quantity": 1}], "slot": slots[number % len(slots)]}
    token = f"Authorization: Token {plan.tokens[number % len(plan.tokens)]}\r\n"
    try:
        order_no, sent = await _order(plan, webs, json.dumps(wanted).encode(), token)
    except _Unexpected as what:
        followed.other[str(what)] += 1
    except (OSError, TimeoutError) as error:
        followed.other[type(error).__name__] += 1
    else:
        now = time.time()
        followed.known[order_no], followed.confirmed[order_no] = now - due, now - sent


async def _order(
    plan: WaitingPlan, webs: tuple[Connections, Connections], wanted: bytes, token: str
) -> tuple[str, float]:
    """Place an order, pay it once it is to be paid, await its end; return its number, and when it was paid."""
    status, answer = await webs[0].post("/api/v1/orders/", f"{token}Idempotency-Key: {uuid4()}\r\n", wanted)
    if status not in {200, 202}:
        raise _Unexpected(f"order {status}")
    order = json.loads(answer)
    if order["state"] in {"PENDING", "EXECUTING"}:
        await _follow(plan, webs[0], order["order_no"], token, _ENDED | {"AWAITING_CONFIRM"})
    sent = time.time()
    _, headers, body = payment(plan, order["order_no"], int(sent))
    status, answer = await webs[1].post("/api/v1/payments/webhook/main/", headers, body)
    if status != 200:
        raise _Unexpected(f"payment {status}")
    state = json.loads(answer)["order_state"]
    if state not in _ENDED:
        state = await _follow(plan, webs[0], order["order_no"], token, _ENDED)
    if state != "SUCCEEDED":
        raise _Unexpected(state)
    return order["order_no"], sent


async def _follow(plan: WaitingPlan, web: Connections, order_no: str, token: str, until: frozenset[str]) -> str:
    """Read an order until it is in one of these states; return it."""
    while True:
        await asyncio.sleep(plan.poll)
        status, answer = await web.get(f"/api/v1/orders/{order_no}/", token)
        if status != 200:
            raise _Unexpected(f"read {status}")
        state: str = json.loads(answer)["state"]
        if state in until:
            return state


def main() -> None:
    """Read the plan, carry it out, and write what was seen."""
    seen = asyncio.run(run(WaitingPlan(**json.load(sys.stdin))))
    names = Followed.__slots__
    json.dump({kind: {name: getattr(one, name) for name in names} for kind, one in seen.items()}, sys.stdout)


if __name__ == "__main__":
    main()
