"""One decision for many runs: the key of the decision that a run awaits, and the decisions.

Their guards keep to what is final. Each is a trigger of columns that the hot path does not set, or of a table that it
does not write.
"""

import django.db.models.functions.datetime
from django.db import migrations, models

FORWARD = """
-- The key says which decision a run gets: it is computed once, at the start. What was given is not taken back.
CREATE FUNCTION sagas_run_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'run % awaits the decision of %, and has it since %', OLD.id, OLD.decision_key, OLD.decided_at
        USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_run_key BEFORE UPDATE OF decision_name, decision_key, decided_at ON sagas_run FOR EACH ROW
    WHEN (OLD.decision_name IS DISTINCT FROM NEW.decision_name OR OLD.decision_key IS DISTINCT FROM NEW.decision_key
        OR OLD.decided_at IS NOT NULL)
    EXECUTE FUNCTION sagas_run_key();

-- A decision is final. Only its settling is noted, and it goes with the runs of its time.
CREATE FUNCTION sagas_shareddecision_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'settled_at' = to_jsonb(OLD) - 'settled_at' AND OLD.settled_at IS NULL THEN
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' AND OLD.settled_at IS NOT NULL AND current_setting('sagas.prune', true) = 'on'
        AND OLD.decided_at < (SELECT before FROM sagas_horizon WHERE saga = OLD.saga) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the decision %.% of % is final', OLD.saga, OLD.name, OLD.key USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_shareddecision_guard BEFORE UPDATE OR DELETE ON sagas_shareddecision
    FOR EACH ROW EXECUTE FUNCTION sagas_shareddecision_guard();
CREATE TRIGGER sagas_shareddecision_truncate AFTER TRUNCATE ON sagas_shareddecision
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
"""

BACKWARD = """
DROP TRIGGER sagas_shareddecision_truncate ON sagas_shareddecision;
DROP TRIGGER sagas_shareddecision_guard ON sagas_shareddecision;
DROP FUNCTION sagas_shareddecision_guard();
DROP TRIGGER sagas_run_key ON sagas_run;
DROP FUNCTION sagas_run_key();
"""


class Migration(migrations.Migration):
    """Add the columns and the table, with their guards."""

    dependencies = [("sagas", "0001_squashed_0022_performer_seen_at")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="decision_name",
            field=models.CharField(
                help_text="The confirmation that comes by a decision for many runs.", max_length=48, null=True
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="decision_key",
            field=models.CharField(help_text="The key of this decision.", max_length=128, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="decided_at",
            field=models.DateTimeField(
                help_text="When it was given this decision, if other confirmations were missing then.", null=True
            ),
        ),
        migrations.CreateModel(
            name="SharedDecision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("saga", models.CharField(max_length=100)),
                ("name", models.CharField(help_text="The confirmation.", max_length=48)),
                ("key", models.CharField(max_length=128)),
                ("data", models.JSONField(help_text="What each run keeps of it; none of a refusal.", null=True)),
                ("reason", models.TextField(blank=True, db_default="", help_text="Of a refusal, for operators.")),
                ("message", models.TextField(blank=True, db_default="", help_text="Of a refusal, for customers.")),
                ("decided_by", models.CharField(blank=True, db_default="", max_length=100)),
                ("decided_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "settled_at",
                    models.DateTimeField(help_text="When no undecided run of the key was left.", null=True),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("saga", "key", "name"), name="sagas_decision_once"),
                    models.CheckConstraint(
                        name="sagas_decision_is_one",
                        condition=models.Q(data__isnull=True) | models.Q(reason="", message=""),
                    ),
                ],
                "indexes": [
                    models.Index(
                        condition=models.Q(settled_at__isnull=True), fields=["id"], name="sagas_decision_open"
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
