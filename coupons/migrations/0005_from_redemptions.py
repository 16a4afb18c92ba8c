"""Make a grant of each redemption, and a budget of one of each coupon, which was for one order until now."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

FORWARD = """
UPDATE coupons_coupon SET available = CASE WHEN used THEN 0 ELSE 1 END, sold = CASE WHEN used THEN 1 ELSE 0 END,
    settled = CASE WHEN used THEN 1 ELSE 0 END;

-- A redemption did not say whose it is; its run does. One of a run that is gone is for nobody to give back.
INSERT INTO coupons_grant (coupon_id, customer_id, nth, per_customer, state, lock_token, lock_expires_at, used_by_run,
    used_at, discount_cents, refund_calls, refunded_at)
SELECT r.coupon_code, run.customer_id, 1, 1, CASE r.state WHEN 'REDEEMED' THEN 'USED' ELSE 'REFUNDED' END,
    nextval('coupons_grant_token'), COALESCE(c.expires_at, 'infinity'), r.run_id,
    LEAST(run.created_at, c.expires_at), r.discount_cents, CASE r.state WHEN 'REDEEMED' THEN 0 ELSE 1 END,
    CASE r.state WHEN 'REFUNDED' THEN COALESCE(r.refunded_at, statement_timestamp()) END
FROM coupons_redemption AS r LEFT JOIN coupons_coupon AS c ON c.code = r.coupon_code
JOIN (SELECT id, created_at, (request->>'customer_id')::int AS customer_id FROM sagas_run
      WHERE request->>'customer_id' ~ '^[0-9]{1,9}$') AS run ON run.id = r.run_id
ORDER BY r.id;
"""

BACKWARD = """
INSERT INTO coupons_redemption (run_id, step, coupon_code, discount_cents, state, refunded_at)
SELECT used_by_run, 'apply_coupon', coupon_id, discount_cents,
    CASE state WHEN 'REFUNDED' THEN 'REFUNDED' ELSE 'REDEEMED' END, refunded_at
FROM coupons_grant WHERE used_by_run IS NOT NULL ORDER BY id;

-- One that was given back is free again.
UPDATE coupons_coupon AS c SET used = sold > 0 AND NOT EXISTS (
    SELECT FROM coupons_grant WHERE coupon_id = c.code AND state = 'ISSUED');

DELETE FROM coupons_grant;
DELETE FROM coupons_couponhold;
"""

#: Coupons that the older tables cannot describe, where they would be worth more than they are.
UNKNOWN_BEFORE = """
SELECT code FROM coupons_coupon WHERE kind <> 'AMOUNT' OR available + held + sold <> 1 OR held > 0 OR minimum_cents > 0
    OR per_customer <> 1 OR NOT public OR starts_at IS NOT NULL ORDER BY code LIMIT 5
"""


def refuse_new_kinds(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Refuse to go back while there are coupons that would then be without their limits."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(UNKNOWN_BEFORE)
        if found := [code for (code,) in cursor.fetchall()]:
            msg = (
                f"coupons with a budget, a limit, a percentage or a claim under way: {', '.join(found)}. Before grants "
                "a coupon was an amount for one order; make these such coupons, or delete them, and migrate again"
            )
            raise ValueError(msg)


class Migration(migrations.Migration):
    dependencies = [("coupons", "0004_grants"), ("sagas", "0001_initial")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunPython(migrations.RunPython.noop, refuse_new_kinds),
    ]
