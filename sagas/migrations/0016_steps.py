"""Let a statement that has written the log of several steps move its runs by as many at once.

The statement says how many in ``sagas.steps``, for its transaction: everything else still moves a run step by step.
"""

from django.db import migrations

TRIGGER = """
CREATE OR REPLACE TRIGGER sagas_run_cursor BEFORE UPDATE OF cursor ON sagas_run
    FOR EACH ROW WHEN (OLD.cursor <> NEW.cursor AND NOT CASE OLD.state
        WHEN 'EXECUTING' THEN CASE NEW.state
            WHEN 'EXECUTING' THEN NEW.cursor = OLD.cursor + 1 + bit_count(OLD.fork::bit(64)){more}
            WHEN 'AWAITING_CONFIRM' THEN NEW.cursor = OLD.cursor + 1 + bit_count(OLD.fork::bit(64)){more}
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
"""
SEVERAL = """
                OR (OLD.fork = 0 AND (NEW.cursor - OLD.cursor)::text = COALESCE(current_setting('sagas.steps', true), ''))"""


class Migration(migrations.Migration):
    """Widen the guard of the cursor."""

    dependencies = [("sagas", "0015_retention")]
    operations = [migrations.RunSQL(TRIGGER.format(more=SEVERAL), TRIGGER.format(more=""))]
