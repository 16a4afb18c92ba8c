"""Grants move as their schema says, whoever writes them: every other move is refused by the database."""

from __future__ import annotations

from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.db import Error, IntegrityError, connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from coupons.models import Grant, GrantState
from tests.shop.conftest import Shop
from tests.shop.coupons.calls import coupon

STATES = [state.value for state in GrantState]
#: All moves that there are.
MOVES = {
    ("CREATED", "ISSUED"),
    ("ISSUED", "USED"),
    ("USED", "REFUNDING"),
    ("REFUNDING", "REFUNDED"),
    # Taken over by another claim; called once more.
    ("CREATED", "CREATED"),
    ("REFUNDING", "REFUNDING"),
}


def execute(sql: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone() if cursor.description else cursor.rowcount


def created(shop: Shop, code: str) -> int:
    """Id of a grant that a run is issuing."""
    (found,) = execute(
        "INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at, "
        "issued_by_run) VALUES (%s, %s, 1, 1, 'CREATED', nextval('coupons_grant_token'), now() + interval '30 s', %s) "
        "RETURNING id",
        *(code, shop.customer.pk, uuid4()),
    )
    return int(found)


def move(grant: int, state: str) -> None:
    """Move a grant as its participants do, with all that goes with the state."""
    also = {
        "CREATED": ", lock_token = nextval('coupons_grant_token')",
        "ISSUED": ", lock_expires_at = now() + interval '1 day'",
        "USED": f", used_by_run = '{uuid4()}', discount_cents = 500",
        "REFUNDING": ", refund_calls = LEAST(refund_calls + 1, 3)",
        "REFUNDED": "",
    }[state]
    assert execute(f"UPDATE coupons_grant SET state = %s{also} WHERE id = %s", state, grant) == 1  # noqa: S608 - ours
    if state == "REFUNDED":
        execute(
            "INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at, "
            "replaces) SELECT coupon_id, customer_id, nth, per_customer, 'ISSUED', nextval('coupons_grant_token'), "
            "lock_expires_at, id FROM coupons_grant WHERE id = %s",
            grant,
        )


def at(shop: Shop, state: str) -> int:
    """Id of a new grant in this state."""
    grant = created(shop, coupon())
    for step in STATES[1 : STATES.index(state) + 1]:
        move(grant, step)
    return grant


@pytest.mark.parametrize(("before", "after"), list(product(STATES, STATES)))
def test_a_grant_moves_only_along_its_states(shop: Shop, before: str, after: str) -> None:
    grant = at(shop, before)
    version = Grant.objects.get(id=grant).version
    if (before, after) in MOVES:
        move(grant, after)
        assert Grant.objects.get(id=grant).version == version + 1
        return
    with pytest.raises(IntegrityError), transaction.atomic():
        move(grant, after)


@pytest.mark.django_db
@given(walk=st.lists(st.sampled_from([*STATES, "delete"]), max_size=12))
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_tried_a_grant_is_where_its_moves_have_led(shop: Shop, walk: list[str]) -> None:
    grant, stands = created(shop, coupon()), "CREATED"
    for state in walk:
        allowed = (state == "delete" and stands in {"CREATED", "REFUNDED"}) or (stands, state) in MOVES
        try:
            with transaction.atomic():
                if state == "delete":
                    execute("DELETE FROM coupons_grant WHERE id = %s", grant)
                else:
                    move(grant, state)
        except Error:
            assert not allowed, (stands, state)
        else:
            assert allowed, (stands, state)
            if state == "delete":
                return
            stands = state
        assert Grant.objects.get(id=grant).state == stands


@pytest.mark.parametrize("state", ["REFUNDING", "REFUNDED"])
def test_a_grant_does_not_begin_at_its_end(shop: Shop, state: str) -> None:
    with pytest.raises(IntegrityError, match="does not begin"), transaction.atomic():
        execute(
            "INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at) "
            "VALUES (%s, %s, 1, 1, %s, 1, now())",
            *(coupon(), shop.customer.pk, state),
        )


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("ISSUED", "state = 'USED', discount_cents = 1"),
        ("ISSUED", "state = 'USED', used_by_run = gen_random_uuid()"),
        ("ISSUED", "lock_expires_at = now()"),
        ("CREATED", "state = 'ISSUED', lock_token = NULL"),
        ("CREATED", "state = 'ISSUED', lock_expires_at = NULL"),
        ("CREATED", "state = 'ISSUED', issued_by_run = gen_random_uuid()"),
        ("CREATED", "nth = 2"),
        ("CREATED", "customer_id = customer_id + 1"),
        ("CREATED", "lock_token = lock_token - 1"),
        ("CREATED", "state = 'ISSUED', lock_token = lock_token - 1"),
        ("CREATED", "state = 'ISSUED', lock_token = lock_token + 1"),
        ("USED", "state = 'REFUNDING'"),
        ("USED", "state = 'REFUNDING', refund_calls = 2"),
        ("USED", "state = 'REFUNDING', refund_calls = 1, used_by_run = gen_random_uuid()"),
        ("REFUNDING", "refund_calls = 0"),
        ("REFUNDING", "refund_calls = 3"),
    ],
)
def test_what_does_not_go_with_the_state_is_refused(shop: Shop, state: str, change: str) -> None:
    grant = at(shop, state)
    with pytest.raises(IntegrityError), transaction.atomic():
        execute(f"UPDATE coupons_grant SET {change} WHERE id = %s", grant)  # noqa: S608 - the changes above


