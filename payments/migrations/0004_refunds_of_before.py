"""Refunds of the payments that were due back before refunds had rows, and one message for each id.

Their runs are of the saga ``payments.ReturnPayment``: a person ends them, as before.
"""

from django.db import migrations

FORWARD = """
INSERT INTO payments_refund (id, payment_id, amount, state, source, reason, note, "by", gateway_refund_id,
                             requested_at, returned_at)
SELECT return_run_id, id, amount, CASE state WHEN 'RETURNED' THEN 'RETURNED' ELSE 'REQUESTED' END, 'shop', reason, '',
       '', '', received_at, CASE state WHEN 'RETURNED' THEN COALESCE(returned_at, now()) END
FROM payments_payment WHERE state IN ('DUE_BACK', 'RETURNING', 'RETURNED') AND amount > 0;

UPDATE payments_payment SET returning_amount = amount WHERE state IN ('DUE_BACK', 'RETURNING');
UPDATE payments_payment SET returned_amount = amount WHERE state = 'RETURNED';
UPDATE payments_payment SET review_run_id = return_run_id WHERE state = 'CONFLICT';
-- Nothing was paid, so nothing is to be returned.
UPDATE payments_payment SET state = 'RETURNED' WHERE state IN ('DUE_BACK', 'RETURNING') AND amount = 0;

-- A repeat with another outcome was stored again under the same id. It keeps its row, under an id of its own.
ALTER TABLE payments_paymentevent DISABLE TRIGGER payments_paymentevent_guard;
UPDATE payments_paymentevent AS repeat SET webhook_id = left(webhook_id, 230) || '#' || id
WHERE EXISTS (SELECT FROM payments_paymentevent AS first
              WHERE first.gateway = repeat.gateway AND first.webhook_id = repeat.webhook_id AND first.id < repeat.id);
ALTER TABLE payments_paymentevent ENABLE TRIGGER payments_paymentevent_guard;
"""

#: Payments that are parked, or returned in part, have no place in the tables of before.
BACKWARD = """
UPDATE payments_payment AS p SET return_run_id = COALESCE(
    (SELECT id FROM payments_refund AS r WHERE r.payment_id = p.id ORDER BY requested_at DESC, id DESC LIMIT 1),
    review_run_id)
WHERE state IN ('DUE_BACK', 'RETURNING', 'RETURNED', 'CONFLICT');
DELETE FROM payments_refund;
"""


class Migration(migrations.Migration):
    """Move what is there."""

    dependencies = [("payments", "0003_refunds")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
