"""Move the conditions of two guards of runs from their triggers into their functions.

PostgreSQL reads and plans the condition of a trigger at each statement, and that of a function once a session. The
condition of the cursor's guard took as long as the UPDATE of one run.
"""

from django.db import migrations

# The functions come first, and go last: each is right under both triggers.
FORWARD = """
CREATE OR REPLACE FUNCTION sagas_run_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (CASE OLD.state
        WHEN 'EXECUTING' THEN CASE
            WHEN NEW.state IN ('EXECUTING', 'AWAITING_CONFIRM') THEN
                NEW.cursor = OLD.cursor + 1 + bit_count(OLD.fork::bit(64))
                OR (OLD.fork = 0
                    AND (NEW.cursor - OLD.cursor)::text = COALESCE(current_setting('sagas.steps', true), ''))
            WHEN NEW.state = 'COMPENSATING' THEN NEW.cursor < OLD.cursor
            ELSE NEW.state <> 'ESCALATED' END
        WHEN 'AWAITING_CONFIRM' THEN CASE NEW.state
            WHEN 'COMPENSATING' THEN NEW.cursor < OLD.cursor
            ELSE NEW.state = 'CONFIRMING' END
        WHEN 'CONFIRMING' THEN NEW.state IN ('CONFIRMING', 'SUCCEEDED') AND NEW.cursor > OLD.cursor
        WHEN 'COMPENSATING' THEN NEW.state IN ('COMPENSATING', 'FAILED') AND NEW.cursor < OLD.cursor
        WHEN 'ESCALATED' THEN NEW.state = 'COMPENSATING' AND NEW.cursor = 0 AND NEW.fork <> 0
        ELSE false END)
    THEN
        RAISE EXCEPTION 'the cursor of a run in % (now %) cannot go from % to %',
            OLD.state, NEW.state, OLD.cursor, NEW.cursor USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER sagas_run_cursor BEFORE UPDATE OF cursor ON sagas_run
    FOR EACH ROW WHEN (OLD.cursor <> NEW.cursor) EXECUTE FUNCTION sagas_run_cursor();

CREATE OR REPLACE FUNCTION sagas_run_unlock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IN ('SUCCEEDED', 'FAILED') AND OLD.state <> NEW.state THEN
        DELETE FROM sagas_lock WHERE run_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;

-- WHEN keeps the function away from runs that lock nothing.
CREATE OR REPLACE TRIGGER sagas_run_unlock AFTER UPDATE OF state ON sagas_run
    FOR EACH ROW WHEN (NEW.locked) EXECUTE FUNCTION sagas_run_unlock();
"""

BACKWARD = """
CREATE OR REPLACE TRIGGER sagas_run_cursor BEFORE UPDATE OF cursor ON sagas_run
    FOR EACH ROW WHEN (OLD.cursor <> NEW.cursor AND NOT CASE OLD.state
        WHEN 'EXECUTING' THEN CASE NEW.state
            WHEN 'EXECUTING' THEN NEW.cursor = OLD.cursor + 1 + bit_count(OLD.fork::bit(64))
                OR (OLD.fork = 0 AND (NEW.cursor - OLD.cursor)::text = COALESCE(current_setting('sagas.steps', true), ''))
            WHEN 'AWAITING_CONFIRM' THEN NEW.cursor = OLD.cursor + 1 + bit_count(OLD.fork::bit(64))
                OR (OLD.fork = 0 AND (NEW.cursor - OLD.cursor)::text = COALESCE(current_setting('sagas.steps', true), ''))
            WHEN 'COMPENSATING' THEN NEW.cursor < OLD.cursor
            ELSE NEW.state <> 'ESCALATED' END
        WHEN 'AWAITING_CONFIRM' THEN CASE NEW.state
            WHEN 'COMPENSATING' THEN NEW.cursor < OLD.cursor
            ELSE NEW.state = 'CONFIRMING' END
        WHEN 'CONFIRMING' THEN NEW.state IN ('CONFIRMING', 'SUCCEEDED') AND NEW.cursor > OLD.cursor
        WHEN 'COMPENSATING' THEN NEW.state IN ('COMPENSATING', 'FAILED') AND NEW.cursor < OLD.cursor
        WHEN 'ESCALATED' THEN NEW.state = 'COMPENSATING' AND NEW.cursor = 0 AND NEW.fork <> 0
        ELSE false END)
    EXECUTE FUNCTION sagas_run_cursor();

CREATE OR REPLACE FUNCTION sagas_run_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the cursor of a run in % (now %) cannot go from % to %',
        OLD.state, NEW.state, OLD.cursor, NEW.cursor USING ERRCODE = 'check_violation';
END $$;

CREATE OR REPLACE TRIGGER sagas_run_unlock AFTER UPDATE OF state ON sagas_run
    FOR EACH ROW WHEN (NEW.locked AND NEW.state IN ('SUCCEEDED', 'FAILED') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION sagas_run_unlock();

CREATE OR REPLACE FUNCTION sagas_run_unlock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM sagas_lock WHERE run_id = NEW.id;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    """Make two guards light."""

    dependencies = [("sagas", "0020_failed")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
