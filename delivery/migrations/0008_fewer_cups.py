"""Cups can be taken out of what a store has not begun: that is a change of its own, with a version and a record."""

from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION delivery_fulfilment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'ACCEPTED' OR NEW.version <> 1 THEN
            RAISE EXCEPTION 'order %% begins as %%', NEW.order_no, NEW.state USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state = OLD.state{unless} THEN
        IF NEW.version <> OLD.version THEN
            RAISE EXCEPTION 'the version of order %% grows with its state', NEW.order_no
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NOT (
        (OLD.state = 'ACCEPTED' AND NEW.state IN ({same}'MAKING', 'REFUSED'))
        OR (OLD.state = 'MAKING' AND NEW.state IN ('READY', 'REFUSED'))
        OR (OLD.state = 'READY' AND NEW.state IN ('HANDED_OVER', 'NOT_COLLECTED', 'REFUSED'))
    ) THEN
        RAISE EXCEPTION 'order %% is %%, and cannot become %%', NEW.order_no, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.version := OLD.version + 1;
    NEW.changed_at := clock_timestamp();
    INSERT INTO delivery_fulfilmentmove (fulfilment_id, version, source, target, by, reason, at)
    VALUES (NEW.id, NEW.version, OLD.state, NEW.state, NEW.changed_by, NEW.reason, NEW.changed_at);
    RETURN NEW;
END $$;
DROP TRIGGER delivery_fulfilment_guard ON delivery_fulfilment;
CREATE TRIGGER delivery_fulfilment_guard BEFORE INSERT OR UPDATE OF {columns} ON delivery_fulfilment
    FOR EACH ROW EXECUTE FUNCTION delivery_fulfilment_guard()
""".replace("%%", "%")


class Migration(migrations.Migration):
    """Replace the guard: what is to be made changes while it is ACCEPTED only, and staff that has seen more is told."""

    dependencies = [("delivery", "0007_fulfilment")]
    operations = [
        migrations.RunSQL(
            FUNCTION.format(unless=" AND NEW.lines = OLD.lines", same="'ACCEPTED', ", columns="state, version, lines"),
            FUNCTION.format(unless="", same="", columns="state, version"),
        )
    ]
