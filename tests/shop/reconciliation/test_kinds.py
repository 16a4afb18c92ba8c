"""Each kind of corruption, injected by SQL past the triggers, is found, with its run and rows."""

from __future__ import annotations

import pytest

from orders.reconciliation.invariants import BY_NAME
from tests.shop.reconciliation.conftest import Scene, corrupt, violations

pytestmark = pytest.mark.usefixtures("undone_again")


def test_nothing_is_found_in_a_shop_in_which_everything_has_happened(scene: Scene) -> None:
    assert [(v.row, BY_NAME[v.invariant].describe(v)) for v in violations()] == []


#: What is done to the scene: SQL with its orders' runs and others as parameters. Then the invariants that must find it,
#: and the order whose run they must name, if any.
KINDS = {
    # Stock
    "cups held by nobody": (
        "UPDATE inventory_batch SET held = held + 1 WHERE key = %(tea)s",
        {"inventory.batch_counts", "inventory.ledger"},
        None,
    ),
    "cups sold to nobody": (
        "UPDATE inventory_batch SET sold = sold + 2 WHERE key = %(tea)s",
        {"inventory.batch_counts", "inventory.ledger"},
        None,
    ),
    "cups out of nothing": (
        "UPDATE inventory_batch SET available = available + 50 WHERE key = %(tea)s",
        {"inventory.ledger"},
        None,
    ),
    "a move that is gone": (
        "DELETE FROM inventory_move WHERE batch = %(tea)s AND kind = 'RESTOCKED'",
        {"inventory.ledger"},
        None,
    ),
    "a hold that is gone": (
        "DELETE FROM inventory_skuhold WHERE run_id = %(waiting)s",
        {"orders.cups", "inventory.batch_counts", "inventory.ledger"},
        "waiting",
    ),
    "a hold of no run": (
        "WITH h AS (INSERT INTO inventory_skuhold (run_id, step, pool_key, quantity, state, held_at) "
        "VALUES ('01900000-0000-7000-8000-000000000001', 'reserve_inventory', %(tea)s, 1, 'HELD', now())) "
        "UPDATE inventory_batch SET held = held + 1, available = available - 1 WHERE key = %(tea)s",
        {"inventory.skuhold_stands"},
        None,
    ),
    "a hold of a run that was undone": (
        "WITH h AS (UPDATE inventory_skuhold SET state = 'HELD', ended_at = NULL WHERE run_id = %(undone)s "
        "RETURNING pool_key, quantity) UPDATE inventory_batch AS b SET held = held + h.quantity FROM h "
        "WHERE b.key = h.pool_key",
        {"inventory.skuhold_stands", "orders.cups"},
        "undone",
    ),
    "a hold of fewer cups than were ordered": (
        "WITH h AS (UPDATE inventory_skuhold SET quantity = quantity - 1 WHERE run_id = %(waiting)s "
        "RETURNING pool_key) "
        "UPDATE inventory_batch AS b SET held = held - 1, available = available + 1 FROM h WHERE b.key = h.pool_key",
        {"orders.cups"},
        "waiting",
    ),
    "a SKU without its own batch": ("DELETE FROM inventory_batch WHERE key = %(gone)s", {"inventory.own_batch"}, None),
    # Slots
    "a slot that counts a place too many": (
        "UPDATE delivery_slot SET sold = sold + 1 WHERE id = %(slot)s",
        {"delivery.slot_counts"},
        None,
    ),
    "a place that is gone": (
        "WITH h AS (DELETE FROM delivery_slothold WHERE run_id = %(paid)s) UPDATE delivery_slot SET sold = sold - 1, "
        "available = available + 1 WHERE id = %(slot)s",
        {"orders.place"},
        "paid",
    ),
    "a place in another slot than the store has": (
        "WITH h AS (UPDATE delivery_slothold SET pool_key = %(slot)s WHERE run_id = %(moved)s), "
        "o AS (UPDATE delivery_slot SET sold = sold - 1 WHERE sold = 1 AND id <> %(slot)s) "
        "UPDATE delivery_slot SET sold = sold + 1 WHERE id = %(slot)s",
        {"orders.place"},
        "moved",
    ),
    "an order that names another slot than the store has": (
        "UPDATE orders_order SET slot = %(slot)s WHERE run_id = %(moved)s",
        {"orders.slot"},
        "moved",
    ),
    "an order that waits for another slot than it wanted": (
        "UPDATE orders_order SET slot = slot + 1000 WHERE run_id = %(waiting)s",
        {"orders.slot"},
        "waiting",
    ),
    "a confirmed order that no store makes": (
        "DELETE FROM delivery_fulfilment WHERE run_id = %(paid)s",
        {"orders.fulfilment"},
        "paid",
    ),
    # Coupons
    "a coupon that counts a grant too many": (
        "UPDATE coupons_coupon SET sold = sold + 1, settled = settled + 1, available = 0 WHERE code = %(coupon)s",
        {"coupons.budget"},
        None,
    ),
    "a used grant that may be used again": (
        "UPDATE coupons_grant SET state = 'ISSUED', used_by_run = NULL, used_at = NULL, discount_cents = NULL "
        "WHERE used_by_run = %(paid)s",
        {"orders.coupon"},
        "paid",
    ),
    "a grant that an undone order uses": (
        "UPDATE coupons_grant SET state = 'USED', refunded_at = NULL, refund_calls = 0, nth = 2, per_customer = 2 "
        "WHERE used_by_run = %(undone)s",
        {"orders.coupon"},
        "undone",
    ),
    "a grant that was given back and not replaced": (
        "DELETE FROM coupons_grant WHERE replaces = (SELECT id FROM coupons_grant WHERE used_by_run = %(undone)s)",
        {"coupons.replaced", "coupons.budget"},
        "undone",
    ),
    "a grant for another discount": (
        "UPDATE coupons_grant SET discount_cents = 1 WHERE used_by_run = %(paid)s",
        {"orders.coupon"},
        "paid",
    ),
    "a grant that nobody uses": (
        "UPDATE coupons_grant SET used_by_run = '01900000-0000-7000-8000-000000000003' WHERE used_by_run = %(paid)s",
        {"orders.used_by", "orders.coupon"},
        "paid",
    ),
    "a grant of an issue that was undone": (
        "UPDATE sagas_run SET state = 'FAILED' WHERE saga = 'coupons.IssueCoupon'",
        {"coupons.issued", "runs.logged", "coupons.couponhold_stands"},
        None,
    ),
    # Orders
    "an order that says otherwise than its run": (
        "UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %(paid)s",
        {"orders.status"},
        "paid",
    ),
    "a run without its order": (
        "WITH l AS (DELETE FROM orders_orderline USING orders_order AS o WHERE order_id = o.id "
        "AND o.run_id = %(waiting)s) DELETE FROM orders_order WHERE run_id = %(waiting)s",
        {"orders.status"},
        "waiting",
    ),
    "an order without its run": (
        "UPDATE orders_order SET run_id = '01900000-0000-7000-8000-000000000002' WHERE run_id = %(waiting)s",
        {"orders.run", "orders.status"},
        "waiting",
    ),
    "a line of more cups": (
        "UPDATE orders_orderline SET quantity = quantity + 1 FROM orders_order AS o WHERE order_id = o.id "
        "AND o.run_id = %(paid)s",
        {"orders.lines"},
        "paid",
    ),
    "another total": (
        "UPDATE orders_order SET total_cents = total_cents - 100 WHERE run_id = %(waiting)s",
        {"orders.total"},
        "waiting",
    ),
    # Money
    "a payment kept of an undone order": (
        "WITH r AS (DELETE FROM payments_refund AS r USING payments_payment AS p WHERE r.payment_id = p.id "
        "AND p.run_id = %(undone)s) UPDATE payments_payment SET state = 'TAKEN', reason = '', returning_amount = 0, "
        "returned_amount = 0 WHERE run_id = %(undone)s",
        {"payments.kept"},
        "undone",
    ),
    "a confirmed order that nobody has paid": (
        "DELETE FROM payments_payment WHERE run_id = %(paid)s",
        {"orders.paid", "orders.confirmation"},
        "paid",
    ),
    "a payment of another amount": (
        "UPDATE payments_payment SET amount = amount - 1 WHERE run_id = %(paid)s",
        {"orders.paid"},
        "paid",
    ),
    "a payment returned of a confirmed order": (
        "UPDATE payments_payment SET state = 'RETURNED', reason = 'undone', returned_amount = amount "
        "WHERE run_id = %(paid)s",
        {"payments.undone", "payments.sums"},
        "paid",
    ),
    "a refund that is gone": (
        "DELETE FROM payments_refund AS r USING payments_payment AS p WHERE r.payment_id = p.id "
        "AND p.run_id = %(undone)s",
        {"payments.sums"},
        "undone",
    ),
    "a refund that nothing makes": (
        "DELETE FROM sagas_run USING payments_refund AS r, payments_payment AS p WHERE sagas_run.id = r.id "
        "AND r.payment_id = p.id AND p.run_id = %(undone)s",
        {"payments.pursued", "runs.log"},
        None,
    ),
    "more refunded than was given back": (
        "UPDATE orders_order SET refunded_cents = refunded_cents + 1 WHERE run_id = %(partly)s",
        {"orders.total"},
        "partly",
    ),
    # Campaigns
    "a place of a campaign that nobody has": (
        "UPDATE campaigns_places SET sold = sold + 1, available = available - 1 WHERE campaign_id = %(formed)s",
        {"campaigns.places_counts"},
        None,
    ),
    "cups of a campaign out of nothing": (
        "UPDATE campaigns_quota SET available = available + 3 WHERE campaign_id = %(formed)s",
        {"orders.campaign_stock"},
        None,
    ),
    "a confirmed member who has left": (
        "UPDATE campaigns_member SET state = 'LEFT', left_at = now() WHERE run_id = %(member)s",
        {"orders.member", "campaigns.member", "campaigns.decided"},
        "member",
    ),
    "a group that formed with too few": (
        "UPDATE campaigns_campaign SET minimum = 3 WHERE id = %(formed)s",
        {"campaigns.decided"},
        None,
    ),
    "a campaign whose runs were told otherwise": (
        "UPDATE campaigns_campaign SET outcome = 'FORMED' WHERE id = %(short)s",
        {"orders.campaign_decision", "campaigns.decided"},
        None,
    ),
    # Runs and their logs
    "an effect that is not in the log": (
        "DELETE FROM sagas_log WHERE run_id = %(paid)s AND step = 'reserve_inventory' AND operation = 'confirm'",
        {"runs.logged", "inventory.skuhold_stands"},
        "paid",
    ),
    "a confirmed run that says it failed": (
        "UPDATE sagas_run SET state = 'FAILED' WHERE id = %(paid)s",
        {"runs.logged", "payments.kept"},
        "paid",
    ),
    "a confirmation that is gone": (
        "DELETE FROM sagas_confirmation WHERE run_id = %(paid)s",
        {"runs.confirmed", "orders.confirmation"},
        "paid",
    ),
    "a log of no run": ("DELETE FROM sagas_run WHERE id = %(refunded)s", {"runs.log"}, "refunded"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_is_found_with_its_run_and_rows(scene: Scene, kind: str) -> None:
    # Given
    sql, wanted, whose = KINDS[kind]
    orders = ("paid", "undone", "waiting", "refunded", "partly", "moved", "member")
    params: dict[str, object] = {name: scene.run(getattr(scene, name)) for name in orders}
    params |= {"tea": scene.shop.tea.code, "gone": scene.shop.gone.code, "slot": scene.shop.slot.pk}
    params |= {"coupon": scene.coupon, "formed": scene.formed.pk, "short": scene.short.pk}
    # When
    assert corrupt(sql, params) >= 1
    found = violations()
    # Then
    assert wanted <= {violation.invariant for violation in found}, found
    assert all(violation.row and BY_NAME[violation.invariant].describe(violation) for violation in found)
    assert all(BY_NAME[violation.invariant].propose(violation) for violation in found)
    if whose is not None:
        named = {violation.run_id for violation in found if violation.invariant in wanted}
        assert params[whose] in named


def test_every_invariant_has_a_corruption_that_it_finds() -> None:
    found = {name for _, wanted, _ in KINDS.values() for name in wanted}
    assert len(KINDS) >= 20
    assert set(BY_NAME) - found == {
        # Pools of one class, of which another is corrupted above.
        "coupons.coupon_counts",
        "campaigns.quota_counts",
        "delivery.slothold_stands",
        "campaigns.placehold_stands",
        "campaigns.quotahold_stands",
    }
