"""Guards that no hand can pass by: where money may go, and that a payment's sums are those of its refunds."""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION payments_payment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.gateway, OLD.payment_id, OLD.order_no, OLD.run_id, OLD.amount, OLD.currency)
        IS DISTINCT FROM (NEW.gateway, NEW.payment_id, NEW.order_no, NEW.run_id, NEW.amount, NEW.currency) THEN
        RAISE EXCEPTION 'what came with payment % cannot be changed', OLD.payment_id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.returned_amount > NEW.returned_amount THEN
        RAISE EXCEPTION 'what is returned of payment % stays so', OLD.payment_id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('TAKEN', 'DUE_BACK'), ('TAKEN', 'RETURNING'), ('TAKEN', 'PARTLY_RETURNED'), ('TAKEN', 'RETURNED'),
        ('TAKEN', 'CONFLICT'),
        ('PARKED', 'TAKEN'), ('PARKED', 'DUE_BACK'), ('PARKED', 'RETURNED'), ('PARKED', 'CONFLICT'),
        ('DUE_BACK', 'RETURNING'), ('DUE_BACK', 'RETURNED'), ('DUE_BACK', 'CONFLICT'),
        ('RETURNING', 'RETURNED'), ('RETURNING', 'PARTLY_RETURNED'), ('RETURNING', 'CONFLICT'),
        ('PARTLY_RETURNED', 'RETURNING'), ('PARTLY_RETURNED', 'RETURNED'), ('PARTLY_RETURNED', 'CONFLICT'),
        ('RETURNED', 'CONFLICT'), ('CONFLICT', 'RETURNED')
    ) THEN
        RAISE EXCEPTION 'a payment that is % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION payments_refund_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'refunds are kept for the record' USING ERRCODE = 'check_violation';
    END IF;
    IF (OLD.id, OLD.payment_id, OLD.amount, OLD.source, OLD.reason, OLD.requested_at)
        IS DISTINCT FROM (NEW.id, NEW.payment_id, NEW.amount, NEW.source, NEW.reason, NEW.requested_at) THEN
        RAISE EXCEPTION 'refund % cannot be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state = 'RETURNED' AND NEW.state <> 'RETURNED' THEN
        RAISE EXCEPTION 'refund % is made, and stays so', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER payments_refund_guard BEFORE UPDATE OR DELETE ON payments_refund
    FOR EACH ROW EXECUTE FUNCTION payments_refund_guard();

CREATE FUNCTION payments_sums_agree(payment bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM payments_payment AS p WHERE p.id = payment
        AND (p.returning_amount, p.returned_amount) <> (
            SELECT COALESCE(sum(amount) FILTER (WHERE r.state = 'REQUESTED'), 0)::bigint,
                   COALESCE(sum(amount) FILTER (WHERE r.state = 'RETURNED'), 0)::bigint
            FROM payments_refund AS r WHERE r.payment_id = p.id)
    ) THEN
        RAISE EXCEPTION 'the sums of payment % are not those of its refunds', payment USING ERRCODE = 'check_violation';
    END IF;
END $$;

CREATE FUNCTION payments_payment_sums() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM payments_sums_agree(NEW.id); RETURN NULL; END $$;

CREATE FUNCTION payments_refund_sums() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM payments_sums_agree(NEW.payment_id); RETURN NULL; END $$;

-- At the commit: the refund and the sums are written by two statements. A payment that is taken has neither.
CREATE CONSTRAINT TRIGGER payments_payment_new_sums AFTER INSERT ON payments_payment DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.returning_amount + NEW.returned_amount > 0) EXECUTE FUNCTION payments_payment_sums();
CREATE CONSTRAINT TRIGGER payments_payment_sums AFTER UPDATE ON payments_payment DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN ((OLD.returning_amount, OLD.returned_amount) <> (NEW.returning_amount, NEW.returned_amount))
    EXECUTE FUNCTION payments_payment_sums();
CREATE CONSTRAINT TRIGGER payments_refund_sums AFTER INSERT OR UPDATE ON payments_refund DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION payments_refund_sums();
"""

BACKWARD = """
DROP TRIGGER payments_refund_sums ON payments_refund;
DROP TRIGGER payments_payment_sums ON payments_payment;
DROP TRIGGER payments_payment_new_sums ON payments_payment;
DROP FUNCTION payments_refund_sums();
DROP FUNCTION payments_payment_sums();
DROP FUNCTION payments_sums_agree(bigint);
DROP TRIGGER payments_refund_guard ON payments_refund;
DROP FUNCTION payments_refund_guard();
CREATE OR REPLACE FUNCTION payments_payment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""


class Migration(migrations.Migration):
    """Add the triggers."""

    dependencies = [("payments", "0005_refund_constraints")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
