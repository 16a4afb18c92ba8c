"""The API from the side of a customer and of the payment provider."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx
from standardwebhooks import Webhook


class NotUp(Exception):
    """The platform does not answer. Start it with `make run`, in another terminal, and wait until it is ready."""


class Unexpected(Exception):
    """The platform gave an unexpected answer."""


@dataclass(frozen=True, slots=True)
class Access:
    """The address of the platform, and the credentials.

    Attributes:
        url: its base URL.
        token: the demo customer's token.
        secret: the webhook's secret, ``whsec_…``.
        staff_url: the base URL of the web for staff.
        gateway_url: the base URL of the sandbox gateway.
        admin: user name and password of the shop's admin.
        password: of the demo customers.
    """

    url: str
    token: str
    secret: str
    staff_url: str
    gateway_url: str
    admin: tuple[str, str]
    password: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the file that `make run` has written; environment variables take precedence."""
        if not file.exists():
            raise NotUp(f"There is no {file}.")
        pairs = (line.partition("=") for line in shlex.split(file.read_text()))
        told = {name: value for name, _, value in pairs} | os.environ
        url = told["DRINKGROUP_URL"]
        return cls(
            url,
            told["DRINKGROUP_TOKEN"],
            told["DRINKGROUP_WEBHOOK_SECRET"],
            # A platform of an earlier state has written less.
            told.get("DRINKGROUP_STAFF_URL", url),
            told.get("GATEWAY_URL", ""),
            (told.get("ADMIN_USER", ""), told.get("ADMIN_PASSWORD", "")),
            told.get("DEMO_PASSWORD", ""),
        )


class Api:
    """One customer's connection."""

    def __init__(self, access: Access) -> None:
        self._webhook = Webhook(access.secret)
        self._token = {"Authorization": f"Token {access.token}"}
        self._http = httpx.Client(base_url=f"{access.url}/api/v1/", timeout=10)

    @classmethod
    def log_in(cls, access: Access, username: str) -> Self:
        """Connect another demo customer, with a token of their own."""
        nobody = cls(access)
        asked = {"username": username, "password": access.password}
        return cls(replace(access, token=nobody._call("POST", "tokens/", json=asked)["token"]))

    def menu(self) -> list[dict[str, Any]]:
        """List the drinks."""
        found: list[dict[str, Any]] = self._call("GET", "menu/", headers=self._token)
        return found

    def slots(self) -> list[dict[str, Any]]:
        """List the delivery slots."""
        found: list[dict[str, Any]] = self._call("GET", "slots/", headers=self._token)
        return found

    def place(self, body: dict[str, Any], *, wait: int = 0) -> dict[str, Any]:
        """Place an order. With its key, a repeated request does not place a second one.

        Args:
            body: what is ordered.
            wait: seconds within which the steps may be done before the answer; 0: the answer comes at once.
        """
        headers = {**self._token, "Idempotency-Key": str(uuid4()), **({"Prefer": f"wait={wait}"} if wait else {})}
        found: dict[str, Any] = self._call("POST", "orders/", headers=headers, json=body)
        return found

    def campaigns(self) -> list[dict[str, Any]]:
        """List the group buys that are not settled."""
        found: list[dict[str, Any]] = self._call("GET", "campaigns/", headers=self._token)
        return found

    def campaign(self, campaign_id: int) -> dict[str, Any]:
        """Read a group buy, and how it stands."""
        found: dict[str, Any] = self._call("GET", f"campaigns/{campaign_id}/", headers=self._token)
        return found

    def join(self, campaign_id: int) -> dict[str, Any]:
        """Join a group buy with one cup; it makes an order."""
        headers = {**self._token, "Idempotency-Key": str(uuid4())}
        found: dict[str, Any] = self._call("POST", f"campaigns/{campaign_id}/join/", headers=headers, json={})
        return found

    def order(self, order_no: str) -> dict[str, Any]:
        """Read an order with its steps."""
        found: dict[str, Any] = self._call("GET", f"orders/{order_no}/", headers=self._token)
        return found

    def pay(self, order_no: str) -> None:
        """Send the payment provider's signed webhook for the full price of the order."""
        order = self.order(order_no)
        paid = {
            "order_no": order_no,
            "payment_id": f"pay_{uuid4().hex[:12]}",
            "amount": order["total_amount"],
            "currency": order["currency"],
            "status": "succeeded",
        }
        body = json.dumps(paid)
        message, now = f"msg_{uuid4().hex}", datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(message, now, body),
        }
        self._call("POST", f"orders/{order_no}/confirm/", headers=headers, content=body)

    def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise NotUp(f"Nothing answers at {self._http.base_url} ({error}).") from error
        if response.is_error:
            raise Unexpected(f"{method} {path} was answered {response.status_code}: {response.text[:500]}")
        return response.json()
