"""Findings: kept from when they are first seen, told to a person, and repaired with a reason."""

from __future__ import annotations

import pytest

from inventory import ledger
from inventory.models import Batch, Move
from orders.models import Order
from orders.reconciliation import findings
from orders.reconciliation.models import Finding
from orders.reconciliation.sagas import ReviewFindings
from payments.models import Payment, Refund
from sagas.invariants import RepairRefused
from sagas.models import Run
from tests.shop.reconciliation.conftest import Scene, corrupt, reconcile, violations

pytestmark = pytest.mark.usefixtures("undone_again")


def found() -> dict[str, Finding]:
    return {finding.invariant: finding for finding in Finding.objects.filter(resolved_at=None)}


def test_the_command_keeps_what_it_finds_and_resolves_what_is_right_again(scene: Scene) -> None:
    # Given
    assert "no violation" in reconcile()
    corrupt("UPDATE orders_order SET status = 'REJECTED' WHERE run_id = %(run)s", {"run": scene.run(scene.paid)})
    # When it is found twice
    first = reconcile()
    seen = found()["orders.status"]
    reconcile()
    # Then it is one finding, which names run and row
    assert f"orders_order {scene.paid} run {scene.run(scene.paid)}" in first
    assert "failed: 1 violation(s) were found" in first
    again = Finding.objects.get()
    assert (again.pk, again.first_seen) == (seen.pk, seen.first_seen)
    assert again.last_seen > seen.last_seen
    # When it is right again
    Order.objects.filter(order_no=scene.paid).update(status="CONFIRMED")
    assert "no violation" in reconcile()
    # Then
    resolved = Finding.objects.get()
    assert resolved.resolved_at is not None
    assert (resolved.repaired_by, resolved.reason) == ("", "")


def test_a_dry_run_keeps_nothing(scene: Scene) -> None:
    corrupt("UPDATE delivery_slot SET sold = sold + 1 WHERE id = %(slot)s", {"slot": scene.shop.slot.pk})
    assert "delivery.slot_counts" in reconcile("--dry-run")
    assert not Finding.objects.exists()
    assert not Run.objects.filter(saga=ReviewFindings.name).exists()


def test_a_repair_is_a_dry_run_until_it_is_made_with_a_reason(scene: Scene) -> None:
    # Given
    tea = scene.shop.tea.code
    before = ledger.comes_to(tea)
    corrupt("UPDATE inventory_batch SET available = available + 50 WHERE key = %(tea)s", {"tea": tea})
    reconcile()
    number = str(found()["inventory.ledger"].pk)
    # When it is only asked for
    said = reconcile("repair", number)
    assert f"set the counts of {tea} to what the ledger comes to: {before.available} available" in said
    assert "Nothing was changed" in said
    assert "Say why" in reconcile("repair", number, "--make", "--by", "mei")
    assert Batch.objects.get(pk=tea).available == before.available + 50
    # When it is made
    assert "It is right now" in reconcile("repair", number, "--make", "--reason", "counted", "--by", "mei")
    # Then the ledger says who has done it, and why
    assert Batch.objects.get(pk=tea).available == before.available
    move = Move.objects.filter(batch=tea).first()
    assert move is not None
    assert (move.kind, move.available, move.reason, move.by) == ("ADJUSTED", 0, "repaired: counted", "mei")
    assert violations() == []
    finding = Finding.objects.get(pk=number)
    assert (finding.repaired_by, finding.reason) == ("mei", "counted")
    assert finding.resolved_at is not None
    assert "resolved already" in reconcile("repair", number, "--make", "--reason", "counted", "--by", "mei")


