"""One attempt at an endpoint: what is sent, what counts as taken, and where nothing is ever sent to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models.functions import Now
from pytest_django import Settings
from standardwebhooks import Webhook

from sagas import Call
from sagas.definition.participants import NotYet
from tests.shop.webhooks.conftest import Receiver
from tests.support.awaiting import eventually
from webhooks import outcomes, sending, services
from webhooks.errors import EndpointNotFound, EndpointRefused, TooManyEndpoints
from webhooks.models import Endpoint, Event
from webhooks.requests import Delivery

Make = Callable[[], Receiver]


@pytest.fixture
def customer_id(database: None) -> int:
    return int(get_user_model().objects.create_user(f"c-{uuid4().hex[:12]}").pk)


def told(customer_id: int, receiver: Receiver) -> Delivery:
    """An event that waits to be told to this receiver."""
    endpoint = services.register(customer_id=customer_id, url=receiver.url)
    event = services.send_test(customer_id=customer_id, endpoint_id=endpoint.pk)
    return Delivery(event.pk, endpoint.pk)


async def _attempt(delivery: Delivery) -> Any:
    return await sending.send._function(cast("Call[Delivery]", SimpleNamespace(request=delivery, trace=None)))


def attempt(delivery: Delivery) -> Any:
    return asyncio.run(_attempt(delivery))


def test_an_event_is_signed_and_has_the_same_id_and_a_new_time_in_each_attempt(
    customer_id: int, receiver: Callable[[], Receiver]
) -> None:
    # Given an endpoint that fails at first
    hook = receiver()
    hook.statuses = [500, 200]
    delivery = told(customer_id, hook)

    # When
    first, second = attempt(delivery), attempt(delivery)

    # Then
    assert isinstance(first, NotYet)
    assert first.after == sending.SOONEST
    assert second == {"status": 200}
    secret = Endpoint.objects.get(pk=delivery.endpoint).secret
    bodies = [Webhook(secret).verify(body, headers) for headers, body in hook.came]
    assert bodies[0] == bodies[1]
    assert {headers["webhook-id"] for headers, _ in hook.came} == {bodies[0]["id"]}
    assert (bodies[0]["type"], bodies[0]["sequence"], bodies[0]["api_version"]) == ("endpoint.test", 1, "2026-11-30")


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_what_is_not_taken_is_sent_again_and_redirects_are_not_followed(
    customer_id: int, receiver: Make, status: int
) -> None:
    hook = receiver()
    hook.statuses = [status]
    assert isinstance(attempt(told(customer_id, hook)), NotYet)
    assert len(hook.came) == 1


def test_an_endpoint_that_nobody_serves_is_tried_again(customer_id: int) -> None:
    assert isinstance(attempt(told(customer_id, Receiver(url="http://127.0.0.1:9/hook"))), NotYet)
    assert isinstance(attempt(told(customer_id, Receiver(url="http://nowhere.invalid/hook"))), NotYet)


def test_the_waits_grow_with_the_age_of_the_event(customer_id: int, receiver: Make) -> None:
    hook = receiver()
    delivery = told(customer_id, hook)
    waits = []
    for hours in (0.1, 1, 70):
        Event.objects.filter(pk=delivery.event).update(created_at=Now() - timedelta(hours=hours))
        hook.statuses = [500]
        waits.append(attempt(delivery).after)
    assert waits[0] == pytest.approx(180, abs=5)
    assert waits[1] == pytest.approx(1800, abs=5)
    assert waits[2] == sending.LATEST


def test_an_event_that_was_not_taken_for_three_days_is_given_up(customer_id: int, receiver: Make) -> None:
    hook = receiver()
    delivery = told(customer_id, hook)
    Event.objects.filter(pk=delivery.event).update(created_at=Now() - timedelta(hours=73))
    # Once more, for its last wait ended late
    hook.statuses = [500]
    with pytest.raises(sending.GivenUp):
        attempt(delivery)
    assert attempt(delivery) == {"status": 200}


def test_an_endpoint_that_has_gone_is_disabled(customer_id: int, receiver: Make) -> None:
    hook = receiver()
    hook.statuses = [410]
    delivery = told(customer_id, hook)
    result = attempt(delivery)
    assert result == {"gone": True}

    # When its run goes on
    with transaction.atomic():
        outcomes.note.many([cast("Call[Delivery]", SimpleNamespace(request=delivery, results={"send": result}))])

    # Then nothing more is sent there
    assert Endpoint.objects.get(pk=delivery.endpoint).disabled_reason == outcomes.GONE
    assert "skipped" in attempt(delivery)
    with pytest.raises(EndpointNotFound):
        services.send_test(customer_id=customer_id, endpoint_id=delivery.endpoint)
    # Until it is registered again
    services.register(customer_id=customer_id, url=hook.url)
    assert attempt(delivery) == {"status": 200}


def test_a_slow_endpoint_holds_a_few_attempts_and_no_other_endpoint(customer_id: int, receiver: Make) -> None:
    # Given one that answers when it likes, and another one
    slow, quick = receiver(), receiver()
    slow.hold = threading.Event()
    waiting, other = told(customer_id, slow), told(customer_id, quick)

    async def all_at_once() -> list[Any]:
        held = [asyncio.create_task(_attempt(waiting)) for _ in range(sending.AT_ONCE)]
        await asyncio.to_thread(eventually, lambda: len(slow.came) == sending.AT_ONCE, what="the slow one busy")
        crowded, answered = await _attempt(waiting), await _attempt(other)
        assert slow.hold is not None
        slow.hold.set()
        return [crowded, answered, *await asyncio.gather(*held)]

    # When
    crowded, answered, *held = asyncio.run(all_at_once())

    # Then
    assert crowded == NotYet(sending.CROWDED)
    assert answered == {"status": 200}
    assert held == [{"status": 200}] * sending.AT_ONCE
    assert not sending._busy


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104
        "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
def test_private_addresses_are_nobodys_public_server(settings: Settings, address: str) -> None:
    settings.WEBHOOKS_PRIVATE = False
    assert not sending.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are(settings: Settings, address: str) -> None:
    settings.WEBHOOKS_PRIVATE = False
    assert sending.is_public(address)


def test_nothing_is_sent_to_a_name_that_leads_to_a_private_address(
    customer_id: int, receiver: Make, settings: Settings
) -> None:
    # Given an endpoint whose name leads to this machine by now
    hook = receiver()
    delivery = told(customer_id, hook)
    settings.WEBHOOKS_PRIVATE = False

    # Then
    assert isinstance(attempt(delivery), NotYet)
    assert not hook.came


@pytest.mark.parametrize(
    "url",
    [
        "", "http://example.com/", "ftp://example.com/", "https://", "https://user:secret@example.com/",
        "https://example.com:22/", "https://example.com:70000/", "https://example.com/#part", "https://exa mple.com/",
        "https://exämple.com/", "https://[::1/", "https://example.com/" + "x" * 500, "https://example.com/\n",
    ],
)  # fmt: skip
def test_what_is_no_public_https_address_is_refused(customer_id: int, settings: Settings, url: str) -> None:
    settings.WEBHOOKS_PRIVATE = False
    with pytest.raises(EndpointRefused):
        services.register(customer_id=customer_id, url=url)
    assert not Endpoint.objects.filter(customer_id=customer_id).exists()


def test_a_customer_has_a_few_endpoints_and_registers_each_once(customer_id: int) -> None:
    made = [services.register(customer_id=customer_id, url=f"http://one.example/{n}") for n in range(services.MOST)]
    with pytest.raises(TooManyEndpoints):
        services.register(customer_id=customer_id, url="http://one.example/more")
    again = services.register(customer_id=customer_id, url=made[0].url, kinds=["order.confirmed"])
    assert (again.pk, again.secret, again.kinds) == (made[0].pk, made[0].secret, ["order.confirmed"])


def test_the_body_is_json_that_says_what_it_is(customer_id: int, receiver: Make) -> None:
    event = Event.objects.get(pk=told(customer_id, receiver()).event)
    body = json.loads(sending.write(event))
    assert set(body) == {"id", "type", "api_version", "subject", "sequence", "created_at", "data"}
    assert body["created_at"].endswith("Z")
