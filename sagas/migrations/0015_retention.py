"""Old runs may be deleted: how far back they may be gone, which ids show nothing of it, and how far a pass has come.

The log's guard lets go of what a pruning deletes, and of nothing else: rows of runs that have ended, behind the horizon.
It looks at all rows of a statement at once. As ever, WHEN and conditions keep functions off the hot path.
"""

import django.db.models.functions.datetime
from django.db import migrations, models

FORWARD = """
CREATE OR REPLACE TRIGGER sagas_log_guard BEFORE UPDATE ON sagas_log
    FOR EACH ROW EXECUTE FUNCTION sagas_log_guard();

CREATE FUNCTION sagas_log_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    which uuid;
BEGIN
    -- A child goes with its family, whose root is behind the horizon of another saga.
    SELECT removed.run_id INTO which FROM (SELECT DISTINCT run_id FROM gone) AS removed
    LEFT JOIN sagas_run AS run ON run.id = removed.run_id
    WHERE current_setting('sagas.prune', true) IS DISTINCT FROM 'on' OR run.id IS NULL
        OR run.state NOT IN ('SUCCEEDED', 'FAILED')
        OR run.finished_at >= COALESCE((SELECT max(before) FROM sagas_horizon AS horizon
            WHERE run.parent_id IS NOT NULL OR horizon.saga = run.saga), '-infinity')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the saga log is append-only: it has no rows to delete of run %', which
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sagas_log_delete AFTER DELETE ON sagas_log REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_log_delete();

-- Ids behind a horizon are given to no new run: one that went back would let a run be done again. What has ended within
-- a day is never behind it, whoever says so.
CREATE FUNCTION sagas_horizon_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.before > clock_timestamp() - interval '1 day'
        OR (TG_OP = 'UPDATE' AND (NEW.saga <> OLD.saga OR NEW.before < OLD.before)) THEN
        RAISE EXCEPTION 'the horizon of % only moves forward, and stays a day behind',
            CASE TG_OP WHEN 'DELETE' THEN OLD.saga ELSE NEW.saga END USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER sagas_horizon_guard BEFORE INSERT OR UPDATE OR DELETE ON sagas_horizon
    FOR EACH ROW EXECUTE FUNCTION sagas_horizon_guard();

CREATE TRIGGER sagas_horizon_truncate AFTER TRUNCATE ON sagas_horizon
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_tombstone_truncate AFTER TRUNCATE ON sagas_tombstone
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
"""

BACKWARD = """
DROP TRIGGER sagas_tombstone_truncate ON sagas_tombstone;
DROP TRIGGER sagas_horizon_truncate ON sagas_horizon;
DROP TRIGGER sagas_horizon_guard ON sagas_horizon;
DROP FUNCTION sagas_horizon_guard();
DROP TRIGGER sagas_log_delete ON sagas_log;
DROP FUNCTION sagas_log_delete();
CREATE OR REPLACE TRIGGER sagas_log_guard BEFORE UPDATE OR DELETE ON sagas_log
    FOR EACH ROW EXECUTE FUNCTION sagas_log_guard();
"""


class Migration(migrations.Migration):
    """Add the tables and their guards, and open the log's for what is pruned."""

    dependencies = [("sagas", "0014_held")]

    operations = [
        migrations.CreateModel(
            name="Horizon",
            fields=[
                ("saga", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("before", models.DateTimeField(help_text="Runs that ended before may be gone.")),
            ],
        ),
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("run_id", models.UUIDField(primary_key=True, serialize=False)),
                ("pruned_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="Pruning",
            fields=[
                ("part", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("after", models.UUIDField(help_text="The last run that was looked at.")),
                (
                    "next_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When a tick goes on."
                    ),
                ),
            ],
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
