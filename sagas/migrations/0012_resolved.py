"""Let a run that a person ends as FAILED give back what has come from outside, and nothing else."""

from django.db import migrations

TRIGGER = """
CREATE OR REPLACE TRIGGER sagas_run_cursor BEFORE UPDATE OF cursor ON sagas_run
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
        {more}ELSE false END)
    EXECUTE FUNCTION sagas_run_cursor();
"""
RESOLVED = "WHEN 'ESCALATED' THEN NEW.state = 'COMPENSATING' AND NEW.cursor = 0 AND NEW.fork <> 0\n        "


class Migration(migrations.Migration):
    """Widen the guard of the cursor."""

    dependencies = [("sagas", "0011_workers")]
    operations = [migrations.RunSQL(TRIGGER.format(more=RESOLVED), TRIGGER.format(more=""))]
