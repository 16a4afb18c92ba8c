"""What no hand can do to a run, its log, its confirmations and its escalations: states that the engine never makes.

As ever, WHEN keeps functions off the hot path: they are called where a row is wrong, or where a run changes its state.
The transition table is as it was; a test holds it to ``sagas.states``.
"""

from django.db import migrations, models

TRANSITIONS = """
CREATE OR REPLACE FUNCTION sagas_run_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) IN (
        ('PENDING', 'EXECUTING'), ('PENDING', 'COMPENSATING'), ('PENDING', 'ESCALATED'),
        ('EXECUTING', 'AWAITING_CONFIRM'), ('EXECUTING', 'CONFIRMING'), ('EXECUTING', 'SUCCEEDED'),
        ('EXECUTING', 'COMPENSATING'), ('EXECUTING', 'ESCALATED'),
        ('AWAITING_CONFIRM', 'CONFIRMING'), ('AWAITING_CONFIRM', 'COMPENSATING'),
        ('AWAITING_CONFIRM', 'ESCALATED'),
        ('CONFIRMING', 'SUCCEEDED'), ('CONFIRMING', 'ESCALATED'),
        ('COMPENSATING', 'FAILED'), ('COMPENSATING', 'ESCALATED'),
        ('ESCALATED', 'PENDING'), ('ESCALATED', 'EXECUTING'), ('ESCALATED', 'AWAITING_CONFIRM'),
        ('ESCALATED', 'CONFIRMING'), ('ESCALATED', 'COMPENSATING'),
        ('ESCALATED', 'SUCCEEDED'), ('ESCALATED', 'FAILED')
    ) THEN
        {more}
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a run in % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
END $$;
"""

# A run that goes over the point of no return has all its confirmations, as far as its definition is on record. Behind
# CONFIRMING nobody need ask again, and what a person resolves is the person's.
PIVOT = """
        IF NEW.state = 'CONFIRMING' OR (OLD.state = 'EXECUTING' AND NEW.state = 'SUCCEEDED') THEN
            PERFORM FROM (
                SELECT c->>'name' AS name FROM sagas_definition AS d, jsonb_array_elements(d.body->'confirmations') AS c
                WHERE d.saga = NEW.saga AND d.version = NEW.version AND d.shape = NEW.shape
                UNION ALL SELECT '@parent' WHERE NEW.parent_id IS NOT NULL
            ) AS wanted WHERE NOT EXISTS (
                SELECT FROM sagas_confirmation AS came WHERE came.run_id = NEW.id AND came.name = wanted.name
            );
            IF FOUND THEN
                RAISE EXCEPTION 'run % cannot become % without its confirmations', NEW.id, NEW.state
                    USING ERRCODE = 'check_violation';
            END IF;
        END IF;
"""

