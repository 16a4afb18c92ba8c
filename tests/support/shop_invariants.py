"""The invariants of the shop: what must hold between orders, runs, stock, coupons and slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from orders.reconciliation import checking
from orders.reconciliation.invariants import BY_NAME
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


#: The runs of orders. Beside them are those in which payments are returned, which wait for a person.
_PLACED = "WITH placed AS (SELECT * FROM sagas_run WHERE saga = 'orders.PlaceOrder')"
#: What holds beside the shop's own list once all orders have ended. Each finds what breaks it.
_VIOLATIONS = {
    "a run has not ended, or a person was called": """
        SELECT id, state, cursor, attempt, claims, due_at - clock_timestamp() FROM placed
        WHERE state NOT IN ('SUCCEEDED', 'FAILED')""",
    "an escalation": """
        SELECT run_id, state, step, operation, error FROM sagas_escalation WHERE run_id IN (SELECT id FROM placed)""",
    "an effect twice, out of order, left standing, or undone without having been done": """
        SELECT run.id, run.state, story FROM placed AS run LEFT JOIN (
            SELECT run_id, string_agg(step || '.' || operation, ' ' ORDER BY id) AS story
            FROM sagas_log WHERE outcome = 'DONE' GROUP BY run_id) AS l ON l.run_id = run.id
        WHERE CASE run.state WHEN 'SUCCEEDED' THEN story IS DISTINCT FROM %(done)s
              WHEN 'FAILED' THEN COALESCE(story, '') <> ALL(%(undone)s) END""",
    "confirmed and cancelled both": """
        SELECT run.id, run.state, run.reason, c.name FROM placed AS run
        JOIN sagas_confirmation AS c ON c.run_id = run.id
        WHERE run.state = 'FAILED' AND run.reason->>'kind' NOT IN ('rejected', 'fault')""",
}


def assert_shop_invariants(before: Snapshot) -> None:
    """Assert that every order has ended, wholly confirmed or wholly undone, and that counts add up and nothing is held.

    Args:
        before: the snapshot from before the orders.
    """
    undone, done = _effect_sequences()
    for violation, sql in _VIOLATIONS.items():
        found = query(f"{_PLACED} {sql}", {"undone": undone, "done": done})
        assert not found, f"{violation}: {len(found)}, such as {found[:5]}"
    assert_reconciled()
    now = snapshot()
    assert {key: sum(counts) for key, counts in now.stock.items()} == {k: sum(c) for k, c in before.stock.items()}
    assert {key: sum(counts) for key, counts in now.slots.items()} == {k: sum(c) for k, c in before.slots.items()}
    assert set(now.coupons) == set(before.coupons)
    assert not [counts for counts in [*now.stock.values(), *now.slots.values()] if min(counts) < 0 or counts[1]]


def assert_reconciled() -> None:
    """Assert that the shop's own list of invariants finds nothing. Runs may be in flight."""
    found = [violation for part in checking.check_all() for violation in part.violations]
    told = [f"{v.row} (run {v.run_id}): {BY_NAME[v.invariant].describe(v)}" for v in found[:5]]
    assert not found, f"{len(found)}, such as {told}"


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
