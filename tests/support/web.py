"""The real web process, gunicorn, and whoever calls it over HTTP."""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.db import InterfaceError, OperationalError, connection
from django.utils.datastructures import CaseInsensitiveMapping
from standardwebhooks import Webhook

from orders.models import Order
from tests.support import servers
from tests.support.awaiting import eventually

_numbers = itertools.count(1)
_LISTENING = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+)")
_SECRET = f"whsec_{base64.b64encode(b'a secret of the tests, 32 bytes.').decode()}"
#: One customer stands for many.
_UNBOUNDED = dict.fromkeys(
    ("OPEN_ORDERS_PER_CUSTOMER", "OPEN_CUPS_PER_CUSTOMER", "OPEN_ORDERS_PER_ADDRESS", "OPEN_CUPS_PER_ADDRESS"), "0"
)
ORDERS = "/api/v1/orders/"


class Web:
    """One gunicorn as ``gunicorn.conf.py`` has it, on a free port, at the test database."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.name = f"web-{os.getpid()}-{next(_numbers)}"
        self.log = servers.directory() / f"{self.name}.log"
        command = [sys.executable, "-m", "gunicorn", "drinkgroup.wsgi", "--bind", "127.0.0.1:0"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=servers.ROOT,
                env={
                    **servers.worker_environment(),
                    **_UNBOUNDED,
                    "DRINKGROUP_WEBHOOK_SECRET": _SECRET,
                    **(environment or {}),
                },
                start_new_session=True,
            )
        self.port = 0

    def await_ready(self) -> Web:
        """Wait until it answers."""
        eventually(self._answers, within=60, what=f"{self.name} ready")
        return self

    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        """Stop it and its workers."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            msg = f"{self.name} ended at start:\n{self.text()[-4000:]}"
            raise AssertionError(msg)
        found = _LISTENING.search(self.text())
        self.port = int(found.group(1)) if found else 0
        try:
            return self.port > 0 and Caller(self).call("GET", "/readyz").status == 200
        except OSError:
            return False


@dataclass(frozen=True)
class Reply:
    """An answer, and how long it took (seconds)."""

    status: int
    body: Any
    headers: Mapping[str, str]
    seconds: float


def _costs(order_no: str) -> int:
    """What an order costs, as the gateway was told when it was placed; from any thread, once the database answers."""

    def told() -> int | None:
        try:
            return Order.objects.values_list("total_cents", flat=True).get(order_no=order_no)
        except (OperationalError, InterfaceError):
            connection.close()
            return None
        finally:
            if threading.current_thread() is not threading.main_thread():
                connection.close()

    return eventually(told, within=60, what="the order's total") or 0


@dataclass(frozen=True)
class Caller:
    """A customer's phone, or the payment provider; with a token or without."""

    web: Web
    token: str = ""

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, *, raw: str = ""
    ) -> Reply:
        """Send one request on a connection of its own; ``OSError`` if nobody answers."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Token {self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=30)
        began = time.perf_counter()
        try:
            connection.request(method, path, raw or (b"" if body is None else json.dumps(body)), sent)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError from error
        finally:
            connection.close()
        is_json = "json" in (answer.headers.get("Content-Type") or "")
        return Reply(
            answer.status,
            json.loads(text) if is_json and text else text,
            CaseInsensitiveMapping(dict(answer.headers)),
            time.perf_counter() - began,
        )

    def place(
        self, items: Sequence[tuple[str, int]], *, slot: int, coupon: str | None = None, key: str | None = None
    ) -> Reply:
        """Place an order of ``(SKU, quantity)``."""
        body: dict[str, Any] = {"items": [{"sku": s, "quantity": q} for s, q in items], "slot": slot}
        if coupon is not None:
            body["coupon"] = coupon
        return self.call("POST", ORDERS, body, {"Idempotency-Key": key} if key else {})

    def read(self, order_no: str) -> Reply:
        """Read an order."""
        return self.call("GET", f"{ORDERS}{order_no}/")

    def cancel(self, order_no: str) -> Reply:
        """Cancel an order."""
        return self.call("POST", f"{ORDERS}{order_no}/cancel/")

    def pay(self, order_no: str) -> Reply:
        """Confirm an order as the payment provider does: by a signed webhook. A repeat is the same payment."""
        text, headers = signed(order_no)
        return Caller(self.web).call("POST", f"{ORDERS}{order_no}/confirm/", headers=headers, raw=text)


def signed(order_no: str) -> tuple[str, dict[str, str]]:
    """The body of the payment provider's webhook, and the headers that sign it."""
    paid = {
        "order_no": order_no,
        "payment_id": f"pay-{order_no}",
        "amount": _costs(order_no),
        "currency": "CNY",
        "status": "succeeded",
    }
    text = json.dumps(paid)
    message, now = f"msg_{uuid4().hex}", datetime.now(UTC)
    return text, {
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(_SECRET).sign(message, now, text),
    }