FORWARD = """
-- The cursor goes the way of its state: forward step by step (a fork at once), back by any number of steps that have
-- nothing to undo. Nothing moves while a person has the run, nor behind its end.
CREATE FUNCTION sagas_run_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the cursor of a run in % (now %) cannot go from % to %',
        OLD.state, NEW.state, OLD.cursor, NEW.cursor USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_run_cursor BEFORE UPDATE OF cursor ON sagas_run
    FOR EACH ROW WHEN (OLD.cursor <> NEW.cursor AND NOT CASE OLD.state
        WHEN 'EXECUTING' THEN CASE NEW.state
            WHEN 'EXECUTING' THEN NEW.cursor = OLD.cursor + 1 + bit_count(OLD.fork::bit(64))
            WHEN 'AWAITING_CONFIRM' THEN NEW.cursor = OLD.cursor + 1 + bit_count(OLD.fork::bit(64))
            WHEN 'COMPENSATING' THEN NEW.cursor < OLD.cursor
            ELSE NEW.state <> 'ESCALATED' END
        WHEN 'AWAITING_CONFIRM' THEN CASE NEW.state
            WHEN 'COMPENSATING' THEN NEW.cursor < OLD.cursor
            ELSE NEW.state = 'CONFIRMING' END
        WHEN 'CONFIRMING' THEN NEW.state IN ('CONFIRMING', 'SUCCEEDED') AND NEW.cursor > OLD.cursor
        WHEN 'COMPENSATING' THEN NEW.state IN ('COMPENSATING', 'FAILED') AND NEW.cursor < OLD.cursor
        ELSE false END)
    EXECUTE FUNCTION sagas_run_cursor();

-- What a run holds while it is not final would be held for ever.
CREATE FUNCTION sagas_run_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'run % is %, and may hold something: it cannot be deleted', OLD.id, OLD.state
        USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_run_delete BEFORE DELETE ON sagas_run
    FOR EACH ROW WHEN (OLD.state NOT IN ('PENDING', 'SUCCEEDED', 'FAILED')) EXECUTE FUNCTION sagas_run_delete();

-- At the COMMIT a run is ESCALATED exactly if it has an open escalation: without, it can be neither resumed nor
-- resolved, and nobody is told.
CREATE FUNCTION sagas_escalation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    which uuid;
    stands text;
BEGIN
    IF TG_TABLE_NAME = 'sagas_run' THEN
        which := NEW.id;
    ELSIF TG_OP = 'DELETE' THEN
        which := OLD.run_id;
    ELSE
        which := NEW.run_id;
    END IF;
    SELECT state INTO stands FROM sagas_run WHERE id = which;
    IF stands = 'ESCALATED' AND NOT EXISTS (
        SELECT FROM sagas_escalation WHERE run_id = which AND resolved_at IS NULL
    ) THEN
        RAISE EXCEPTION 'run % is ESCALATED, and would have no open escalation', which
            USING ERRCODE = 'check_violation';
    ELSIF stands <> 'ESCALATED' AND EXISTS (
        SELECT FROM sagas_escalation WHERE run_id = which AND resolved_at IS NULL
    ) THEN
        RAISE EXCEPTION 'run % is %, and would have an open escalation', which, stands
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER sagas_run_escalated AFTER UPDATE OF state ON sagas_run
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.state = 'ESCALATED') <> (NEW.state = 'ESCALATED')) EXECUTE FUNCTION sagas_escalation_guard();
CREATE CONSTRAINT TRIGGER sagas_escalation_of_escalated AFTER INSERT OR DELETE OR UPDATE OF resolved_at, run_id
    ON sagas_escalation DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sagas_escalation_guard();

-- A confirmation that came has come. As in the log, what is personal in it may be erased once the run is final.
CREATE FUNCTION sagas_confirmation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM sagas_run WHERE id = OLD.run_id AND state NOT IN ('SUCCEEDED', 'FAILED')) THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        ELSIF current_setting('sagas.erase', true) = 'on' AND to_jsonb(NEW) - 'data' = to_jsonb(OLD) - 'data' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'confirmation % of run % has come, and stays', OLD.name, OLD.run_id
        USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_confirmation_guard BEFORE UPDATE OR DELETE ON sagas_confirmation
    FOR EACH ROW EXECUTE FUNCTION sagas_confirmation_guard();

-- Row triggers do not see a TRUNCATE. One of all tables, as tests do it, leaves no run behind that could miss anything.
CREATE FUNCTION sagas_truncate_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM sagas_run) THEN
        RAISE EXCEPTION '% cannot be truncated while there are runs', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sagas_log_truncate AFTER TRUNCATE ON sagas_log
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_confirmation_truncate AFTER TRUNCATE ON sagas_confirmation
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_escalation_truncate AFTER TRUNCATE ON sagas_escalation
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_definition_truncate AFTER TRUNCATE ON sagas_definition
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_lock_truncate AFTER TRUNCATE ON sagas_lock
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
"""

BACKWARD = """
DROP TRIGGER sagas_lock_truncate ON sagas_lock;
DROP TRIGGER sagas_definition_truncate ON sagas_definition;
DROP TRIGGER sagas_escalation_truncate ON sagas_escalation;
DROP TRIGGER sagas_confirmation_truncate ON sagas_confirmation;
DROP TRIGGER sagas_log_truncate ON sagas_log;
DROP FUNCTION sagas_truncate_guard();
DROP TRIGGER sagas_confirmation_guard ON sagas_confirmation;
DROP FUNCTION sagas_confirmation_guard();
DROP TRIGGER sagas_escalation_of_escalated ON sagas_escalation;
DROP TRIGGER sagas_run_escalated ON sagas_run;
DROP FUNCTION sagas_escalation_guard();
DROP TRIGGER sagas_run_delete ON sagas_run;
DROP FUNCTION sagas_run_delete();
DROP TRIGGER sagas_run_cursor ON sagas_run;
DROP FUNCTION sagas_run_cursor();
"""


class Migration(migrations.Migration):
    """Add the guards."""

    dependencies = [("sagas", "0009_barrier")]

    operations = [
        migrations.AddConstraint(
            model_name="escalation",
            constraint=models.CheckConstraint(
                name="sagas_escalation_of_live",
                condition=models.Q(
                    state__in=["AWAITING_CONFIRM", "COMPENSATING", "CONFIRMING", "EXECUTING", "PENDING"]
                ),
            ),
        ),
        migrations.RunSQL(TRANSITIONS.replace("{more}", PIVOT.strip()), TRANSITIONS.replace("{more}", "")),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
