"""Definitions on record, so that a run keeps the one it began with; and a log whose personal data can be erased.

The log stays append-only, with one hole: a transaction that says so may rewrite ``data``, and nothing else, in the rows
of a finished run.
"""

import django.db.models.functions.datetime
from django.db import migrations, models

FORWARD = """
CREATE OR REPLACE FUNCTION sagas_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('sagas.erase', true) = 'on'
        AND to_jsonb(NEW) - 'data' = to_jsonb(OLD) - 'data' AND NEW.data IS NOT NULL AND OLD.data IS NOT NULL
        AND EXISTS (SELECT 1 FROM sagas_run WHERE id = OLD.run_id AND state IN ('SUCCEEDED', 'FAILED'))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the saga log is append-only' USING ERRCODE = 'check_violation';
END $$;
"""

BACKWARD = """
CREATE OR REPLACE FUNCTION sagas_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the saga log is append-only' USING ERRCODE = 'check_violation';
END $$;
"""


class Migration(migrations.Migration):
    """Add the table of definitions, to runs the number of theirs, and to the log's guard its hole."""

    dependencies = [("sagas", "0007_intent")]

    operations = [
        migrations.CreateModel(
            name="Definition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("saga", models.CharField(max_length=100)),
                ("version", models.PositiveSmallIntegerField()),
                ("shape", models.IntegerField()),
                ("body", models.JSONField(help_text="Steps, their operations and queues, and confirmations.")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("saga", "version", "shape"), name="sagas_definition_once")
                ],
            },
        ),
        migrations.AddField(
            model_name="run",
            name="shape",
            field=models.IntegerField(
                db_default=0, default=0, help_text="Which of the definition's shapes it follows."
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
