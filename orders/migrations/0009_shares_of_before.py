"""The discounts of orders from before are split over their lines, as ``orders.requests.split`` does it."""

from django.db import migrations

FORWARD = """
WITH line AS (
    SELECT l.id, o.discount_cents AS discount, l.quantity::bigint * l.unit_price_cents AS cost,
           sum(l.quantity::bigint * l.unit_price_cents) OVER (PARTITION BY l.order_id) AS whole,
           row_number() OVER (PARTITION BY l.order_id ORDER BY l.id) AS place, l.order_id
    FROM orders_orderline AS l JOIN orders_order AS o ON o.id = l.order_id WHERE o.discount_cents > 0
), share AS (
    SELECT *, floor(LEAST(discount, whole) * cost / NULLIF(whole, 0)) AS part FROM line
), rest AS (
    SELECT *, LEAST(discount, whole) - sum(part) OVER (PARTITION BY order_id) AS left_over,
           COALESCE(sum(cost - part) OVER (PARTITION BY order_id ORDER BY place
                                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS room_before
    FROM share WHERE whole > 0
)
UPDATE orders_orderline AS l
SET discount_cents = part + GREATEST(LEAST(cost - part, left_over - room_before), 0)
FROM rest WHERE rest.id = l.id
"""


class Migration(migrations.Migration):
    """Split them."""

    dependencies = [("orders", "0008_refunds")]
    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