def test_calls_of_a_refund_are_counted_up_to_three(shop: Shop) -> None:
    grant = at(shop, "REFUNDING")
    move(grant, "REFUNDING")
    move(grant, "REFUNDING")
    assert Grant.objects.get(id=grant).refund_calls == 3
    with pytest.raises(IntegrityError, match="refund_calls"), transaction.atomic():
        execute("UPDATE coupons_grant SET refund_calls = 4 WHERE id = %s", grant)


def test_the_database_sets_when_it_was_used_and_how_often_it_was_changed(shop: Shop) -> None:
    grant = at(shop, "ISSUED")
    (before,) = execute("SELECT clock_timestamp()")
    execute(
        "UPDATE coupons_grant SET state = 'USED', used_by_run = %s, discount_cents = 1, used_at = '2001-01-01Z', "
        "version = 77 WHERE id = %s",
        *(uuid4(), grant),
    )
    used = Grant.objects.get(id=grant)
    assert used.used_at is not None
    assert used.used_at >= before
    assert used.version == 3


def test_a_grant_cannot_be_used_when_its_time_is_over(shop: Shop) -> None:
    grant = created(shop, coupon())
    execute(
        "UPDATE coupons_grant SET state = 'ISSUED', lock_expires_at = clock_timestamp() - interval '6 s' WHERE id = %s",
        grant,
    )
    with pytest.raises(IntegrityError, match="used_in_time"), transaction.atomic():
        move(grant, "USED")


def test_a_refunded_grant_is_replaced_in_the_same_commit_by_one_other(shop: Shop) -> None:
    grant = at(shop, "REFUNDING")
    # By none
    with pytest.raises(IntegrityError, match="nothing replaces it"), transaction.atomic():
        execute("UPDATE coupons_grant SET state = 'REFUNDED' WHERE id = %s", grant)
        execute("SET CONSTRAINTS ALL IMMEDIATE")
    move(grant, "REFUNDED")
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("SET CONSTRAINTS ALL DEFERRED")
    # By a second one
    with pytest.raises(IntegrityError, match=r"replaces_once|nth_once"), transaction.atomic():
        execute(
            "INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at, "
            "replaces) SELECT coupon_id, customer_id, nth, per_customer, 'ISSUED', nextval('coupons_grant_token'), "
            "lock_expires_at, id FROM coupons_grant WHERE id = %s",
            grant,
        )
    # By one for longer
    other = at(shop, "REFUNDING")
    with pytest.raises(IntegrityError, match="replaces"), transaction.atomic():
        execute("UPDATE coupons_grant SET state = 'REFUNDED' WHERE id = %s", other)
        execute(
            "INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at, "
            "replaces) SELECT coupon_id, customer_id, nth, per_customer, 'ISSUED', nextval('coupons_grant_token'), "
            "lock_expires_at + interval '1 s', id FROM coupons_grant WHERE id = %s",
            other,
        )


def test_a_customer_has_no_more_of_a_coupon_than_the_limit(shop: Shop) -> None:
    code = coupon()
    created(shop, code)
    with pytest.raises(IntegrityError, match="nth_once"), transaction.atomic():
        created(shop, code)
    with pytest.raises(IntegrityError, match="nth_in_limit"), transaction.atomic():
        execute(
            "INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at) "
            "VALUES (%s, %s, 2, 1, 'ISSUED', nextval('coupons_grant_token'), now())",
            *(code, shop.customer.pk),
        )


def test_a_run_uses_one_grant_and_a_token_is_of_one(shop: Shop) -> None:
    run_id = uuid4()
    first, second = at(shop, "ISSUED"), at(shop, "ISSUED")
    use = "UPDATE coupons_grant SET state = 'USED', used_by_run = %s, discount_cents = 1 WHERE id = %s"
    execute(use, run_id, first)
    with pytest.raises(IntegrityError, match="used_once"), transaction.atomic():
        execute(use, run_id, second)
    with pytest.raises(IntegrityError, match="token_once"), transaction.atomic():
        execute(
            "INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at) "
            "SELECT %s, customer_id, 1, 1, 'ISSUED', lock_token, now() FROM coupons_grant WHERE id = %s",
            *(coupon(), first),
        )
