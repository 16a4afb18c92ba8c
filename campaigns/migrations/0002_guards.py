"""Guards that no hand can pass by: how a campaign is decided, what is frozen once somebody has joined, who is a member."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION campaigns_campaign_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a campaign is kept for the record' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'OPEN' OR NEW.closed_at IS NOT NULL OR NEW.revision <> 1 THEN
            RAISE EXCEPTION 'a new campaign is OPEN' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.id, OLD.slug, OLD.opened_at) IS DISTINCT FROM (NEW.id, NEW.slug, NEW.opened_at) THEN
        RAISE EXCEPTION 'campaign % keeps its name', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('OPEN', 'FORMED'), ('OPEN', 'SHORT'), ('OPEN', 'CALLED_OFF'),
        ('FORMED', 'SETTLED'), ('SHORT', 'SETTLED'), ('CALLED_OFF', 'SETTLED')
    ) THEN
        RAISE EXCEPTION 'a campaign that is % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.outcome <> '' AND (OLD.outcome, OLD.decided_at) IS DISTINCT FROM (NEW.outcome, NEW.decided_at) THEN
        RAISE EXCEPTION 'campaign % is decided', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.closed_at IS DISTINCT FROM OLD.closed_at AND (OLD.closed_at IS NOT NULL OR NEW.closed_at > NEW.closes_at) THEN
        RAISE EXCEPTION 'campaign % is closed once, and before its time', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF (OLD.sku, OLD.price_cents, OLD.slot, OLD.minimum, OLD.most_cups, OLD.presale, OLD.takes_coupons, OLD.closes_at,
            OLD.payment_window)
        IS DISTINCT FROM (NEW.sku, NEW.price_cents, NEW.slot, NEW.minimum, NEW.most_cups, NEW.presale,
            NEW.takes_coupons, NEW.closes_at, NEW.payment_window)
        OR NEW.quota < OLD.quota OR NEW.capacity < OLD.capacity THEN
        -- Behind this lock nobody finds a place. The next statement sees who has found one before.
        PERFORM FROM campaigns_places WHERE campaign_id = OLD.id FOR NO KEY UPDATE;
        IF EXISTS (SELECT FROM campaigns_places WHERE campaign_id = OLD.id AND held + sold > 0)
            OR EXISTS (SELECT FROM campaigns_member WHERE campaign_id = OLD.id) THEN
            RAISE EXCEPTION 'campaign % is frozen: a customer has joined', OLD.id USING ERRCODE = 'check_violation';
        END IF;
        IF OLD.state <> 'OPEN' THEN
            RAISE EXCEPTION 'campaign % is decided', OLD.id USING ERRCODE = 'check_violation';
        END IF;
        NEW.revision := OLD.revision + 1;
    ELSE
        NEW.revision := OLD.revision;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER campaigns_campaign_guard BEFORE INSERT OR UPDATE OR DELETE ON campaigns_campaign
    FOR EACH ROW EXECUTE FUNCTION campaigns_campaign_guard();

CREATE FUNCTION campaigns_places_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM campaigns_campaign
        WHERE id = NEW.campaign_id AND NEW.closes_at > COALESCE(closed_at, closes_at)
    ) THEN
        RAISE EXCEPTION 'campaign % takes joins no longer than it says', NEW.campaign_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER campaigns_places_guard BEFORE INSERT OR UPDATE OF closes_at ON campaigns_places
    FOR EACH ROW EXECUTE FUNCTION campaigns_places_guard();

CREATE FUNCTION campaigns_member_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.id, OLD.campaign_id, OLD.customer_id, OLD.run_id, OLD.order_no, OLD.quantity, OLD.joined_at)
        IS DISTINCT FROM (NEW.id, NEW.campaign_id, NEW.customer_id, NEW.run_id, NEW.order_no, NEW.quantity,
            NEW.joined_at) THEN
        RAISE EXCEPTION 'what a member has joined cannot be changed' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('JOINED', 'PAID'), ('JOINED', 'LEFT'), ('PAID', 'LEFT')
    ) THEN
        RAISE EXCEPTION 'a member that has % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER campaigns_member_guard BEFORE UPDATE ON campaigns_member
    FOR EACH ROW EXECUTE FUNCTION campaigns_member_guard();

CREATE FUNCTION campaigns_record_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is kept for the record', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER campaigns_member_kept BEFORE DELETE ON campaigns_member
    FOR EACH ROW EXECUTE FUNCTION campaigns_record_guard();
CREATE TRIGGER campaigns_change_kept BEFORE UPDATE OR DELETE ON campaigns_change
    FOR EACH ROW EXECUTE FUNCTION campaigns_record_guard();
"""

BACKWARD = """
DROP TRIGGER campaigns_change_kept ON campaigns_change;
DROP TRIGGER campaigns_member_kept ON campaigns_member;
DROP FUNCTION campaigns_record_guard();
DROP TRIGGER campaigns_member_guard ON campaigns_member;
DROP FUNCTION campaigns_member_guard();
DROP TRIGGER campaigns_places_guard ON campaigns_places;
DROP FUNCTION campaigns_places_guard();
DROP TRIGGER campaigns_campaign_guard ON campaigns_campaign;
DROP FUNCTION campaigns_campaign_guard();
"""


class Migration(migrations.Migration):
    """Add the triggers."""

    dependencies = [("campaigns", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
