"""A delivery of a webhook ends with the message taken, or given up after days; there is nothing to undo."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from pytest_django import DjangoDbBlocker

from sagas.models import Run
from sagas.testing import Ended
from tests.support import tables
from tests.support.unwinding import unwinds
from webhooks import services
from webhooks.models import Event
from webhooks.requests import Delivery
from webhooks.sagas import DeliverEvent

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty", "reached")]

#: Where the receiver is, and what it was sent: the matrix is declared before there is one.
_url: list[str] = []
_came: list[str] = []


@pytest.fixture(scope="module")
def empty(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        tables.empty("webhooks_event", "webhooks_endpoint")


@pytest.fixture(scope="module")
def reached() -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            _came.append(self.headers["webhook-id"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _url[:] = [f"http://127.0.0.1:{server.server_address[1]}/"]
    yield
    server.shutdown()
    server.server_close()


def an_event_to_be_told() -> Delivery:
    """Of a customer of its own."""
    customer = get_user_model()._default_manager.create(username=f"customer-{uuid4().hex[:8]}")
    endpoint = services.register(customer_id=customer.pk, url=f"{_url[0]}{customer.pk}")
    # Its own run is not performed.
    event = services.send_test(customer_id=customer.pk, endpoint_id=endpoint.pk)
    Run.objects.filter(saga=DeliverEvent.name, business_key=f"event {event.pk}").delete()
    return Delivery(event.pk, endpoint.pk)


def it_was_told(ended: Ended) -> None:
    """The invariant: who succeeded has told, at least once."""
    if ended.succeeded:
        request = Run.objects.values_list("request", flat=True).get(pk=ended.run_id)
        event = Event.objects.get(pk=request["event"])
        assert f"evt_{event.event_id.hex}" in _came


test_deliver_event = unwinds(
    DeliverEvent,
    an_event_to_be_told,
    invariant=it_was_told,
    # When something was delivered last is not undone.
    leaves=("webhooks_endpoint",),
    mark=lambda _: [],
)
