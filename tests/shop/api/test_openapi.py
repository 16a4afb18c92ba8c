"""The OpenAPI schema: valid, without a warning, and with examples that are accepted as they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.utils import timezone
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from campaigns.models import Campaign
from coupons.models import Coupon
from delivery.models import OpeningHours, Slot, Store
from inventory.models import Sku
from inventory.services import add_sku
from orders import numbers
from orders.api.protocol.problem_types import TYPES
from orders.api.schema import EXAMPLES
from orders.groups import staff
from orders.models import Order
from sagas.testing import given_run
from tests.shop.conftest import Api, Reply, sign


@pytest.fixture
def schema() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped there


def operations(schema: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_the_schema_is_openapi_3_1_without_a_warning() -> None:
    GENERATOR_STATS.reset()
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped there
    assert schema["openapi"].startswith("3.1.")
    validate_schema(schema)  # type: ignore[no-untyped-call]  # untyped there
    assert not [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]


def test_every_answer_documents_the_headers_it_has(schema: Any) -> None:
    for method, path, operation in operations(schema):
        for status, response in operation["responses"].items():
            where = f"{method} {path} {status}"
            assert "X-Request-ID" in response["headers"], where
            assert ("Retry-After" in response["headers"]) == (status in {"429", "503"}), where
            assert ("WWW-Authenticate" in response["headers"]) == (status == "401"), where
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], where


def test_links_name_operations_and_their_parameters(schema: Any) -> None:
    parameters = {
        operation["operationId"]: {parameter.get("name") for parameter in operation["parameters"]}
        for _, _, operation in operations(schema)
    }
    links = [
        link
        for _, _, operation in operations(schema)
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert len(links) > 20
    for link in links:
        assert set(link["parameters"]) <= parameters[link["operationId"]], link


@pytest.mark.parametrize("code", TYPES)
def test_every_type_of_problem_resolves_to_its_page(anyone: Api, code: str) -> None:
    page = anyone.client.get(f"/problems/{code}")
    assert page.status_code == 200
    assert str(TYPES[code].means) in page.content.decode().replace("&#x27;", "'")


@pytest.fixture
def examples_exist(db: None, monkeypatch: pytest.MonkeyPatch) -> User:
    """What the examples name: a customer who is staff, too, a drink, slots, a coupon, a group buy."""
    Sku.objects.update(active=False)
    add_sku(code="OOLONG-M", name="Oolong", price_cents=1200, available=50)
    start = timezone.now() + timedelta(days=1)
    for pk in (1, 2):
        hour = {"starts_at": start + timedelta(hours=pk), "ends_at": start + timedelta(hours=pk + 1)}
        Slot.objects.create(pk=pk, available=50, **hour)
    with connection.cursor() as cursor:
        # Slots that are made later get other ids.
        cursor.execute("SELECT setval(pg_get_serial_sequence('delivery_slot', 'id'), 1000)")
    Coupon.objects.create(code="WELCOME1", discount_cents=500, expires_at=start)
    terms: dict[str, Any] = {"minimum": 2, "capacity": 9, "quota": 18, "closes_at": start}
    staff.open_campaign(by="boss", slug="tea", title="Tea", sku="OOLONG-M", price_cents=900, slot=1, **terms)
    monkeypatch.setattr(numbers, "draw", iter([EXAMPLES["payment_webhook"]["order_no"], "ORD-2"]).__next__)
    store = Store.objects.get(code="main")
    store.hours.all().delete()
    OpeningHours.objects.bulk_create(
        OpeningHours(store=store, weekday=day, opens=time(8), closes=time(20)) for day in range(1, 8)
    )
    user = User.objects.create_user("mei", password=EXAMPLES["log_in"]["password"])
    user.user_permissions.add(Permission.objects.get(codename="fulfil", content_type__app_label="delivery"))
    return user


@pytest.mark.usefixtures("examples_exist")
def test_every_example_is_accepted_as_it_stands(schema: Any, anyone: Api) -> None:
    found = {operation["operationId"]: (method, path, operation) for method, path, operation in operations(schema)}
    api, sent = anyone, set()
    # The database gives it.
    named = {"campaign_id": Campaign.objects.get().pk}

    def send(name: str) -> Reply:
        method, path, operation = found[name]
        for parameter in operation["parameters"]:
            if parameter.get("in") == "path":
                path = path.replace(
                    f"{{{parameter['name']}}}", str(named.get(parameter["name"]) or parameter["schema"]["example"])
                )
        content = operation["requestBody"]["content"]["application/json"]
        body = json.dumps(content["examples"][name]["value"]).encode()
        is_webhook = any(parameter.get("name") == "webhook-signature" for parameter in operation["parameters"])
        headers = {**sign(body)} if is_webhook else {}
        if name == "refund_order":
            headers["Idempotency-Key"] = "once"
        reply = api.call(method, path, body=body, headers=headers)
        assert reply.status in {200, 201, 202}, (name, reply.body)
        sent.add(name)
        return reply

    # Given who has logged in, and an order whose steps are done
    api = Api(send("log_in").body["token"])
    order_no = send("place_order").body["order_no"]
    run = given_run(Order.objects.get(order_no=order_no).run_id)
    # When it is paid
    send("payment_webhook")
    run.then_succeeded()
    # Then the rest goes, too
    assert send("confirm_order").body["outcome"] == "settled"
    for name in ("rebook_order", "refund_order", "move_fulfilment", "join_campaign", "register_endpoint", "open_slots"):
        send(name)
    assert sent == set(EXAMPLES) == {name for name, (_, _, operation) in found.items() if "requestBody" in operation}
