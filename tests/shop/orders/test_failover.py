"""The web while its database session only reads, as after a failover, or while the server cannot do its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from orders import demo
from orders.models import Order
from tests.shop.conftest import ORDERS, Api, Reply, Shop, confirm


@pytest.fixture
def api(lasting_shop: Shop) -> Iterator[Api]:
    yield Api(demo.token(customer=lasting_shop.customer))
    connection.close()


def only_reads() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")


def assert_unavailable(reply: Reply) -> None:
    assert (reply.status, reply.problem) == (503, "database-unavailable")
    assert reply.headers["Retry-After"] == "1"


def test_an_order_during_a_failover_gets_503_and_its_repeat_succeeds(api: Api, lasting_shop: Shop) -> None:
    only_reads()
    key = uuid4().hex
    # When
    assert_unavailable(api.order(lasting_shop, key=key))
    # Then the session is closed, and the next one is on the server that writes
    assert connection.connection is None
    assert api.order(lasting_shop, key=key).status == 202


def test_a_payment_during_a_failover_gets_503_and_its_repeat_succeeds(api: Api, lasting_shop: Shop) -> None:
    order_no = api.order(lasting_shop).body["order_no"]
    only_reads()
    assert_unavailable(confirm(order_no, f"pay_{order_no}"))
    assert confirm(order_no, f"pay_{order_no}").status == 200


def test_a_cancel_during_a_failover_gets_503(api: Api, lasting_shop: Shop) -> None:
    order_no = api.order(lasting_shop).body["order_no"]
    only_reads()
    assert_unavailable(api.post(f"{ORDERS}{order_no}/cancel/"))
    assert api.post(f"{ORDERS}{order_no}/cancel/").status in {200, 202}


def test_the_web_is_not_ready_on_a_read_only_database(anyone: Api, database: None) -> None:
    only_reads()
    answer = anyone.client.get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"the database takes no writes\n")
    assert answer.headers["Retry-After"] == "1"
    # And it looks for one where it can
    assert anyone.client.get("/readyz").status_code == 200


def test_a_login_in_the_admin_during_a_failover_gets_503(anyone: Api, database: None) -> None:
    name = f"ada-{uuid4().hex[:8]}"
    get_user_model()._default_manager.create_superuser(name, password="a good password")
    anyone.client.handler.enforce_csrf_checks = False
    login = {"username": name, "password": "a good password"}
    only_reads()
    answer = anyone.client.post("/admin/login/", login)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "again in a moment" in answer.content.decode()
    assert connection.connection is None
    assert anyone.client.post("/admin/login/", login).status_code == 302


@contextmanager
def refusing(table: str, code: str) -> Iterator[None]:
    """The server answers each insert into this table with this SQLSTATE."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'cannot' USING ERRCODE = '{code}'; END $$; "
            f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    try:
        yield
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.parametrize("code", ["25006", "53100", "53200", "53300", "57014", "57P01", "58030", "XX000", "08006"])
def test_a_server_that_cannot_execute_a_statement_is_answered_with_503(api: Api, lasting_shop: Shop, code: str) -> None:
    key = uuid4().hex
    with refusing("sagas_run", code):
        assert_unavailable(api.order(lasting_shop, key=key))
    reply = api.order(lasting_shop, key=key)
    assert reply.status == 202
    assert Order.objects.filter(order_no=reply.body["order_no"]).count() == 1


@pytest.mark.parametrize("code", ["22003", "P0001", "42501"])
def test_an_invalid_statement_is_still_an_error(api: Api, lasting_shop: Shop, code: str) -> None:
    with refusing("sagas_run", code):
        assert api.order(lasting_shop).problem == "internal-error"
