"""Guards of the grants that no hand can pass by, in place of the table of redemptions and the mark of used coupons."""

from django.db import migrations

from sagas.postgresql.operations import KeepWhileUsed

FORWARD = """
CREATE FUNCTION coupons_grant_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before coupons_grant%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- One whose claim is undone, or one that another has replaced.
        IF OLD.state NOT IN ('CREATED', 'REFUNDED') THEN
            RAISE EXCEPTION 'grant % is %, and is kept', OLD.id, OLD.state USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('CREATED', 'ISSUED', 'USED') THEN
            RAISE EXCEPTION 'a grant does not begin as %', NEW.state USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.replaces IS NOT NULL THEN
            SELECT * INTO before FROM coupons_grant WHERE id = NEW.replaces;
            IF before.state IS DISTINCT FROM 'REFUNDED' OR NEW.state <> 'ISSUED' OR before.lock_token >= NEW.lock_token
                OR (before.coupon_id, before.customer_id, before.nth, before.lock_expires_at)
                    IS DISTINCT FROM (NEW.coupon_id, NEW.customer_id, NEW.nth, NEW.lock_expires_at) THEN
                RAISE EXCEPTION 'no grant replaces % so', NEW.replaces USING ERRCODE = 'check_violation';
            END IF;
        END IF;
        NEW.version := 1;
        IF NEW.state = 'USED' THEN
            NEW.used_at := clock_timestamp();
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('CREATED', 'ISSUED'), ('ISSUED', 'USED'), ('USED', 'REFUNDING'), ('REFUNDING', 'REFUNDED')
    ) OR OLD.state = NEW.state AND OLD.state NOT IN ('CREATED', 'REFUNDING') THEN
        RAISE EXCEPTION 'a grant that is % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF (OLD.id, OLD.coupon_id, OLD.customer_id, OLD.nth, OLD.per_customer, OLD.replaces, OLD.created_at)
        IS DISTINCT FROM (NEW.id, NEW.coupon_id, NEW.customer_id, NEW.nth, NEW.per_customer, NEW.replaces,
                          NEW.created_at) THEN
        RAISE EXCEPTION 'whose grant % is cannot be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    -- The fence: another run may take over a grant that is being created, with a younger token. Who comes with an older
    -- one has lost the lock. Once it is issued, token and time stay.
    IF NEW.lock_token IS DISTINCT FROM OLD.lock_token
        AND NOT (NEW.state = 'CREATED' AND (OLD.lock_token IS NULL OR NEW.lock_token > OLD.lock_token)) THEN
        RAISE EXCEPTION 'token % of grant % is not replaced by %', OLD.lock_token, OLD.id, NEW.lock_token
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.issued_by_run IS DISTINCT FROM OLD.issued_by_run AND NEW.lock_token IS NOT DISTINCT FROM OLD.lock_token THEN
        RAISE EXCEPTION 'grant % is another run''s', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.lock_expires_at IS DISTINCT FROM OLD.lock_expires_at AND OLD.state <> 'CREATED' THEN
        RAISE EXCEPTION 'the time of grant % cannot be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF (OLD.used_by_run, OLD.discount_cents) IS DISTINCT FROM (NEW.used_by_run, NEW.discount_cents)
        AND NOT (OLD.state = 'ISSUED' AND NEW.state = 'USED') THEN
        RAISE EXCEPTION 'the use of grant % cannot be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.refund_calls NOT IN (OLD.refund_calls, OLD.refund_calls + 1)
        OR NEW.refund_calls <> OLD.refund_calls AND NEW.state <> 'REFUNDING' THEN
        RAISE EXCEPTION 'calls of grant % are counted one by one', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    NEW.version := OLD.version + 1;
    NEW.used_at := OLD.used_at;
    NEW.refunded_at := OLD.refunded_at;
    -- Behind the row's lock, which PostgreSQL takes before it calls this function.
    IF NEW.state = 'USED' THEN
        NEW.used_at := clock_timestamp();
    ELSIF NEW.state = 'REFUNDED' THEN
        NEW.refunded_at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER coupons_grant_guard BEFORE INSERT OR UPDATE OR DELETE ON coupons_grant
    FOR EACH ROW EXECUTE FUNCTION coupons_grant_guard();

CREATE FUNCTION coupons_grant_replaced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM coupons_grant WHERE replaces = NEW.id) THEN
        RAISE EXCEPTION 'grant % is refunded, and nothing replaces it', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER coupons_grant_replaced AFTER UPDATE OF state ON coupons_grant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'REFUNDED')
    EXECUTE FUNCTION coupons_grant_replaced();
"""

BACKWARD = """
DROP TRIGGER coupons_grant_replaced ON coupons_grant;
DROP FUNCTION coupons_grant_replaced();
DROP TRIGGER coupons_grant_guard ON coupons_grant;
DROP FUNCTION coupons_grant_guard();
"""

_by_mark = KeepWhileUsed("coupons_coupon", key="code", used="OLD.used")


class Migration(migrations.Migration):
    dependencies = [("coupons", "0005_from_redemptions")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunSQL(_by_mark.reverse_sql or "", _by_mark.sql),
        migrations.DeleteModel(name="Redemption"),
        migrations.RemoveField(model_name="coupon", name="used"),
        KeepWhileUsed("coupons_coupon", key="code"),
    ]
