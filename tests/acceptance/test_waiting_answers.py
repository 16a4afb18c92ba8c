"""Clients that wait for their order over HTTP hold up nobody, and learn what became of it as soon as it is known."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.models import Fulfilment, FulfilmentState, Slot
from inventory.models import Batch
from orders.fulfilment import services as fulfilment
from orders.models import Order
from sagas.models import Run
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import TEA, Shop
from tests.support.shop_invariants import await_all_ended
from tests.support.web import ORDERS, Caller, Reply, signed

#: So many clients wait at once, with two processes of four threads each.
CROWD = 500


def place(customer: Caller, shop: Shop, *, wait: int, key: str = "") -> Reply:
    body = {"items": [{"sku": TEA, "quantity": 1}], "slot": shop.slot}
    headers = {"Prefer": f"wait={wait}"} | ({"Idempotency-Key": key} if key else {})
    return customer.call("POST", ORDERS, body, headers)


def test_a_client_that_prefers_to_wait_learns_that_its_order_is_to_be_paid(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given
    worker_group.start()

    # When
    reply = place(customer, shop, wait=20)

    # Then
    assert reply.status == 200
    assert reply.headers["Preference-Applied"] == "wait=20"
    assert reply.headers["Location"] == f"{ORDERS}{reply.body['order_no']}/"
    assert reply.body["state"] == "AWAITING_CONFIRM"
    assert reply.body["confirm_deadline"]
    assert reply.body["booking_id"]
    assert reply.body["reason"] is None
    customer.cancel(reply.body["order_no"])
    await_all_ended()


def test_a_client_that_waits_learns_why_its_order_is_refused(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given a drink that is sold out
    worker_group.start()
    Batch.objects.filter(key=TEA).update(available=0)

    # When
    reply = place(customer, shop, wait=20)

    # Then
    assert reply.status == 200
    assert reply.body["state"] in {"COMPENSATING", "FAILED"}
    assert reply.body["reason"]["kind"] == "rejected"
    assert reply.body["booking_id"] is None
    await_all_ended()


def test_when_the_time_is_over_the_answer_is_as_ever_and_a_repeat_waits_anew(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given nobody who works
    worker_group.stop_all()
    reply = place(customer, shop, wait=1, key="patient")
    assert reply.status == 202
    assert reply.headers["Preference-Applied"] == "wait=1"
    assert reply.body == {"order_no": reply.body["order_no"], "state": "PENDING", "confirm_deadline": None}

    # When
    worker_group.start()
    again = place(customer, shop, wait=20, key="patient")

    # Then it is the same order
    assert again.status == 200
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.body["order_no"] == reply.body["order_no"]
    assert Order.objects.count() == 1
    customer.cancel(reply.body["order_no"])
    await_all_ended()


def test_an_order_that_is_due_soon_waits_unasked_and_so_does_the_answer_to_its_payment(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given an order of a slot that ends soon
    worker_group.start()
    ends = timezone.now() + timedelta(minutes=14)
    slot = Slot.objects.create(starts_at=ends - timedelta(minutes=5), ends_at=ends, available=5)
    reply = customer.place([(TEA, 1)], slot=slot.pk)
    assert (reply.status, reply.body["state"]) == (200, "AWAITING_CONFIRM")
    assert "Preference-Applied" not in reply.headers

    # When it is paid
    order_no = reply.body["order_no"]
    text, headers = signed(order_no)
    answer = Caller(customer.web).call("POST", "/api/v1/payments/webhook/main/", headers=headers, raw=text)

    # Then the gateway is answered once it is confirmed
    assert (answer.status, answer.body["outcome"], answer.body["order_state"]) == (200, "settled", "SUCCEEDED")
    at_once = customer.call(
        "POST", ORDERS, {"items": [{"sku": TEA, "quantity": 1}], "slot": slot.pk}, {"Prefer": "respond-async"}
    )
    assert at_once.status == 202
    customer.cancel(at_once.body["order_no"])
    await_all_ended()


@pytest.mark.slow
def test_hundreds_who_wait_hold_up_nobody(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    # Given workers that stand still, and a crowd that waits
    worker_group.start(confirm_within=30)
    body = json.dumps({"items": [{"sku": TEA, "quantity": 1}], "slot": shop.slot})
    headers = {"Authorization": f"Token {shop.token}", "Content-Type": "application/json", "Prefer": "wait=30"}
    crowd = [http.client.HTTPConnection("127.0.0.1", customer.web.port, timeout=60) for _ in range(CROWD)]
    try:
        with worker_group.suspended():
            # A few at a time: an order that waits for a thread of the web for too long is refused.
            for many, connection in enumerate(crowd, start=1):
                connection.request("POST", ORDERS, body, headers)
                if many % 20 == 0 or many == CROWD:
                    eventually(lambda: Run.objects.count() == many, within=30, what=f"{many} orders accepted")  # noqa: B023 - called here

            # When others come
            others = [customer.call("GET", "/api/v1/menu/") for _ in range(20)]
            at = time.monotonic()

        # Then they are served at once, and the crowd is as soon as its orders have come so far
        assert {reply.status for reply in others} == {200}
        assert sorted(reply.seconds for reply in others)[10] < 1.0
        answers = [connection.getresponse() for connection in crowd]
        told = [(answer.status, json.loads(answer.read())["state"]) for answer in answers]
        assert set(told) == {(200, "AWAITING_CONFIRM")}
        assert time.monotonic() - at < 30
    finally:
        for connection in crowd:
            connection.close()
    for order_no in Order.objects.values_list("order_no", flat=True):
        customer.cancel(order_no)
    await_all_ended()


def follow(customer: Caller, path: str, headers: dict[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Read server-sent events until the stream ends: the fields of each."""
    connection = http.client.HTTPConnection("127.0.0.1", customer.web.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.getheader("Content-Type") == "text/event-stream"
        assert response.getheader("X-Accel-Buffering") == "no"
        event: dict[str, str] = {}
        while line := response.readline():
            name, _, value = line.decode().rstrip("\n").partition(":")
            if name:
                event[name] = value.strip()
            elif event:
                yield event
                event = {}
    finally:
        connection.close()


def test_an_order_is_followed_by_server_sent_events_to_its_end(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given a page that may open the stream of an order
    worker_group.start()
    order_no = place(customer, shop, wait=20).body["order_no"]
    ticket = customer.call("POST", f"{ORDERS}{order_no}/events/ticket/")
    assert ticket.status == 201
    url = ticket.body["url"]

    # When it follows it
    stream = follow(customer, url)
    events = [next(stream)]
    while events[-1].get("event") != "state":
        events.append(next(stream))
    customer.cancel(order_no)
    events += stream

    # Then it learns of every step, forward and back, of the state, and of the end
    steps = [json.loads(event["data"]) for event in events if event.get("event") == "step"]
    assert [one["operation"] for one in steps if one["step"] == "reserve_inventory"] == ["try", "cancel"]
    states = [json.loads(event["data"])["state"] for event in events if event.get("event") == "state"]
    assert (states[0], states[-1]) == ("AWAITING_CONFIRM", "FAILED")
    assert events[-1]["event"] == "end"

    # And after a break it gets what it has not seen, and then learns that nothing more will come
    seen = next(event["id"] for event in events if event.get("event") == "step")
    again = list(follow(customer, url, {"Last-Event-ID": seen}))
    assert [event["id"] for event in again if event.get("event") == "step"] == [
        event["id"] for event in events if event.get("event") == "step"
    ][1:]
    last = customer.call("GET", f"{url}&last_event_id={events[-1]['id']}")
    assert last.status == 204


def test_a_ticket_opens_the_stream_of_its_order_only(worker_group: WorkerGroup, customer: Caller, shop: Shop) -> None:
    # Given two orders, and a ticket of one
    first, second = (customer.place([(TEA, 1)], slot=shop.slot).body["order_no"] for _ in range(2))
    url = customer.call("POST", f"{ORDERS}{first}/events/ticket/").body["url"]
    nobody = Caller(customer.web)

    # Then
    assert nobody.call("GET", url.replace(first, second)).status == 401
    assert nobody.call("GET", f"{url}x").status == 401
    assert nobody.call("GET", f"{ORDERS}{first}/events/").status == 401
    assert nobody.call("POST", f"{ORDERS}{first}/events/ticket/").status == 401
    assert customer.call("POST", f"{ORDERS}ORD-20261130-AAAAAAAA/events/ticket/").status == 404
    assert customer.call("GET", f"{ORDERS}{first}/events/", headers={"Last-Event-ID": "x"}).status == 400
    for order_no in (first, second):
        customer.cancel(order_no)
    worker_group.start()
    await_all_ended()


def test_a_client_that_has_the_present_version_waits_for_the_next_one(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given an order that stands still, and a client that knows it
    worker_group.start()
    order_no = place(customer, shop, wait=20).body["order_no"]
    path = f"{ORDERS}{order_no}/"
    first = customer.call("GET", path)
    known, saga = first.headers["Etag"], first.headers["X-Saga-ID"]
    has_it = {"If-None-Match": known}
    assert customer.call("GET", path, headers=has_it).status == 304
    late = customer.call("GET", path, headers={**has_it, "Prefer": "wait=1"})
    assert (late.status, late.headers["Etag"], late.headers["Preference-Applied"]) == (304, known, "wait=1")

    # When it changes while the client waits
    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(customer.call, "GET", path, headers={**has_it, "Prefer": "wait=20"})
        assert customer.cancel(order_no).status == 202
        reply = waits.result()

    # Then it gets the new version
    assert reply.status == 200
    assert reply.body["state"] in {"COMPENSATING", "FAILED"}
    assert reply.headers["Etag"] != known
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert late.headers["X-Saga-ID"] == reply.headers["X-Saga-ID"] == saga
    await_all_ended()


def move(order_no: str, to: FulfilmentState) -> None:
    """Staff moves a confirmed order in its store."""
    work = Fulfilment.objects.get(order_no=order_no)
    fulfilment.move(order_no=order_no, to=to, version=work.version, by="li")


def test_a_confirmed_order_is_followed_until_it_is_handed_over(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given a page that follows an order which is paid: its run has ended, and its store begins
    worker_group.start()
    order_no = place(customer, shop, wait=20).body["order_no"]
    url = customer.call("POST", f"{ORDERS}{order_no}/events/ticket/").body["url"]
    stream = follow(customer, url)
    assert customer.pay(order_no).status == 200
    events = [next(stream)]
    while events[-1].get("event") != "fulfilment":
        events.append(next(stream))

    # When
    move(order_no, FulfilmentState.MAKING)
    while len([event for event in events if event.get("event") == "fulfilment"]) < 2:
        events.append(next(stream))
    move(order_no, FulfilmentState.READY)
    move(order_no, FulfilmentState.HANDED_OVER)
    events += stream

    # Then it learns of each state, and of the end
    told = [json.loads(event["data"]) for event in events if event.get("event") == "fulfilment"]
    assert [one["state"] for one in told] == ["ACCEPTED", "MAKING", "READY", "HANDED_OVER"]
    assert events[-1]["event"] == "end"

    # And after a break it gets what it has not seen of either record, and then learns that nothing more will come
    seen = next(event["id"] for event in events if json.loads(event.get("data", "{}")).get("state") == "MAKING")
    sequence, _, version = seen.partition("-")
    assert (sequence.isdigit(), version) == (True, "2")
    again = [event for event in follow(customer, url, {"Last-Event-ID": seen}) if event.get("event") == "fulfilment"]
    assert [json.loads(event["data"])["version"] for event in again] == [3, 4]
    assert customer.call("GET", f"{url}&last_event_id={events[-1]['id']}").status == 204


def test_a_client_that_waits_for_a_confirmed_order_learns_that_it_is_made(
    worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given a client that knows a confirmed order
    worker_group.start()
    order_no = place(customer, shop, wait=20).body["order_no"]
    assert customer.pay(order_no).status == 200
    await_all_ended()
    path = f"{ORDERS}{order_no}/"
    known = customer.call("GET", path).headers["Etag"]

    # When it is moved while the client waits
    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(customer.call, "GET", path, headers={"If-None-Match": known, "Prefer": "wait=20"})
        move(order_no, FulfilmentState.MAKING)
        reply = waits.result()

    # Then
    assert reply.status == 200
    assert reply.body["fulfilment"]["state"] == "MAKING"
