"""What a program does with the typed client: mypy checks it against the client that is generated."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from uuid import uuid4

from drinkgroup_client import AuthenticatedClient
from drinkgroup_client.api.campaigns import campaigns, join_campaign
from drinkgroup_client.api.events import list_events
from drinkgroup_client.api.menu import menu
from drinkgroup_client.api.orders import cancel_order, get_order, list_orders, place_order
from drinkgroup_client.api.tokens import list_tokens
from drinkgroup_client.api.webhook_endpoints import register_endpoint
from drinkgroup_client.models import (
    Accepted,
    Campaign,
    EndpointRequestRequest,
    JoinRequest,
    Order,
    OrderDetail,
    PlaceOrderRequest,
    Problem,
    Sku,
    WantedRequest,
)
from drinkgroup_client.types import UNSET, Unset


def order(client: AuthenticatedClient, sku: str, slot: int) -> str:
    """Place an order, repeat it by its key, and return its number."""
    wanted = PlaceOrderRequest(items=[WantedRequest(sku=sku, quantity=2)], slot=slot)
    key = str(uuid4())
    first = place_order.sync_detailed(client=client, body=wanted, idempotency_key=key)
    again = place_order.sync_detailed(client=client, body=wanted, idempotency_key=key)
    assert isinstance(first.parsed, Accepted)
    assert isinstance(again.parsed, Accepted)
    assert first.status_code is HTTPStatus.ACCEPTED
    assert first.parsed.order_no == again.parsed.order_no
    assert again.headers["Idempotency-Replayed"] == "true"
    number: str = first.parsed.order_no
    return number


def read(client: AuthenticatedClient, order_no: str) -> OrderDetail:
    """Read an order, and once more by its entity tag."""
    found = get_order.sync_detailed(order_no, client=client)
    assert isinstance(found.parsed, OrderDetail)
    known = get_order.sync_detailed(order_no, client=client, if_none_match=found.headers["ETag"])
    assert known.status_code is HTTPStatus.NOT_MODIFIED
    return found.parsed


def refused(client: AuthenticatedClient, slot: int) -> Problem:
    """What an order of a drink that there is not comes to."""
    wanted = PlaceOrderRequest(items=[WantedRequest(sku="NO-SUCH-TEA", quantity=1)], slot=slot)
    found = place_order.sync(client=client, body=wanted)
    assert isinstance(found, Problem)
    return found


def placed(client: AuthenticatedClient) -> Iterator[Order]:
    """All orders, the oldest first, one a page."""
    cursor: str | Unset = UNSET
    while True:
        page = list_orders.sync(client=client, limit=1, ordering="created_at", cursor=cursor)
        assert page is not None
        assert not isinstance(page, Problem)
        yield from page.results
        if page.next_ is None:
            return
        cursor = page.next_.rpartition("cursor=")[2].partition("&")[0]


def drinks(client: AuthenticatedClient) -> dict[str, Sku]:
    """The menu by code."""
    found = menu.sync(client=client, available=True)
    assert isinstance(found, list)
    return {drink.sku: drink for drink in found}


def join(client: AuthenticatedClient, sku: str) -> tuple[Campaign, Accepted]:
    """Join the group buy of a drink."""
    page = campaigns.sync(client=client, sku=sku)
    assert page is not None
    assert not isinstance(page, Problem)
    (group,) = page.results
    joined = join_campaign.sync(group.id, client=client, body=JoinRequest(quantity=1), idempotency_key=str(uuid4()))
    assert isinstance(joined, Accepted)
    return group, joined


def cancel(client: AuthenticatedClient, order_no: str) -> str:
    """Cancel an order; return what state it has then."""
    found = cancel_order.sync(order_no, client=client)
    assert found is not None
    assert not isinstance(found, Problem)
    state: str = found.state
    return state


def register(client: AuthenticatedClient, url: str) -> Problem:
    """What the registration of an address that is not allowed comes to."""
    found = register_endpoint.sync(client=client, body=EndpointRequestRequest(url=url))
    assert isinstance(found, Problem)
    return found


def pointers(problem: Problem) -> list[str]:
    """Where a request is wrong."""
    if isinstance(problem.errors, Unset):
        return []
    return [error.pointer for error in problem.errors if not isinstance(error.pointer, Unset)]


def wrong_parameter(client: AuthenticatedClient) -> Problem:
    """What a parameter that does not fit comes to."""
    found = list_events.sync(client=client, limit=1000)
    assert isinstance(found, Problem)
    return found


def current_tokens(client: AuthenticatedClient) -> list[str]:
    """The ids of the tokens that this client uses."""
    found = list_tokens.sync(client=client)
    assert isinstance(found, list)
    return [token.id for token in found if token.current]
