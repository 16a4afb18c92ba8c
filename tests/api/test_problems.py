"""Every error below /api/ is a problem by RFC 9457, wherever it arises."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

import inventory.selectors
from tests.api.conftest import ORDERS, Api, Shop


@pytest.mark.parametrize(
    "path",
    ["/api/", "/api/v1/", "/api/v2/orders/", "/api/v1/orders", "/api/v1/orders/a%00b/", "/api/v1/orders/../x/"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_url(anyone: Api, db: None, method: str, path: str) -> None:
    reply = anyone.call(method, path)
    assert (reply.status, reply.problem) == (404, "not-found")


@pytest.mark.parametrize(("method", "path"), [("DELETE", ORDERS), ("PUT", "/api/v1/menu/"), ("POST", "/api/v1/slots/")])
def test_a_method_that_is_not_allowed(api: Api, method: str, path: str) -> None:
    reply = api.call(method, path)
    assert (reply.status, reply.problem) == (405, "method-not-allowed")
    assert reply.headers["Allow"]


def test_an_answer_in_another_form(api: Api) -> None:
    assert api.get("/api/v1/menu/", Accept="text/html").problem == "not-acceptable"


def test_a_database_that_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(inventory.selectors, "menu", away)
    reply = api.get("/api/v1/menu/")
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (503, "database-unavailable", "1")


def test_what_nobody_expected(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("the inside")

    monkeypatch.setattr(inventory.selectors, "menu", broken)
    reply = api.get("/api/v1/menu/")
    assert (reply.status, reply.problem) == (500, "internal-error")
    assert "inside" not in str(reply.body)


def test_a_host_that_is_not_ours(api: Api) -> None:
    reply = api.get("/api/v1/menu/", Host="evil.example")
    assert (reply.status, reply.problem) == (400, "bad-request")


def test_outside_of_the_api_errors_are_for_people(anyone: Api, db: None) -> None:
    response = anyone.client.get("/nowhere")
    assert (response.status_code, response.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_health(anyone: Api, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert anyone.client.get("/healthz").status_code == 200
    assert anyone.client.get("/readyz").status_code == 200

    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", away)
    assert anyone.client.get("/healthz").status_code == 200
    assert anyone.client.get("/readyz").status_code == 503


def test_the_docs_need_no_network(anyone: Api, shop: Shop) -> None:
    page = anyone.client.get("/api/docs/").content.decode()
    assert "https://" not in page.split("</head>")[0]
    assert "cdn" not in page
    script = page.split('<script src="')[1].split('"')[0]
    answer = anyone.client.get(script)
    assert answer.status_code == 200
    assert len(answer.getvalue()) > 10_000
    answer.close()
