"""A typed client is generated from the API's document, mypy accepts what uses it, and the shop does what it says."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection

from tests.shop.conftest import Api, Shop
from tests.shop.groups.conftest import a_campaign
from tests.support import servers
from tests.support.client import generated

EXAMPLE = servers.ROOT / "examples" / "api-client" / "order.py"
STORY = servers.ROOT / "tests" / "support" / "client" / "story.py"


@pytest.fixture
def story() -> Any:
    """Imported only now: it imports the client."""
    generated.folder()
    return importlib.import_module("tests.support.client.story")


@pytest.fixture
def client(api: Api, story: Any) -> Iterator[Any]:
    """The typed client of a customer, in this process: what it writes is rolled back."""
    transport = httpx.WSGITransport(app=get_wsgi_application())
    # As Django's own test client does: the end of a request is not that of the test's session.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield story.AuthenticatedClient(
        "http://testserver",
        api.token,
        prefix="Token",
        raise_on_unexpected_status=True,
        httpx_args={"transport": transport},
    )
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def test_programs_that_use_the_client_are_typed(tmp_path: Path) -> None:
    # When mypy sees the client, and not the settings of this project, which take it for unknown
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"),
        *("--cache-dir", str(tmp_path / "cache"), str(EXAMPLE), str(STORY)),
    ]
    environment = {**os.environ, "MYPYPATH": str(generated.folder())}
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    # Then
    assert checked.returncode == 0, checked.stdout
    # And it would have noticed a field that there is not
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from drinkgroup_client.models import Accepted\n\ndef f(a: Accepted) -> int:\n    return a.orders\n"
    )
    checked = subprocess.run(
        [*command[:-2], str(wrong)], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert '"Accepted" has no attribute "orders"' in checked.stdout


@pytest.mark.django_db
def test_a_client_orders_reads_lists_and_cancels(client: Any, story: Any, shop: Shop) -> None:
    # Given two orders
    first, second = (story.order(client, shop.tea.code, shop.slot.pk) for _ in range(2))
    # Then
    assert story.drinks(client)[shop.tea.code].price_amount == 1250
    assert [order.order_no for order in story.placed(client)] == [first, second]
    detail = story.read(client, first)
    assert (detail.total_amount, detail.currency, detail.slot) == (2500, "CNY", shop.slot.pk)
    assert story.cancel(client, first) in {"COMPENSATING", "FAILED"}
    assert story.read(client, first).state in {"COMPENSATING", "FAILED"}
    assert len(story.current_tokens(client)) == 1


@pytest.mark.django_db
def test_a_client_joins_a_group_buy(client: Any, story: Any, shop: Shop) -> None:
    campaign = a_campaign(shop)
    group, joined = story.join(client, shop.tea.code)
    assert (group.id, group.price_amount) == (campaign.pk, 900)
    assert story.read(client, joined.order_no).total_amount == 900


@pytest.mark.django_db
def test_a_client_reads_problems(client: Any, story: Any, shop: Shop) -> None:
    unknown = story.refused(client, shop.slot.pk)
    assert (unknown.type_, unknown.status, story.pointers(unknown)) == ("/problems/unknown-sku", 422, ["#/items/0/sku"])
    assert story.register(client, "nonsense").type_ == "/problems/endpoint-refused"
    wrong = story.wrong_parameter(client)
    assert (wrong.type_, wrong.errors[0].parameter) == ("/problems/invalid-parameter", "limit")
    assert connection.in_atomic_block
