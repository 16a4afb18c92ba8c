"""What people have stopped for a while, and for how long runs were held back by it.

Rows of pauses are the record of them: each is written once, and ended once.
"""

import django.db.models.functions.datetime
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION sagas_pause_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
        AND to_jsonb(NEW) - '{ended_at,ended_by,end_reason}'::text[]
            = to_jsonb(OLD) - '{ended_at,ended_by,end_reason}'::text[] THEN
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' AND OLD.run_id IS NOT NULL AND current_setting('sagas.prune', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the pause % is a record: it can only be ended, once', OLD.id USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_pause_guard BEFORE UPDATE OR DELETE ON sagas_pause
    FOR EACH ROW EXECUTE FUNCTION sagas_pause_guard();
CREATE TRIGGER sagas_pause_truncate AFTER TRUNCATE ON sagas_pause
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
"""

BACKWARD = """
DROP TRIGGER sagas_pause_truncate ON sagas_pause;
DROP TRIGGER sagas_pause_guard ON sagas_pause;
DROP FUNCTION sagas_pause_guard();
"""


class Migration(migrations.Migration):
    """Add the table, its guard and the column."""

    dependencies = [
        ("sagas", "0030_burn_rates"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="paused_for",
            field=models.DurationField(
                help_text="For how long pauses have held it back: its time limits are later by so much.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="held_until",
            field=models.DateTimeField(
                help_text="Until when no deadline and no time-out turns it back: it is paused, or the database was restored.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Pause",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scope", models.CharField(max_length=8)),
                ("saga", models.CharField(blank=True, help_text="None of starts: those of all sagas.", max_length=100)),
                ("step", models.CharField(blank=True, max_length=48)),
                ("run_id", models.UUIDField(null=True)),
                ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("paused_by", models.CharField(max_length=150)),
                ("reason", models.TextField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_by", models.CharField(blank=True, db_default="", max_length=150)),
                ("end_reason", models.TextField(blank=True, db_default="")),
            ],
            options={
                "verbose_name": "pause",
                "verbose_name_plural": "pauses",
                "indexes": [
                    models.Index(
                        condition=models.Q(("run_id__isnull", False)), fields=["run_id"], name="sagas_pause_run"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("scope", "saga", "step", "run_id"),
                        name="sagas_pause_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
