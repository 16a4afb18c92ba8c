"""Customers' endpoints are told of their orders, in the transaction in which something happens, and nobody else is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from delivery.models import Fulfilment, FulfilmentState
from orders import demo
from orders.fulfilment import services as fulfilment
from sagas.models import Run
from tests.shop.conftest import Api, Shop, confirm
from tests.shop.webhooks.conftest import Receiver
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier
from tests.support.statements import SentStatements
from webhooks import selectors, services
from webhooks.models import Endpoint, Event

Make = Callable[[], Receiver]
ENDPOINTS = "/api/v1/webhook-endpoints/"
EVENTS = "/api/v1/events/"


@pytest.fixture
def shop(lasting_shop: Shop) -> Shop:
    return lasting_shop


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


def perform(order_no: str) -> None:
    Carrier().run([Run.objects.get(business_key=order_no).pk])


@pytest.mark.usefixtures("shared_worker")
def test_an_endpoint_is_told_of_an_order_from_its_first_step_to_its_confirmation(
    api: Api, shop: Shop, receiver: Make
) -> None:
    # Given
    hook = receiver()
    reply = api.post(ENDPOINTS, {"url": hook.url})
    assert reply.status == 201
    assert reply.body["secret"].startswith("whsec_")
    assert "secret" not in api.get(ENDPOINTS).body[0]

    # When an order is placed and paid
    order_no = api.order(shop).body["order_no"]
    assert confirm(order_no).status == 200

    # Then
    eventually(lambda: len(hook.came) == 2, what="both messages")
    bodies = sorted((json.loads(body) for _, body in hook.came), key=lambda body: body["sequence"])
    assert [(body["type"], body["subject"], body["sequence"]) for body in bodies] == [
        ("order.placed", order_no, 1),
        ("order.confirmed", order_no, 2),
    ]
    assert (bodies[0]["data"]["total_amount"], bodies[0]["data"]["currency"]) == (2500, "CNY")
    # And the same can be read here
    page = api.get(EVENTS).body
    assert page["results"] == bodies
    assert api.get(f"{EVENTS}?after={page['after']}").body == {"results": [], "after": page["after"]}


def test_what_an_endpoint_is_told_of_an_order_joins_the_orders_trace(
    api: Api, shop: Shop, receiver: Make, no_worker: None
) -> None:
    # Given an order that was placed in a trace
    hook = receiver()
    api.post(ENDPOINTS, {"url": hook.url})
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    order_no = api.post("/api/v1/orders/", shop.body(), traceparent=given).body["order_no"]

    # When its first step tells the endpoint
    perform(order_no)
    Carrier().run(list(Run.objects.filter(saga="webhooks.DeliverEvent").values_list("pk", flat=True)))

    # Then the request has the trace, and no baggage: ids of runs mean nothing to a customer
    eventually(lambda: hook.came, what="the message")
    headers, _ = hook.came[0]
    assert headers["traceparent"].startswith(given[:36])
    assert headers["traceparent"] != given
    assert "baggage" not in headers


def test_who_has_no_endpoint_costs_no_statement(api: Api, shop: Shop, no_worker: None) -> None:
    # Given a process that has just looked
    Endpoint.objects.all().delete()
    services.forget()
    services.record([services.Fact(shop.customer.pk, "x", "order.placed", {})])
    with SentStatements(connection) as captured:
        services.record([services.Fact(shop.customer.pk, "x", "order.placed", {})])
    assert not captured.captured_queries
    assert not Event.objects.filter(customer_id=shop.customer.pk).exists()


def test_others_are_told_nothing(api: Api, shop: Shop, receiver: Make, no_worker: None) -> None:
    other = Api(demo.token(customer=shop.other))
    assert other.post(ENDPOINTS, {"url": receiver().url}).status == 201
    perform(api.order(shop).body["order_no"])
    assert other.get(EVENTS).body["results"] == []


def test_an_endpoint_gets_the_types_that_it_asks_for(api: Api, shop: Shop, receiver: Make, no_worker: None) -> None:
    api.post(ENDPOINTS, {"url": receiver().url, "types": ["order.rejected"]})
    order_no = api.order(shop).body["order_no"]
    perform(order_no)
    deliveries = Run.objects.filter(saga="webhooks.DeliverEvent")
    before = deliveries.count()
    assert api.post(f"/api/v1/orders/{order_no}/cancel/").status == 202
    perform(order_no)
    assert deliveries.count() == before + 1


def test_an_order_that_is_cancelled_before_its_first_step_is_told_of(
    api: Api, shop: Shop, receiver: Make, no_worker: None
) -> None:
    api.post(ENDPOINTS, {"url": receiver().url})
    order_no = api.order(shop).body["order_no"]
    assert api.post(f"/api/v1/orders/{order_no}/cancel/").status == 202
    assert [event["type"] for event in api.get(EVENTS).body["results"]] == ["order.rejected"]


def test_an_event_that_is_committed_late_is_not_missed(shop: Shop, receiver: Make, no_worker: None) -> None:
    # Given an event whose transaction is open while a later one is committed
    customer_id = shop.customer.pk
    services.register(customer_id=customer_id, url=receiver().url)
    began, end = threading.Event(), threading.Event()

    def late() -> None:
        try:
            with transaction.atomic():
                services.record([services.Fact(customer_id, "late", "order.placed", {})])
                began.set()
                end.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=late)
    thread.start()
    assert began.wait(20)
    services.record([services.Fact(customer_id, "early", "order.placed", {})])

    # When somebody lists them meanwhile
    seen = selectors.events_after(customer_id=customer_id)
    end.set()
    thread.join()
    place = (seen[-1].transaction, seen[-1].pk) if seen else (0, 0)

    # Then both are listed in the end
    rest = selectors.events_after(customer_id=customer_id, after=place)
    assert {event.subject for event in [*seen, *rest]} == {"late", "early"}


def test_an_endpoint_is_tried_out_and_removed(api: Api, shop: Shop, receiver: Make, no_worker: None) -> None:
    endpoint = api.post(ENDPOINTS, {"url": receiver().url}).body["id"]
    stranger = Api(demo.token(customer=shop.other))
    assert stranger.post(f"{ENDPOINTS}{endpoint}/test/").status == 404
    assert stranger.call("DELETE", f"{ENDPOINTS}{endpoint}/").status == 404
    reply = api.post(f"{ENDPOINTS}{endpoint}/test/")
    assert (reply.status, reply.body["type"]) == (202, "endpoint.test")
    assert api.call("DELETE", f"{ENDPOINTS}{endpoint}/").status == 204
    assert api.get(ENDPOINTS).body == []


@pytest.mark.parametrize(
    "body",
    [{}, {"url": 3}, {"url": "ftp://x.example/"}, {"url": "http://x.example/", "types": ["nothing"]}, {"uri": "x"}],
)
def test_bad_registrations_are_refused_and_leave_nothing(api: Api, no_worker: None, body: object) -> None:
    assert api.post(ENDPOINTS, body).status == 422
    assert api.get(ENDPOINTS).body == []


@pytest.mark.parametrize("after", ["x", "1", "1-", "-1-1", "1-" + "9" * 30])
def test_a_place_that_no_page_has_offered_is_refused(api: Api, no_worker: None, after: str) -> None:
    assert api.get(f"{EVENTS}?after={after}").status == 400


def test_old_events_are_deleted(shop: Shop, receiver: Make, no_worker: None) -> None:
    services.register(customer_id=shop.customer.pk, url=receiver().url)
    services.record([services.Fact(shop.customer.pk, name, "order.placed", {}) for name in ("old", "new")])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_event SET created_at = now() - interval '31 days' WHERE subject = 'old'")
    assert services.prune() == 1
    assert Event.objects.get(customer_id=shop.customer.pk).subject == "new"


def test_the_document_describes_each_message_as_it_is_sent(api: Api, shop: Shop, no_worker: None) -> None:
    # Given one event of each kind: an order that is made, one that is undone, and a try
    endpoint = api.post(ENDPOINTS, {"url": "https://93.184.215.14/hook"}).body["id"]
    made, undone = api.order(shop).body["order_no"], api.order(shop).body["order_no"]
    for order_no in (made, undone):
        perform(order_no)
    assert confirm(made, payment_id=f"pay-{made}").status == 200
    perform(made)
    api.post(f"/api/v1/orders/{undone}/cancel/")
    perform(undone)
    work = Fulfilment.objects.get(order_no=made)
    fulfilment.move(order_no=made, to=FulfilmentState.MAKING, version=work.version, by="li")
    api.post(f"{ENDPOINTS}{endpoint}/test/")
    sent = {event["type"]: event for event in api.get(EVENTS).body["results"]}
    # When
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped there
    # Then all are there, and each message and each example is as its schema says, with nothing more and nothing less
    assert set(sent) == set(document["webhooks"])
    for kind, message in document["webhooks"].items():
        content = message["post"]["requestBody"]["content"]["application/json"]
        schema = {**content["schema"], "components": document["components"]}
        (example,) = content["examples"].values()
        fields = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]["properties"]
        for body in (sent[kind], example["value"]):
            Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(body)
            assert list(body) == list(fields)
        assert example["value"].keys() == sent[kind].keys()
        assert example["value"]["data"].keys() == sent[kind]["data"].keys()
