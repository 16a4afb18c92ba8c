"""Coupons and redemptions from before grants come through the migration, and back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

import sagas
from coupons.participants import redeem, refund
from orders.requests import Item, OrderRequest
from orders.sagas import PlaceOrder
from sagas import Call, Done, Operation
from tests.shop.conftest import Shop
from tests.shop.coupons.calls import ask, budget, coupon, outcomes, states
from tests.support import tables

BEFORE, AFTER = "0003_one_index_of_code", "0006_guards"


def query(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else []


def empty_coupons() -> None:
    """Forget the coupons that other tests have committed, until this test is rolled back."""
    tables.empty("coupons_grant", "coupons_couponhold", "coupons_coupon")


def migrate(name: str) -> None:
    """Migrate the coupons inside the test's transaction, which is rolled back."""
    query("SET CONSTRAINTS ALL IMMEDIATE")
    MigrationExecutor(connection).migrate([("coupons", name)])


def old_coupon(code: str, *, used: bool = False, customer: int | None = None) -> None:
    query(
        "INSERT INTO coupons_coupon (code, customer_id, discount_cents, expires_at, used) "
        "VALUES (%s, %s, 500, now() + interval '1 day', %s)",
        *(code, customer, used),
    )


def run_with(shop: Shop, code: str) -> Call[OrderRequest]:
    """The call by which a run that has used a coupon gives it back."""
    request = OrderRequest(f"ORD-{code}", shop.customer.pk, (Item(shop.tea.code, 1, 1250),), shop.slot.pk, code, 500)
    run_id = sagas.start(PlaceOrder, request, business_key=request.order_no)
    results = {"apply_coupon": {"discount_cents": 500}}
    return Call(run_id, "apply_coupon", Operation.COMPENSATE, 1, request, results)


def redeemed(run_id: UUID, code: str, state: str) -> None:
    query(
        "INSERT INTO coupons_redemption (run_id, step, coupon_code, discount_cents, state, refunded_at) "
        "VALUES (%s, 'apply_coupon', %s, 500, %s, CASE %s WHEN 'REFUNDED' THEN now() END)",
        *(run_id, code, state, state),
    )


def old_tables() -> list[list[tuple[Any, ...]]]:
    return [
        query("SELECT code, customer_id, discount_cents, expires_at, active, used FROM coupons_coupon ORDER BY 1"),
        query(
            "SELECT run_id, step, coupon_code, discount_cents, state, refunded_at FROM coupons_redemption ORDER BY id"
        ),
    ]


@pytest.fixture
def before(shop: Shop) -> None:
    """The coupons stand as before grants."""
    empty_coupons()
    migrate(BEFORE)


@pytest.mark.usefixtures("before")
def test_redemptions_become_grants_and_coupons_budgets_of_one(shop: Shop) -> None:
    # Given coupons that an order has, that came back, that a pruned order had, and that nobody had
    waiting, undone = run_with(shop, "waiting"), run_with(shop, "UNDONE")
    old_coupon("waiting", used=True)
    old_coupon("UNDONE", customer=shop.customer.pk)
    old_coupon("PRUNED", used=True)
    old_coupon("free")
    redeemed(waiting.run_id, "waiting", "REDEEMED")
    redeemed(undone.run_id, "UNDONE", "REFUNDED")
    old = old_tables()

    migrate(AFTER)
    assert {code: budget(code) for code in ("waiting", "UNDONE", "PRUNED", "free")} == {
        "waiting": (0, 0, 1),
        "UNDONE": (1, 0, 0),
        "PRUNED": (0, 0, 1),
        "free": (1, 0, 0),
    }
    assert {code: states(code) for code in ("waiting", "UNDONE", "PRUNED", "free")} == {
        "waiting": ["USED"],
        "UNDONE": ["REFUNDED"],
        "PRUNED": [],
        "free": [],
    }
    # And back, nothing is lost
    migrate(BEFORE)
    assert old_tables() == old
    # And again, each goes on as it was to: the waiting order's coupon comes back, once; the others can be used, once
    migrate(AFTER)
    assert refund.many([waiting, undone]) == [Done(), Done()]
    assert (states("waiting"), states("UNDONE")) == (["REFUNDED", "ISSUED"], ["REFUNDED"])
    calls = [ask(shop, code) for code in ("waiting", "UNDONE", "PRUNED", "free", "free")]
    assert [bool(result) and isinstance(result, dict) for result in outcomes(redeem, calls)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    # One that came back is free again in the tables of before
    assert refund.many([Call(call.run_id, call.step, Operation.COMPENSATE, 1, call.request) for call in calls[:1]])
    migrate(BEFORE)
    assert query("SELECT code FROM coupons_coupon WHERE NOT used") == [("waiting",)]


@pytest.mark.usefixtures("before")
def test_codes_that_would_be_one_are_named_and_nothing_is_migrated() -> None:
    old_coupon("Tea")
    old_coupon("TEA ")
    with pytest.raises(ValueError, match=r"'TEA ', 'Tea'|'Tea', 'TEA '"):
        migrate(AFTER)


@pytest.mark.usefixtures("shop")
def test_coupons_that_would_lose_their_limits_keep_the_migration() -> None:
    empty_coupons()
    coupon(available=7)
    with pytest.raises(ValueError, match="a budget, a limit"):
        migrate(BEFORE)
