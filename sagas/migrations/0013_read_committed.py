"""No run is moved or confirmed at another isolation level than READ COMMITTED, by whatever way a session came to it.

There a statement sees what was committed while the one before it waited for a lock, which is how a confirmation and its
deadline find out who was first. A pooler may undo what a session has set, and a caller may have set it for a transaction.
WHEN keeps the function off the hot path.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION sagas_read_committed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'runs are moved and confirmed at READ COMMITTED; this transaction is at %',
        upper(current_setting('transaction_isolation'))
        USING ERRCODE = 'inappropriate_isolation_level_for_branch_transaction';
END $$;

CREATE TRIGGER sagas_run_read_committed BEFORE UPDATE ON sagas_run FOR EACH STATEMENT
    WHEN (current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted'))
    EXECUTE FUNCTION sagas_read_committed();

CREATE TRIGGER sagas_confirmation_read_committed BEFORE INSERT ON sagas_confirmation FOR EACH STATEMENT
    WHEN (current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted'))
    EXECUTE FUNCTION sagas_read_committed();
"""

BACKWARD = """
DROP TRIGGER sagas_confirmation_read_committed ON sagas_confirmation;
DROP TRIGGER sagas_run_read_committed ON sagas_run;
DROP FUNCTION sagas_read_committed();
"""


class Migration(migrations.Migration):
    """Add the triggers."""

    dependencies = [("sagas", "0012_resolved")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