#: What is done to the scene, the finding that is repaired, and the order that it is about.
REPAIRABLE = {
    "inventory.batch_counts": "UPDATE inventory_batch SET held = held + 1 WHERE key = %(tea)s",
    "inventory.skuhold_stands": "WITH h AS (INSERT INTO inventory_skuhold (run_id, step, pool_key, quantity, state, "
    "held_at) VALUES ('01900000-0000-7000-8000-000000000001', 'reserve_inventory', %(tea)s, 1, 'HELD', now())) "
    "UPDATE inventory_batch SET held = held + 1, available = available - 1 WHERE key = %(tea)s",
    "delivery.slot_counts": "UPDATE delivery_slot SET held = held + 1 WHERE id = %(slot)s",
    "delivery.slothold_stands": "WITH h AS (INSERT INTO delivery_slothold (run_id, step, pool_key, quantity, state) "
    "VALUES ('01900000-0000-7000-8000-000000000001', 'schedule_delivery', %(slot)s, 1, 'HELD')) "
    "UPDATE delivery_slot SET held = held + 1, available = available - 1 WHERE id = %(slot)s",
    "coupons.budget": "UPDATE coupons_coupon SET sold = sold + 1, settled = settled + 1 WHERE code = %(coupon)s",
    "campaigns.places_counts": "UPDATE campaigns_places SET sold = sold + 1 WHERE campaign_id = %(formed)s",
    "campaigns.member": "UPDATE campaigns_member SET state = 'JOINED', paid_at = NULL WHERE run_id = %(member)s",
    "orders.status": "UPDATE orders_order SET status = 'PLACED' WHERE run_id = %(paid)s",
}


@pytest.mark.parametrize("invariant", REPAIRABLE)
def test_a_repair_puts_right_what_was_found(scene: Scene, invariant: str) -> None:
    params = {"tea": scene.shop.tea.code, "slot": scene.shop.slot.pk, "coupon": scene.coupon}
    params |= {"formed": scene.formed.pk, "member": scene.run(scene.member), "paid": scene.run(scene.paid)}
    corrupt(REPAIRABLE[invariant], params)
    reconcile()
    findings.repair(finding_id=found()[invariant].pk, reason="by hand", by="mei")
    reconcile()
    assert [finding.invariant for finding in found().values()] == []


def test_a_hold_of_a_run_that_goes_on_is_not_released(scene: Scene) -> None:
    # Given a hold that somebody has marked as confirmed
    run_id = scene.run(scene.waiting)
    corrupt("UPDATE inventory_skuhold SET state = 'CONFIRMED' WHERE run_id = %(run)s", {"run": run_id})
    reconcile()
    # When, then
    with pytest.raises(RepairRefused, match="AWAITING_CONFIRM"):
        findings.repair(finding_id=found()["inventory.skuhold_stands"].pk, reason="why not", by="mei")


def test_money_is_repaired_by_its_saga_alone(scene: Scene) -> None:
    # Given a payment that is kept of an order that was undone
    run_id = scene.run(scene.undone)
    corrupt(
        "WITH r AS (DELETE FROM payments_refund AS r USING payments_payment AS p WHERE r.payment_id = p.id "
        "AND p.run_id = %(run)s) UPDATE payments_payment SET state = 'TAKEN', reason = '', returning_amount = 0, "
        "returned_amount = 0 WHERE run_id = %(run)s",
        {"run": run_id},
    )
    reconcile()
    # When
    findings.repair(finding_id=found()["payments.kept"].pk, reason="the gateway says so", by="mei")
    # Then a run returns it
    payment = Payment.objects.get(run_id=run_id)
    assert (payment.state, payment.reason, payment.returning_amount) == ("DUE_BACK", "undone", payment.amount)
    refund = Refund.objects.get(payment=payment)
    assert Run.objects.get(pk=refund.pk).saga == "payments.RefundPayment"


def test_a_refund_without_a_run_gets_one_of_the_same_id(scene: Scene) -> None:
    refund = Refund.objects.get(payment__run_id=scene.run(scene.undone))
    params = {"refund": refund.pk}
    corrupt("DELETE FROM sagas_escalation WHERE run_id = %(refund)s", params)
    corrupt("DELETE FROM sagas_log WHERE run_id = %(refund)s", params)
    corrupt("DELETE FROM sagas_run WHERE id = %(refund)s", params)
    reconcile()
    findings.repair(finding_id=found()["payments.pursued"].pk, reason="restored", by="mei")
    assert Run.objects.get(pk=refund.pk).saga == "payments.RefundPayment"


def test_what_only_a_person_can_know_is_not_repaired(scene: Scene) -> None:
    corrupt("DELETE FROM inventory_skuhold WHERE run_id = %(run)s", {"run": scene.run(scene.waiting)})
    reconcile()
    with pytest.raises(RepairRefused, match="Restore it"):
        findings.repair(finding_id=found()["orders.cups"].pk, reason="why not", by="mei")
