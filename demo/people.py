"""Two people besides the customer: who pays on the sandbox gateway's page, and who opens group buys in the admin."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from demo.client import Access, NotUp, Unexpected


class Payer:
    """Pays orders on the page to which an order's *Pay* leads. The gateway tells the shop by its webhook."""

    def __init__(self, access: Access) -> None:
        self._http = httpx.Client(base_url=access.gateway_url, timeout=10)

    def pay(self, order: dict[str, Any]) -> None:
        """Begin a payment of the whole price of an order, and click *Pay*."""
        asked = {"order_no": order["order_no"], "amount": order["total_amount"], "currency": order["currency"]}
        payment = _request(self._http, "GET", "/pay", params=asked).headers.get("Location")
        if not payment:
            raise Unexpected(
                f"No sandbox gateway is at {self._http.base_url}: unset GATEWAY_URL, and `make run` again."
            )
        _request(self._http, "POST", payment, data={"decision": "succeeded"})


class Staff:
    """Signed in to the admin, as a browser is."""

    def __init__(self, access: Access) -> None:
        self._http = httpx.Client(base_url=f"{access.staff_url}/admin/", timeout=10)
        name, password = access.admin
        self._submit("login/", {"username": name, "password": password, "next": "/admin/"})

    def open_campaign(self, *, seconds: int, **terms: str | int) -> None:
        """Open a group buy by the admin's form.

        Args:
            seconds: how long customers may join.
            terms: the form's other fields.
        """
        page = "campaigns/campaign/add/"
        # The form takes the time by the shop's clock, which the page has for its own buttons.
        offset = re.search(r'data-admin-utc-offset="(-?\d+)"', _request(self._http, "GET", page).text)
        if offset is None:
            raise Unexpected("The admin does not show the form of a group buy.")
        closes_at = datetime.now(UTC) + timedelta(seconds=seconds + int(offset[1]))
        self._submit(page, {**terms, "closes_at_0": f"{closes_at:%Y-%m-%d}", "closes_at_1": f"{closes_at:%H:%M:%S}"})

    def _submit(self, page: str, fields: dict[str, Any]) -> None:
        """Send a form as the browser does, with the token that came with it."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', _request(self._http, "GET", page).text)
        if token is None:
            raise Unexpected(f"The admin shows no form on {page}.")
        answer = _request(self._http, "POST", page, data={**fields, "csrfmiddlewaretoken": token[1]})
        if not answer.is_redirect:
            faults = re.findall(r'errorlist[^>]*>\s*<li>([^<]+)|errornote">\s*([^<]+)', answer.text)
            told = " ".join(text.strip() for pair in faults for text in pair if text)
            raise Unexpected(f"The admin refuses what was entered on {page}: {told or answer.status_code}")


def _request(http: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
    try:
        response = http.request(method, path, **request)
    except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
        raise NotUp(f"Nothing answers at {http.base_url} ({error}).") from error
    if response.is_error:
        raise Unexpected(f"{method} {path} was answered {response.status_code}: {response.text[:500]}")
    return response
