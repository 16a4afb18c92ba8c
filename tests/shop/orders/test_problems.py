"""Every error below /api/ is a problem by RFC 9457, wherever it arises."""

from __future__ import annotations

import gzip
import html
import json
import re
from http import HTTPStatus
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError, connection

import inventory.selectors
from orders.api.protocol.problem_types import TYPES
from sagas import store
from sagas.models import Worker
from tests.shop.conftest import ORDERS, Api, Shop


@pytest.mark.parametrize(
    "path",
    ["/api/", "/api/v1/", "/api/v2/orders/", "/api/v1/orders", "/api/v1/orders/a%00b/", "/api/v1/orders/../x/"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_url_is_a_problem(anyone: Api, db: None, method: str, path: str) -> None:
    reply = anyone.call(method, path)
    assert (reply.status, reply.problem) == (404, "not-found")


@pytest.mark.parametrize(("method", "path"), [("DELETE", ORDERS), ("PUT", "/api/v1/menu/"), ("POST", "/api/v1/slots/")])
def test_a_method_that_is_not_allowed_is_a_problem(api: Api, method: str, path: str) -> None:
    reply = api.call(method, path)
    assert (reply.status, reply.problem) == (405, "method-not-allowed")
    assert reply.headers["Allow"]


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/json;q=0",
        "application/json; q=0.0, text/html",
        "*/*;q=0",
        "application/*;q=0",
        "application/json;q=0, */*",
        "application/json;q=0, application/*;q=1",
        "image/*, application/*;q=0",
        "application/xml, application/json;q=0.000",
        "nonsense",
        "application/json;q=2",
    ],
)
def test_an_unavailable_media_type_is_a_problem(api: Api, accept: str) -> None:
    reply = api.get("/api/v1/menu/", Accept=accept)
    assert (reply.status, reply.problem) == (406, "not-acceptable")


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/*",
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "text/html, */*;q=0.1",
        "application/json;q=0.001",
        "*/*;q=0, application/json",
        "nonsense, application/json",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ],
)
def test_a_client_that_accepts_json_gets_json(api: Api, accept: str) -> None:
    reply = api.get("/api/v1/menu/", Accept=accept)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize(
    "content_type",
    ["*/*", "application/*", "*/json", "application/json, text/html", "application/json; charset=utf-16", "json"],
)
def test_a_media_type_other_than_json_is_a_problem(api: Api, shop: Shop, content_type: str) -> None:
    body = json.dumps(shop.body()).encode()
    reply = api.call("POST", ORDERS, body=body, content_type=content_type)
    assert (reply.status, reply.problem) == (415, "unsupported-media-type")


@pytest.mark.parametrize("content_type", ["Application/JSON", 'application/json; charset="UTF-8"', "application/json;"])
def test_other_spellings_of_the_json_media_type_are_accepted(api: Api, shop: Shop, content_type: str) -> None:
    body = json.dumps(shop.body()).encode()
    assert api.call("POST", ORDERS, body=body, content_type=content_type).status == 202


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", "x"])
def test_a_compressed_body_is_refused(api: Api, shop: Shop, encoding: str) -> None:
    body = gzip.compress(json.dumps(shop.body()).encode())
    for path in (ORDERS, f"{ORDERS}ORD-1/confirm/"):
        reply = api.call("POST", path, body=body, headers={"Content-Encoding": encoding})
        assert (reply.status, reply.problem) == (415, "unsupported-content-encoding")
        assert reply.headers["Accept-Encoding"] == "identity"
    plain = json.dumps(shop.body()).encode()
    assert api.call("POST", ORDERS, body=plain, headers={"Content-Encoding": "identity"}).status == 202


@pytest.mark.parametrize(
    ("method", "path", "accept", "problem"),
    [
        ("POST", "/api/schema/", "application/yaml", "method-not-allowed"),
        ("GET", "/api/schema/", "text/html", "not-acceptable"),
        ("GET", "/api/schema/?format=xml", "*/*", "not-found"),
        ("DELETE", "/api/docs/", "text/html", "method-not-allowed"),
        ("GET", "/api/docs/", "application/json", "not-acceptable"),
    ],
)
def test_errors_of_the_schema_and_the_docs_are_problems(
    anyone: Api, db: None, *, method: str, path: str, accept: str, problem: str
) -> None:
    assert anyone.call(method, path, headers={"Accept": accept}).problem == problem


@pytest.mark.parametrize("form", ["", "?format=json", "?format=yaml"])
def test_the_schema_is_available_in_several_formats(anyone: Api, db: None, form: str) -> None:
    assert anyone.client.get(f"/api/schema/{form}").status_code == 200


