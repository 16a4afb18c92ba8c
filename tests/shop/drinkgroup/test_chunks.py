"""The WSGI entry point below servers that hand on bodies in chunks as they come: Django alone would read nothing."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.db import connection

from drinkgroup.wsgi import application
from orders import demo
from tests.shop.conftest import ORDERS, SECRET, Api, Shop, paid, sign


def post(path: str, body: bytes, headers: dict[str, str], **environ: Any) -> tuple[int, Any]:
    """Post a body whose length nobody has said."""
    status = ""

    def start_response(said: str, _headers: object, _error: object = None) -> Any:
        nonlocal status
        status = said

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
        **environ,
    }
    answer = b"".join(application(environ, start_response))
    # The entry point closes the connection only as its settings say; the tests' database shall not wait for it.
    connection.close()
    return int(status.split(maxsplit=1)[0]), json.loads(answer)


@pytest.fixture
def token(lasting_shop: Shop) -> dict[str, str]:
    return {"Authorization": f"Token {demo.token(customer=lasting_shop.customer)}"}


def test_an_order_in_chunks_is_accepted(lasting_shop: Shop, token: dict[str, str]) -> None:
    status, answer = post(ORDERS, json.dumps(lasting_shop.body()).encode(), token)
    assert (status, answer["state"]) == (202, "PENDING")


def test_a_payment_in_chunks_is_accepted(lasting_shop: Shop, token: dict[str, str]) -> None:
    order_no = Api(token["Authorization"].split()[1]).order(lasting_shop).body["order_no"]
    body = json.dumps(paid(order_no, "pay_chunks")).encode()
    status, answer = post(f"{ORDERS}{order_no}/confirm/", body, sign(body, secret=SECRET))
    assert (status, answer["payment_id"]) == (200, "pay_chunks")


def test_too_many_chunks_are_refused(lasting_shop: Shop, token: dict[str, str]) -> None:
    status, answer = post(ORDERS, b" " * 100_000, token)
    assert (status, answer["type"]) == (413, "/problems/body-too-large")


def test_chunks_that_the_server_cannot_delimit_are_refused(lasting_shop: Shop, token: dict[str, str]) -> None:
    body = json.dumps(lasting_shop.body()).encode()
    status, answer = post(ORDERS, body, token, **{"wsgi.input_terminated": False})
    assert (status, answer["type"]) == (411, "/problems/length-required")
