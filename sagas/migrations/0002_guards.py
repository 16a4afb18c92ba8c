"""Guards that no hand can pass by: the transition table, and the append-only log.

The table is written out here, frozen, as a migration must be; a test holds it to ``sagas.states``.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION sagas_run_guard() RETURNS trigger LANGUAGE plpgsql AS $$
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
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a run in % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
END $$;

-- WHEN keeps the function off the hot path: most updates of a run leave its state alone.
CREATE TRIGGER sagas_run_guard BEFORE UPDATE OF state ON sagas_run
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION sagas_run_guard();

CREATE FUNCTION sagas_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the saga log is append-only' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_log_guard BEFORE UPDATE OR DELETE ON sagas_log
    FOR EACH ROW EXECUTE FUNCTION sagas_log_guard();

-- A run's row is rewritten at every step: room on its page keeps those updates off the indexes (HOT).
ALTER TABLE sagas_run SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
"""

BACKWARD = """
DROP TRIGGER sagas_log_guard ON sagas_log;
DROP FUNCTION sagas_log_guard();
DROP TRIGGER sagas_run_guard ON sagas_run;
DROP FUNCTION sagas_run_guard();
ALTER TABLE sagas_run RESET (fillfactor, autovacuum_vacuum_scale_factor);
"""


class Migration(migrations.Migration):
    """Add the triggers."""

    dependencies = [("sagas", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
