"""The invariants of the shop: what must hold between orders, runs, stock, coupons and slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from orders.sagas import PlaceOrder
from sagas.definition.participants import Phase
from tests.support.awaiting import eventually

Counts = tuple[int, int, int]


@dataclass(frozen=True)
class Snapshot:
    """The stock, the slots and the coupons of the shop at one time.

    Attributes:
        stock: available, held and sold cups by SKU.
        slots: available, held and sold places by slot.
        coupons: whether it is used, by code.
    """

    stock: Mapping[str, Counts]
    slots: Mapping[int, Counts]
    coupons: Mapping[str, bool]


def snapshot() -> Snapshot:
    """Read stock, slots and coupons from the database."""
    return Snapshot(
        stock={code: (a, h, s) for code, a, h, s in query("SELECT key, available, held, sold FROM inventory_batch")},
        slots={key: (a, h, s) for key, a, h, s in query("SELECT id, available, held, sold FROM delivery_slot")},
        coupons=dict(query(_USED)),
    )


#: A coupon is used if an order has it, or if nothing is left of it and no customer has it.
_USED = """
    SELECT code, CASE WHEN EXISTS (SELECT FROM coupons_grant WHERE coupon_id = code) THEN EXISTS (
        SELECT FROM coupons_grant WHERE coupon_id = code AND state IN ('USED', 'REFUNDING')) ELSE available = 0 END
    FROM coupons_coupon"""


def query(sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Execute a query and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def _effect_sequences() -> tuple[list[str], str]:
    """The possible sequences of effects: of undone runs, for each number of done steps, and of confirmed runs.

    They follow from the definition: each done step is undone once, in reverse order, and nothing else happens.
    """
    steps = PlaceOrder.definition.steps

    def names(phase: Phase, upto: int) -> list[str]:
        return [f"{s.name}.{s.actions[phase].operation}" for s in steps[:upto] if phase in s.actions]

    undone = [
        " ".join(names(Phase.FORWARD, upto) + given_back + names(Phase.UNDO, upto)[::-1])
        for upto in range(len(steps) + 1)
        for given_back in ([], ["payment.compensate"])
    ]
    done = " ".join(names(Phase.FORWARD, len(steps)) + names(Phase.CONFIRM, len(steps)))
    return undone, done


#: Each finds the offenders; what it finds is a lie in the books.
#: The runs of orders. Beside them are those in which payments are returned, which wait for a person.
_PLACED = "WITH placed AS (SELECT * FROM sagas_run WHERE saga = 'orders.PlaceOrder')"
_VIOLATIONS = {
    "a batch's counts are not the sums of its holds": """
        SELECT key, held, sold - settled, h.* FROM inventory_batch LEFT JOIN (
            SELECT pool_key, sum(quantity) FILTER (WHERE state = 'HELD') AS held_by_holds,
                   sum(quantity) FILTER (WHERE state = 'CONFIRMED') AS sold_by_holds
            FROM inventory_skuhold GROUP BY pool_key) AS h ON pool_key = key
        WHERE (held, sold - settled) <> (COALESCE(held_by_holds, 0), COALESCE(sold_by_holds, 0))""",
    "a slot's counts are not the sums of its holds": """
        SELECT id, held, sold - settled, h.* FROM delivery_slot LEFT JOIN (
            SELECT pool_key, sum(quantity) FILTER (WHERE state = 'HELD') AS held_by_holds,
                   sum(quantity) FILTER (WHERE state = 'CONFIRMED') AS sold_by_holds
            FROM delivery_slothold GROUP BY pool_key) AS h ON pool_key = id::text
        WHERE (held, sold - settled) <> (COALESCE(held_by_holds, 0), COALESCE(sold_by_holds, 0))""",
    "a run has not ended, or a person was called": """
        SELECT id, state, cursor, attempt, claims, due_at - clock_timestamp() FROM placed
        WHERE state NOT IN ('SUCCEEDED', 'FAILED')""",
    "an escalation": """
        SELECT run_id, state, step, operation, error FROM sagas_escalation WHERE run_id IN (SELECT id FROM placed)""",
    "an order without its run, or a run without its order": """
        SELECT o.order_no, run.id FROM orders_order AS o FULL JOIN placed AS run ON run.id = o.run_id
        WHERE o.id IS NULL OR run.id IS NULL OR o.order_no <> run.business_key""",
    "an effect twice, out of order, left standing, or undone without having been done": """
        SELECT run.id, run.state, story FROM placed AS run LEFT JOIN (
            SELECT run_id, string_agg(step || '.' || operation, ' ' ORDER BY id) AS story
            FROM sagas_log WHERE outcome = 'DONE' GROUP BY run_id) AS l ON l.run_id = run.id
        WHERE CASE run.state WHEN 'SUCCEEDED' THEN story IS DISTINCT FROM %(done)s
              WHEN 'FAILED' THEN COALESCE(story, '') <> ALL(%(undone)s) END""",
    "an order that says otherwise than its run": """
        SELECT o.order_no, o.status, run.state FROM orders_order AS o JOIN placed AS run ON run.id = o.run_id
        WHERE o.status <> CASE run.state WHEN 'SUCCEEDED' THEN 'CONFIRMED' ELSE 'REJECTED' END
        AND NOT (o.status = 'RECEIVED' AND run.state = 'FAILED' AND NOT EXISTS (
            SELECT FROM sagas_log WHERE run_id = run.id AND step = 'create_order' AND outcome = 'DONE'))""",
    "order lines that are not, once each, what was ordered": """
        SELECT o.order_no, wanted, written FROM orders_order AS o JOIN placed AS run ON run.id = o.run_id
        CROSS JOIN LATERAL (
            SELECT COALESCE(string_agg(format('%%s x %%s', item->>'quantity', item->>'sku'), ', '
                                       ORDER BY item->>'sku'), '') AS wanted
            FROM jsonb_array_elements(run.request->'items') AS item
            WHERE EXISTS (SELECT FROM sagas_log WHERE run_id = run.id AND step = 'create_order' AND outcome = 'DONE')
        ) AS w CROSS JOIN LATERAL (
            SELECT COALESCE(string_agg(format('%%s x %%s', quantity, sku), ', ' ORDER BY sku), '') AS written
            FROM orders_orderline WHERE order_id = o.id) AS l
        WHERE wanted <> written""",
    "cups sold or held otherwise than ordered": """
        SELECT run.id, run.state, wanted, taken FROM placed AS run CROSS JOIN LATERAL (
            SELECT COALESCE(string_agg(format('%%s x %%s', item->>'quantity', item->>'sku'), ', '
                                       ORDER BY item->>'sku'), '') AS wanted
            FROM jsonb_array_elements(run.request->'items') AS item WHERE run.state = 'SUCCEEDED'
        ) AS w CROSS JOIN LATERAL (
            SELECT COALESCE(string_agg(format('%%s x %%s', quantity, pool_key), ', ' ORDER BY pool_key), '') AS taken
            FROM inventory_skuhold WHERE run_id = run.id AND state <> 'CANCELLED') AS h
        WHERE wanted <> taken""",
    "a place in a slot taken otherwise than ordered": """
        SELECT run.id, run.state, taken FROM placed AS run CROSS JOIN LATERAL (
            SELECT COALESCE(string_agg(pool_key || ':' || quantity || ':' || state, ','), '') AS taken
            FROM delivery_slothold WHERE run_id = run.id AND state <> 'CANCELLED') AS h
        WHERE taken <> CASE run.state WHEN 'SUCCEEDED' THEN (run.request->>'slot') || ':1:CONFIRMED' ELSE '' END""",
    "a coupon redeemed otherwise than ordered": """
        SELECT run.id, run.state, redeemed FROM placed AS run CROSS JOIN LATERAL (
            SELECT COALESCE(string_agg(coupon_id, ','), '') AS redeemed
            FROM coupons_grant WHERE used_by_run = run.id AND state = 'USED') AS r
        WHERE redeemed <> CASE run.state WHEN 'SUCCEEDED' THEN COALESCE(run.request->>'coupon', '') ELSE '' END""",
    "a hold or a redemption of no run": """
        SELECT run_id FROM (SELECT run_id FROM inventory_skuhold UNION ALL SELECT run_id FROM delivery_slothold
            UNION ALL SELECT used_by_run FROM coupons_grant WHERE used_by_run IS NOT NULL) AS effect
        WHERE NOT EXISTS (SELECT FROM placed WHERE id = run_id)""",
    "a coupon granted more often than it was to be, or counted otherwise": """
        SELECT code, available, held, sold, live FROM coupons_coupon CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE state IN ('ISSUED', 'USED', 'REFUNDING')) AS live
            FROM coupons_grant WHERE coupon_id = code) AS g
        WHERE (held > 0 OR sold <> live) AND code <> ALL(%(used_before)s)""",
    "a grant that is being given back, or that nothing replaces": """
        SELECT id, state FROM coupons_grant AS g WHERE state IN ('CREATED', 'REFUNDING')
        OR (state = 'REFUNDED' AND NOT EXISTS (SELECT FROM coupons_grant WHERE replaces = g.id))""",
    "money kept for an order that failed, or owed for one that did not": """
        SELECT p.payment_id, p.state, p.reason, run.state
        FROM payments_payment AS p JOIN placed AS run ON run.id = p.run_id
        WHERE (p.state = 'TAKEN' AND run.state <> 'SUCCEEDED') OR (p.reason = 'undone' AND run.state <> 'FAILED')""",
    "a payment of which only half is on record": """
        SELECT c.run_id, p.payment_id FROM sagas_confirmation AS c FULL JOIN payments_payment AS p
        ON p.run_id = c.run_id AND p.payment_id = c.data->>'payment_id'
        WHERE (p.id IS NULL AND c.data->>'payment_id' IS NOT NULL)
        OR (c.run_id IS NULL AND (p.state = 'TAKEN' OR p.reason = 'undone'))""",
    "confirmed and cancelled both": """
        SELECT run.id, run.state, run.reason, c.name FROM placed AS run
        LEFT JOIN sagas_confirmation AS c ON c.run_id = run.id
        WHERE (run.state = 'SUCCEEDED' AND c.name IS NULL)
        OR (run.state = 'FAILED' AND c.name IS NOT NULL AND run.reason->>'kind' NOT IN ('rejected', 'fault'))""",
}


def assert_shop_invariants(before: Snapshot) -> None:
    """Assert that every order has ended, wholly confirmed or wholly undone, and that counts add up and nothing is held.

    Args:
        before: the snapshot from before the orders.
    """
    undone, done = _effect_sequences()
    used_before = [code for code, used in before.coupons.items() if used]
    for violation, sql in _VIOLATIONS.items():
        found = query(f"{_PLACED} {sql}", {"undone": undone, "done": done, "used_before": used_before})
        assert not found, f"{violation}: {len(found)}, such as {found[:5]}"
    now = snapshot()
    assert {key: sum(counts) for key, counts in now.stock.items()} == {k: sum(c) for k, c in before.stock.items()}
    assert {key: sum(counts) for key, counts in now.slots.items()} == {k: sum(c) for k, c in before.slots.items()}
    assert set(now.coupons) == set(before.coupons)
    assert not [counts for counts in [*now.stock.values(), *now.slots.values()] if min(counts) < 0 or counts[1]]


def all_ended() -> bool:
    """Whether every run has ended."""
    return not query("SELECT FROM sagas_run WHERE due_at IS NOT NULL LIMIT 1")


def await_all_ended(*, within: float = 60.0) -> None:
    """Wait until every run has ended. If one does not, report where the live runs stand."""
    try:
        eventually(all_ended, within=within)
    except AssertionError as error:
        standing = query(
            "SELECT state, cursor, attempt, claims, count(*), min(due_at - clock_timestamp())::text FROM sagas_run "
            "WHERE due_at IS NOT NULL GROUP BY 1, 2, 3, 4"
        )
        msg = f"not ended within {within:g} s (state, cursor, attempt, claims, runs, due in): {standing}"
        raise AssertionError(msg) from error
