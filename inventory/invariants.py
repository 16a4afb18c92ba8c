"""What holds between batches, holds, moves and runs at every commit."""

from __future__ import annotations

from inventory import ledger
from inventory.models import Batch, SkuHold
from inventory.repairs import repairs
from sagas.invariants import Invariant, Repair, Walk
from sagas.pool.invariants import invariants_of

_BATCHES = Walk("inventory_batch", "key", "varchar")

INVARIANTS = (
    *invariants_of(Batch, SkuHold, recount=repairs.recount, release=repairs.release),
    Invariant(
        name="inventory.ledger",
        says="Each batch counts what its ledger comes to: people's moves, the holds, and the days of pruned holds.",
        walk=_BATCHES,
        sql="SELECT key, 'inventory_batch ' || key AS row, NULL::uuid AS run_id, to_jsonb(compared) AS data "
        f"FROM ({ledger.COMPARED}) AS compared WHERE key = ANY(%(keys)s::text[]) AND {ledger.DIFFERS}",
        found="{key} counts {available} available, {held} held, {sold} sold, {written_off} written off, and "
        "its ledger comes to {ledger_available}, {ledger_held}, {ledger_sold}, {ledger_written_off}",
        advice="Count the cups. If the ledger is right, repair this; if cups came or went without it, correct "
        "the count on the page of the batch afterwards.",
        repair=Repair(
            "set the counts of {key} to what the ledger comes to: {ledger_available} available, {ledger_held} held, "
            "{ledger_sold} sold, {ledger_written_off} written off",
            repairs.recount,
        ),
    ),
    Invariant(
        name="inventory.own_batch",
        says="Each SKU has a batch of its own, whose key is the SKU's code.",
        walk=Walk("inventory_sku", "code", "varchar"),
        sql="SELECT code AS key, 'inventory_sku ' || code AS row, NULL::uuid AS run_id, "
        "jsonb_build_object('code', code) AS data FROM inventory_sku WHERE code = ANY(%(keys)s::text[]) "
        "AND NOT EXISTS (SELECT FROM inventory_batch WHERE key = code AND sku_id = code)",
        found="the SKU {code} has no batch of its own, so that no order of it can be held",
        advice="Insert the batch again, with the SKU's code as its key; then repair what its ledger says.",
    ),
)
