"""A small shop, a client that speaks JSON, and a ledger that shows whether a request left a trace."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings as project
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoDbBlocker, Settings
from standardwebhooks import Webhook

from coupons.models import Coupon
from delivery.models import Slot
from inventory.models import Batch, Sku
from inventory.services import add_sku
from orders import demo
from orders.api.protocol import throttles
from tests.support import leftovers


@pytest.fixture(scope="module", autouse=True)
def _nothing_left(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> None:
    """What other files have committed is gone: tests that roll back may look at all there is."""
    if leftovers.committed.anything:
        request.getfixturevalue("shared_workers").stop()
        with django_db_blocker.unblock():
            leftovers.forget_all()


SECRET = f"whsec_{base64.b64encode(b'a secret of the tests, 32 bytes.').decode()}"
ORDERS = "/api/v1/orders/"


@dataclass
class Reply:
    """An answer, parsed."""

    status: int
    body: Any
    headers: Any

    @property
    def problem(self) -> str:
        """The problem's word, once it is clear that this is a problem by the book."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.body["status"] == self.status
        assert {"type", "title", "detail", "instance"} <= set(self.body)
        return str(self.body["type"]).removeprefix("/problems/")

    @property
    def pointers(self) -> list[str]:
        """Where the errors are."""
        return [error["pointer"] for error in self.body["errors"]]


def _client() -> Client:
    # As a browser or curl would: without the test client's exemption from CSRF, and with answers to 500s.
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@dataclass
class Api:
    """A client of the API, with or without a token."""

    token: str = ""
    client: Client = field(default_factory=_client)

    def get(self, path: str, **headers: str) -> Reply:
        return self.call("GET", path, headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.call("POST", path, body=b"" if body is None else json.dumps(body).encode(), headers=headers)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.token:
            sent.setdefault("Authorization", f"Token {self.token}")
        response = self.client.generic(method, path, body, content_type=content_type, headers=sent)
        text = response.content
        return Reply(response.status_code, json.loads(text) if text else None, response.headers)

    def order(self, shop: Shop, **changes: Any) -> Reply:
        """Place an order of two teas, with changes to its body."""
        key = changes.pop("key", None)
        return self.post(ORDERS, shop.body(**changes), **({"Idempotency_Key": key} if key else {}))


@dataclass
class Shop:
    """What is there to be ordered. Codes are random, because some tests commit."""

    tea: Sku
    gone: Sku
    slot: Slot
    past: Slot
    customer: User
    other: User

    @property
    def cups(self) -> Batch:
        """The cups of tea."""
        return Batch.objects.get(pk=self.tea.pk)

    def body(self, **changes: Any) -> dict[str, Any]:
        return {"items": [{"sku": self.tea.code, "quantity": 2}], "slot": self.slot.pk, **changes}

    def coupon(self, *, days: int = 1, used: bool = False, owner: User | None = None) -> str:
        code = f"C{uuid4().hex[:12]}"
        expires_at = timezone.now() + timedelta(days=days)
        counts = {"available": 0, "sold": 1, "settled": 1} if used else {}
        Coupon.objects.create(code=code, discount_cents=500, expires_at=expires_at, customer=owner, **counts)
        return code


def build_shop() -> Shop:
    word = uuid4().hex[:12]
    users = get_user_model()._default_manager
    # Slots are unique by their time.
    start = timezone.now() + timedelta(days=1, microseconds=uuid4().int % 10**9)
    return Shop(
        tea=add_sku(code=f"TEA-{word}", name="Tea", price_cents=1250, available=100),
        gone=add_sku(code=f"GONE-{word}", name="Gone", price_cents=900, available=5, active=False),
        slot=Slot.objects.create(starts_at=start, ends_at=start + timedelta(hours=1), available=50),
        past=Slot.objects.create(starts_at=start - timedelta(days=2), ends_at=start - timedelta(days=1), available=50),
        customer=users.create(username=f"customer-{word}"),
        other=users.create(username=f"other-{word}"),
    )


@pytest.fixture(autouse=True)
def _no_bound_on_open_orders(settings: Settings) -> None:
    # One customer stands for many here; test_open_orders has bounds of its own.
    settings.OPEN_ORDERS = {whose: {"orders": 0, "cups": 0} for whose in ("customer", "address")}


@pytest.fixture(autouse=True)
def _secret(settings: Settings) -> None:
    settings.WEBHOOK_SECRET = SECRET


@pytest.fixture(autouse=True)
def _nothing_counted_yet() -> None:
    with redis.Redis.from_url(project.SAGAS["REDIS_URL"]) as client:
        if counts := client.keys(f"{throttles.PREFIX}:*"):
            client.delete(*counts)


@pytest.fixture
def shop(db: None) -> Shop:
    """A shop that is rolled back."""
    return build_shop()


@pytest.fixture
def lasting_shop(database: None) -> Shop:
    """A shop that other connections and workers see."""
    return build_shop()


@pytest.fixture
def api(shop: Shop) -> Api:
    """The customer's client."""
    return Api(demo.token(customer=shop.customer))


@pytest.fixture
def stranger(shop: Shop) -> Api:
    """Another customer's client."""
    return Api(demo.token(customer=shop.other))


@pytest.fixture
def anyone() -> Api:
    """A client without a token."""
    return Api()


_TABLES = (
    "orders_order",
    "orders_orderline",
    "orders_idempotencykey",
    "sagas_run",
    "sagas_log",
    "sagas_confirmation",
    "inventory_batch",
    "inventory_move",
    "inventory_skuhold",
    "inventory_skuholdday",
    "delivery_slothold",
    "delivery_fulfilment",
    "coupons_grant",
    "coupons_couponhold",
    "payments_payment",
    "payments_refund",
    "payments_paymentevent",
)


def count_rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        counts = {}
        for table in _TABLES:
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names above
            (counts[table],) = cursor.fetchone()
    return counts


@pytest.fixture
def no_trace(db: None) -> Callable[[], None]:
    """Call it to assert that no table has a row more, or less, than when the test began."""
    before: dict[str, int] = {}

    def check() -> None:
        assert count_rows() == before

    # Taken at the first use of the fixture: tests that place an order first take it after that.
    before.update(count_rows())
    return check


def sign(
    body: bytes, *, secret: str = SECRET, at: datetime | None = None, message: str | None = None
) -> dict[str, str]:
    """Headers of a webhook as the payment provider signs it."""
    moment = at or datetime.now(UTC)
    # A repeat has the id of the first, and another message has another one.
    message = message or f"msg_{hashlib.sha256(body).hexdigest()[:16]}"
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(message, moment, body.decode()),
    }


def paid(order_no: Any, payment_id: Any = "pay_1", **changes: Any) -> dict[str, Any]:
    """What the gateway says of the payment of an order of two teas, unless changed."""
    told = {"order_no": order_no, "payment_id": payment_id, "amount": 2500, "currency": "CNY", "status": "succeeded"}
    return {name: value for name, value in {**told, **changes}.items() if value is not ...}


def confirm(order_no: str, payment_id: Any = "pay_1", *, says: dict[str, Any] | None = None, **changes: Any) -> Reply:
    """Send the payment's webhook, correctly signed unless changed; ``says`` changes what is signed."""
    body = json.dumps(paid(order_no, payment_id, **(says or {}))).encode()
    return Api().call("POST", f"{ORDERS}{order_no}/confirm/", body=body, headers=sign(body, **changes))