def test_an_unreachable_database_is_a_problem(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(inventory.selectors, "menu", away)
    reply = api.get("/api/v1/menu/")
    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (503, "database-unavailable", "1")


def test_an_unexpected_error_is_a_problem(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("the inside")

    monkeypatch.setattr(inventory.selectors, "menu", broken)
    reply = api.get("/api/v1/menu/")
    assert (reply.status, reply.problem) == (500, "internal-error")
    assert "inside" not in str(reply.body)


def test_an_unknown_host_is_a_problem(api: Api) -> None:
    reply = api.get("/api/v1/menu/", Host="evil.example")
    assert (reply.status, reply.problem) == (400, "bad-request")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("host", ["10.1.2.3:8000", "evil.example", "a b", ""])
def test_a_probe_may_use_any_host(anyone: Api, db: None, path: str, host: str) -> None:
    assert anyone.client.get(path, headers={"Host": host}).status_code == 200
    assert anyone.client.head(path, headers={"Host": host}).status_code == 200
    assert anyone.client.post(path, headers={"Host": host}).status_code == 405


def test_every_problem_has_a_page(anyone: Api, db: None) -> None:
    page = anyone.client.get("/problems/").content.decode()
    for code, found in TYPES.items():
        assert f"/problems/{code}" in page
        answer = anyone.client.get(f"/problems/{code}")
        assert answer.status_code == 200
        assert html.escape(str(found.means)) in answer.content.decode()
        assert found.status == 500 or HTTPStatus(found.status)
    assert anyone.client.get("/problems/no-such-problem").status_code == 404


def test_every_problem_that_is_raised_is_documented() -> None:
    root = Path(settings.BASE_DIR)
    raised = re.compile(r'\b(?:Problem\(\s*\d+,\s*|Fault\(\s*|\d{3}: \(?)"([a-z][a-z-]+)"')
    files = [*root.glob("orders/**/*.py"), root / "drinkgroup/server.py"]
    codes = {code for file in files for code in raised.findall(file.read_text())}
    assert {"unknown-sku", "malformed-json", "uri-too-long", "request-in-progress", "unknown-parameter"} <= codes
    assert codes <= set(TYPES)


def test_the_home_page_links_to_the_others(anyone: Api, db: None) -> None:
    page = anyone.client.get("/").content.decode()
    links = re.findall(r'<a [^>]*href="([^"]+)"', page)
    assert {"/order/", "/orders/", "/api/docs/", "/problems/", "/admin/"} <= set(links)
    assert {anyone.client.get(link).status_code for link in links} <= {200, 302, 401}
    # Nothing inline
    assert not re.search(r"<style| style=|<script(?! src=)", page)


def test_browsers_find_the_icon(anyone: Api, db: None) -> None:
    leads_to = anyone.client.get("/favicon.ico")
    assert leads_to.status_code == 302
    icon = anyone.client.get(leads_to["Location"])
    assert (icon.status_code, icon["Content-Type"]) == (200, "image/svg+xml")
    assert icon.getvalue().startswith(b"<svg")
    icon.close()


def test_errors_outside_the_api_are_html_pages(anyone: Api, db: None) -> None:
    response = anyone.client.get("/nowhere")
    assert (response.status_code, response.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_healthz_answers_without_the_database_and_readyz_does_not(
    anyone: Api, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anyone.client.get("/healthz").status_code == 200
    assert anyone.client.get("/readyz").status_code == 200

    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", away)
    assert anyone.client.get("/healthz").status_code == 200
    assert anyone.client.get("/readyz").status_code == 503


def test_the_health_of_workers_has_its_own_endpoint(anyone: Api, db: None) -> None:
    # Given no worker, then one that is well, then one that stands still
    assert anyone.client.get("/workersz").status_code == 503
    store.workers.record_heartbeat(store.workers.Heartbeat("worker1@here"))
    reply = anyone.client.get("/workersz")
    assert (reply.status_code, reply.content) == (200, b"1 of 1 worker(s) were heard of lately\n")
    Worker.objects.update(beat_at="2026-01-01T00:00:00Z")
    reply = anyone.client.get("/workersz")
    assert (reply.status_code, reply.content) == (503, b"0 of 1 worker(s) were heard of lately\n")
    # The web process takes orders all the same
    assert anyone.client.get("/readyz").status_code == 200


def test_the_docs_need_no_network(anyone: Api, shop: Shop) -> None:
    page = anyone.client.get("/api/docs/").content.decode()
    assert "https://" not in page.split("</head>")[0]
    assert "cdn" not in page
    script = page.split('<script src="')[1].split('"')[0]
    answer = anyone.client.get(script)
    assert answer.status_code == 200
    assert len(answer.getvalue()) > 10_000
    answer.close()
