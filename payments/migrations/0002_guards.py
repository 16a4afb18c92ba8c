"""Guards that no hand can pass by: where money may go, and the append-only record of what the gateway said."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION payments_payment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.payment_id, OLD.order_no, OLD.run_id, OLD.amount, OLD.currency)
        IS DISTINCT FROM (NEW.payment_id, NEW.order_no, NEW.run_id, NEW.amount, NEW.currency) THEN
        RAISE EXCEPTION 'what came with payment % cannot be changed', OLD.payment_id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('TAKEN', 'DUE_BACK'), ('TAKEN', 'CONFLICT'),
        ('DUE_BACK', 'RETURNING'), ('DUE_BACK', 'RETURNED'), ('DUE_BACK', 'CONFLICT'),
        ('RETURNING', 'RETURNED'), ('RETURNING', 'CONFLICT'),
        ('RETURNED', 'CONFLICT'), ('CONFLICT', 'RETURNED')
    ) THEN
        RAISE EXCEPTION 'a payment that is % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER payments_payment_guard BEFORE UPDATE ON payments_payment
    FOR EACH ROW EXECUTE FUNCTION payments_payment_guard();

CREATE FUNCTION payments_paymentevent_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what the gateway has said is append-only' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER payments_paymentevent_guard BEFORE UPDATE OR DELETE ON payments_paymentevent
    FOR EACH ROW EXECUTE FUNCTION payments_paymentevent_guard();
"""

BACKWARD = """
DROP TRIGGER payments_paymentevent_guard ON payments_paymentevent;
DROP FUNCTION payments_paymentevent_guard();
DROP TRIGGER payments_payment_guard ON payments_payment;
DROP FUNCTION payments_payment_guard();
"""


class Migration(migrations.Migration):
    """Add the triggers."""

    dependencies = [("payments", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
