"""The stock of a SKU moves into batches: each SKU has one of its own, whose key is the SKU's code.

Holds name a batch by its key, so those of a SKU are those of its own batch without a change. The table of SKUs is
locked until the commit, so nothing is held or given back in between; workers of the old code fail their statements
afterwards, and their runs are tried again. Stop them for the migration.

Backwards, the batches of a SKU are added up: cups that are spoiled, recalled or written off are gone, and so are the
ledger and its reasons.
"""

from django.db import migrations

from sagas.postgresql.operations import KeepWhileUsed

#: Of 0002: its condition is of columns that go.
KEPT = KeepWhileUsed("inventory_sku", key="code")

FILL = """
LOCK TABLE inventory_sku, inventory_skuhold IN ACCESS EXCLUSIVE MODE;
INSERT INTO inventory_batch (key, sku_id, available, held, sold, settled)
    SELECT code, code, available, held, sold, settled FROM inventory_sku;
INSERT INTO inventory_move (batch, kind, available, held, sold, written_off, reason, by)
    SELECT code, 'OPENED', available, held, sold, 0, 'the ledger begins', 'migration' FROM inventory_sku
    WHERE available + held + sold > 0;
SET CONSTRAINTS ALL IMMEDIATE;
"""
EMPTY = """
LOCK TABLE inventory_sku, inventory_batch, inventory_skuhold IN ACCESS EXCLUSIVE MODE;
UPDATE inventory_sku AS sku SET available = batch.available, held = batch.held, sold = batch.sold,
    settled = batch.settled
FROM (SELECT sku_id, held, sold, settled, available FROM (
    SELECT sku_id, sum(held) AS held, sum(sold) AS sold, sum(settled) AS settled,
        sum(available) FILTER (WHERE recalled_at IS NULL AND COALESCE(spoils_at > clock_timestamp(), true)) AS available
    FROM inventory_batch GROUP BY sku_id) AS sums) AS batch WHERE sku.code = batch.sku_id;
CREATE TEMPORARY TABLE inventory_spread ON COMMIT DROP AS
    SELECT hold.run_id, hold.step, batch.sku_id, hold.quantity, hold.state, hold.id
    FROM inventory_skuhold AS hold JOIN inventory_batch AS batch ON batch.key = hold.pool_key
    WHERE (hold.run_id, hold.step, batch.sku_id) IN (
        SELECT h.run_id, h.step, b.sku_id FROM inventory_skuhold AS h JOIN inventory_batch AS b ON b.key = h.pool_key
        WHERE b.key <> b.sku_id);
DELETE FROM inventory_skuhold WHERE id IN (SELECT id FROM inventory_spread);
INSERT INTO inventory_skuhold (run_id, step, pool_key, quantity, state)
    SELECT run_id, step, sku_id, sum(quantity), min(state) FROM inventory_spread GROUP BY run_id, step, sku_id;
DELETE FROM inventory_batch;
DELETE FROM inventory_skuholdday;
SET CONSTRAINTS ALL IMMEDIATE;
"""

GUARDS = """
CREATE FUNCTION inventory_sku_has_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO inventory_batch (key, sku_id, available, held, sold) VALUES (NEW.code, NEW.code, 0, 0, 0);
    RETURN NULL;
END $$;
CREATE TRIGGER inventory_sku_has_batch AFTER INSERT ON inventory_sku
    FOR EACH ROW EXECUTE FUNCTION inventory_sku_has_batch();

-- Batches are named by the code, and holds by the batch.
CREATE FUNCTION inventory_sku_code_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the code of SKU % is in use: its batches are named by it', OLD.code
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER inventory_sku_code_stays BEFORE UPDATE OF code ON inventory_sku
    FOR EACH ROW WHEN (OLD.code IS DISTINCT FROM NEW.code) EXECUTE FUNCTION inventory_sku_code_stays();

-- What is promised of a batch rests on when it spoils; the ledger compares the ends of holds with both times.
CREATE FUNCTION inventory_batch_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what batch % is, when it spoils, and that it was recalled cannot be changed', OLD.key
        USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER inventory_batch_stays BEFORE UPDATE OF key, sku_id, spoils_at, recalled_at ON inventory_batch
    FOR EACH ROW WHEN (OLD.key <> NEW.key OR OLD.sku_id <> NEW.sku_id OR OLD.spoils_at IS DISTINCT FROM NEW.spoils_at
        OR (OLD.recalled_at IS NOT NULL AND OLD.recalled_at IS DISTINCT FROM NEW.recalled_at))
    EXECUTE FUNCTION inventory_batch_stays();

CREATE FUNCTION inventory_move_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger of the stock is append-only' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER inventory_move_stays BEFORE UPDATE OR DELETE ON inventory_move
    FOR EACH ROW EXECUTE FUNCTION inventory_move_stays();

"""
NO_GUARDS = """
DROP TRIGGER inventory_move_stays ON inventory_move;
DROP FUNCTION inventory_move_stays();
DROP TRIGGER inventory_batch_stays ON inventory_batch;
DROP FUNCTION inventory_batch_stays();
DROP TRIGGER inventory_sku_code_stays ON inventory_sku;
DROP FUNCTION inventory_sku_code_stays();
DROP TRIGGER inventory_sku_has_batch ON inventory_sku;
DROP FUNCTION inventory_sku_has_batch();
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0005_batches")]

    operations = [
        migrations.RunSQL(FILL, EMPTY),
        migrations.RunSQL(str(KEPT.reverse_sql), str(KEPT.sql)),
        migrations.RemoveConstraint(
            model_name="sku",
            name="inventory_sku_available_ge_0",
        ),
        migrations.RemoveConstraint(
            model_name="sku",
            name="inventory_sku_held_ge_0",
        ),
        migrations.RemoveConstraint(
            model_name="sku",
            name="inventory_sku_sold_ge_0",
        ),
        migrations.RemoveConstraint(
            model_name="sku",
            name="inventory_sku_sold_ge_settled",
        ),
        migrations.RemoveField(
            model_name="sku",
            name="available",
        ),
        migrations.RemoveField(
            model_name="sku",
            name="held",
        ),
        migrations.RemoveField(
            model_name="sku",
            name="settled",
        ),
        migrations.RemoveField(
            model_name="sku",
            name="sold",
        ),
        KeepWhileUsed("inventory_batch", key="key", used="OLD.held > 0 OR OLD.sold > 0 OR OLD.written_off > 0"),
        migrations.RunSQL(GUARDS, NO_GUARDS),
    ]
