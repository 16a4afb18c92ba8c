"""Whether few orders of a customer and of an address are open: looked up behind the customer's lock, in one statement.

A statement does not see what was committed after it began, so not what was committed while it waited for a lock. The
statements of this function do: each begins by itself, because the function is volatile.
"""

from __future__ import annotations

from django.db import migrations

_FORWARD = """
CREATE FUNCTION orders_few_open(customer integer, place inet, most integer) RETURNS boolean
-- Its plans are kept for long, also those that were made while the table was empty.
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    IF customer IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('orders.open:' || customer, 0));
        IF EXISTS (
            SELECT FROM (
                SELECT status FROM orders_order WHERE customer_id = customer ORDER BY id DESC LIMIT 200
            ) AS newest WHERE status IN ('RECEIVED', 'PLACED')
        ) THEN
            RETURN false;
        END IF;
    END IF;
    RETURN place IS NULL OR most >= (
        SELECT count(*) FROM (
            SELECT status FROM orders_order WHERE address = place ORDER BY id DESC LIMIT 200
        ) AS newest WHERE status IN ('RECEIVED', 'PLACED')
    );
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0005_room")]

    operations = [migrations.RunSQL(_FORWARD, "DROP FUNCTION orders_few_open")]
