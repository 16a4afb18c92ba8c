"""One order, seen whole: from the web through workers and a participant in Node to a webhook, in one trace."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from private_services import ports

from sagas import State
from tests.shop.webhooks.conftest import Receiver, receiver
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.ecs import nested, problems_of
from tests.support.otlp import Collected, Collector, collector
from tests.support.runs import await_state
from tests.support.shop import TEA, Shop, run_of
from tests.support.web import ORDERS, Caller, Web
from tests.support.workers import Worker

__all__ = ["receiver"]

pytestmark = pytest.mark.slow

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
ADDRESS = {"recipient": "Li Mei", "phone": "+86 21 5555 0100", "street": "Nanjing Road 1", "city": "200001 Shanghai"}


@dataclass
class Platform:
    """A web, a worker and a participant in Node, all of which send spans to one collector."""

    otlp: Collector
    web: Web
    worker: Worker


@pytest.fixture
def platform(shop: Shop) -> Iterator[Platform]:
    port = ports.choose(taken=())
    with collector() as otlp:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
            "COURIER_URL": f"http://127.0.0.1:{port}",
            "WEBHOOKS_PRIVATE": "on",
            "LOG_FORMAT": "ecs",
        }
        node = subprocess.Popen(
            ["node", str(servers.ROOT / "tests/support/courier.mjs")],
            env={**os.environ, **environment, "PORT": str(port)},
            stdout=subprocess.PIPE,
        )
        assert node.stdout is not None
        assert node.stdout.readline() == b"ready\n"
        web, worker = Web(environment), Worker(environment=environment)
        try:
            yield Platform(otlp, web.await_ready(), worker.await_ready())
        finally:
            worker.stop()
            web.stop()
            node.kill()
            node.wait()
            node.stdout.close()


def test_an_order_is_one_trace_from_the_web_to_the_webhook(
    platform: Platform, shop: Shop, receiver: Callable[[], Receiver]
) -> None:
    # Given a customer who is told of orders
    customer, hook = Caller(platform.web, shop.token), receiver()
    assert customer.call("POST", "/api/v1/webhook-endpoints/", {"url": hook.url}).status == 201

    # When an order is placed in a trace, brought by a courier, and paid by a request of another trace
    body = {
        "items": [{"sku": TEA, "quantity": 2}],
        "slot": shop.slot,
        "fulfilment": {"kind": "COURIER", "address": ADDRESS},
    }
    placed = customer.call("POST", ORDERS, body, {"traceparent": PARENT})
    assert placed.status == 202, placed.body
    order_no = placed.body["order_no"]
    run_id = run_of(order_no)
    await_state(run_id, State.AWAITING_CONFIRM)
    assert customer.pay(order_no).status == 200
    await_state(run_id, State.SUCCEEDED)
    eventually(lambda: len(hook.came) == 2, what="both webhooks")

    # Then all of it is one trace
    spans = platform.otlp.of
    told = [
        *("create_order.forward", "reserve_inventory.try", "apply_coupon.forward", "book_courier.try"),
        *("await payment", "confirmation payment", "reserve_inventory.confirm", "book_courier.confirm"),
    ]
    eventually(lambda: len([s for s in spans(TRACE) if s.name == "send.forward"]) == 2, what="the last spans")
    eventually(lambda: set(told) <= {span.name for span in spans(TRACE)}, what="the spans of the web")
    names = {span.name: span for span in spans(TRACE)}
    (request,) = (span for span in spans(TRACE) if "django" in span.scope)
    assert (request.parent_id, request.service) == ("00f067aa0ba902b7", "drinkgroup")
    assert placed.headers["traceparent"] == f"00-{TRACE}-{request.span_id}-01"
    for name in told:
        assert names[name].parent_id == request.span_id, name
        assert names[name].attributes["sagas.run.id"] == str(run_id), name

    # With what Node does for it, and the requests to the customer's endpoint
    for name, called in (
        ("POST /deliveries", "call book_courier.try"),
        ("PUT /deliveries", "call book_courier.confirm"),
    ):
        assert (names[name].service, names[name].parent_id) == ("courier", names[called].span_id)
        assert names[name].attributes["baggage"] == f"sagas.run.id={run_id}"
    calls = {span.span_id for span in spans(TRACE) if span.name == "call send.forward"}
    assert {headers["traceparent"].split("-")[2] for headers, _ in hook.came} == calls
    assert all(headers["traceparent"].startswith(f"00-{TRACE}-") for headers, _ in hook.came)

    # And nothing is told twice
    assert [span for span, count in Counter(map(_once, spans(TRACE))).items() if count > 1] == []

    # And the lines of all of it keep to the schema
    lines = [line for text in (platform.web.text(), platform.worker.text()) for line in text.splitlines()]
    events = [line for line in lines if line.startswith("{")]
    assert {problem for line in events for problem in problems_of(line)} == set()
    assert not any(secret in line for line in events for secret in (shop.token, *ADDRESS.values()))
    of_the_order = [nested(line) for line in events if order_no in line]
    assert all("request" in line["http"] for line in of_the_order)


def _once(span: Collected) -> str:
    """What is recorded once: tasks and what only waits may come again."""
    return json.dumps(
        [span.name, span.span_id if span.name.startswith(("run/", "apply_async/")) else "", span.attributes]
    )
