"""Payments, messages and orders from before refunds come through the migrations, and back."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from orders.requests import Item, split
from payments.models import Payment, Refund
from payments.returns import ReturnRequest
from payments.sagas import ReturnPayment

pytestmark = pytest.mark.django_db

BEFORE, AFTER = ("payments", "0002_guards"), ("payments", "0006_refund_guards")


def query(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else []


def migrate(*names: tuple[str, str]) -> None:
    """Migrate inside the test's transaction, which is rolled back."""
    query("SET CONSTRAINTS ALL IMMEDIATE")
    MigrationExecutor(connection).migrate(list(names))


def old_payment(payment_id: str, state: str, *, amount: int = 700, reason: str = "too_late", run: bool = True) -> UUID:
    """A payment of before; the run of its return, if it has one."""
    run_id = ReturnPayment.start(ReturnRequest(payment_id), business_key=payment_id) if run else None
    query(
        "INSERT INTO payments_payment (payment_id, order_no, run_id, amount, currency, state, reason, return_run_id, "
        "returned_at) VALUES (%s, 'ORD-1', %s, %s, 'CNY', %s, %s, %s, CASE %s WHEN 'RETURNED' THEN now() END)",
        *(payment_id, uuid4(), amount, state, reason, run_id, state),
    )
    return run_id or uuid4()


def old_tables() -> list[list[tuple[Any, ...]]]:
    return [
        query(
            "SELECT payment_id, order_no, run_id, amount, state, reason, return_run_id, returned_at "
            "FROM payments_payment ORDER BY 1"
        ),
        query("SELECT payment_id, status, outcome, digest FROM payments_paymentevent ORDER BY id"),
    ]


@pytest.fixture
def before() -> None:
    """The payments stand as before refunds."""
    query("DELETE FROM payments_payment")
    migrate(BEFORE)


@pytest.mark.usefixtures("before")
def test_payments_get_the_refunds_that_their_states_mean() -> None:
    # Given
    old_payment("taken", "TAKEN", reason="", run=False)
    due, returning = old_payment("due", "DUE_BACK"), old_payment("returning", "RETURNING")
    returned, conflict = old_payment("returned", "RETURNED"), old_payment("conflict", "CONFLICT", reason="conflict")
    old_payment("nothing", "RETURNING", amount=0)
    for outcome in ("taken", "too_late"):
        query(
            "INSERT INTO payments_paymentevent (webhook_id, digest, order_no, payment_id, amount, currency, status, "
            "outcome, body) VALUES ('m-1', 'd', 'ORD-1', 'taken', 700, 'CNY', 'succeeded', %s, '{}')",
            outcome,
        )
    tables = old_tables()
    # When
    migrate(AFTER)
    # Then
    rows = Payment.objects.values_list("payment_id", "state", "returning_amount", "returned_amount")
    assert sorted(rows) == [
        ("conflict", "CONFLICT", 0, 0),
        ("due", "DUE_BACK", 700, 0),
        ("nothing", "RETURNED", 0, 0),
        ("returned", "RETURNED", 0, 700),
        ("returning", "RETURNING", 700, 0),
        ("taken", "TAKEN", 0, 0),
    ]
    assert set(Payment.objects.values_list("gateway", flat=True)) == {"main"}
    assert {refund.pk: refund.state for refund in Refund.objects.all()} == {
        due: "REQUESTED",
        returning: "REQUESTED",
        returned: "RETURNED",
    }
    assert Payment.objects.get(payment_id="conflict").review_run_id == conflict
    ids = [name for (name,) in query("SELECT webhook_id FROM payments_paymentevent ORDER BY id")]
    assert (ids[0], ids[1].startswith("m-1#")) == ("m-1", True)
    # And back, nothing is lost but that nothing was to be returned of nothing
    migrate(BEFORE)
    was = {row[0]: row for row in tables[0]}
    now = {row[0]: row for row in old_tables()[0]}
    assert {**now, "nothing": None} == {**was, "nothing": None}
    assert old_tables()[1] == tables[1]
    # And again
    migrate(AFTER)
    assert Refund.objects.count() == 3


ITEMS = [("A", 3, 333), ("B", 1, 1000), ("C", 2, 1)]


@pytest.mark.parametrize("discount", [1, 500, 1999, 2001, 9999])
def test_the_lines_of_old_orders_get_the_shares_that_new_ones_get(discount: int) -> None:
    # Given
    migrate(("orders", "0007_campaign"))
    ((customer,),) = query(
        "INSERT INTO auth_user (username, password, first_name, last_name, email, is_staff, is_active, is_superuser, "
        "date_joined) VALUES ('old', '', '', '', '', false, true, false, now()) RETURNING id"
    )
    ((order,),) = query(
        "INSERT INTO orders_order (order_no, run_id, customer_id, status, slot, discount_cents, total_cents) "
        "VALUES ('OLD-1', %s, %s, 'CONFIRMED', 1, %s, %s) RETURNING id",
        *(uuid4(), customer, discount, max(0, 2001 - discount)),
    )
    for sku, quantity, price in ITEMS:
        query(
            "INSERT INTO orders_orderline (order_id, sku, quantity, unit_price_cents) VALUES (%s, %s, %s, %s)",
            *(order, sku, quantity, price),
        )
    # When
    migrate(("orders", "0009_shares_of_before"))
    # Then
    shares = query("SELECT discount_cents FROM orders_orderline WHERE order_id = %s ORDER BY id", order)
    assert [share for (share,) in shares] == split(min(discount, 2001), [Item(*item) for item in ITEMS])
