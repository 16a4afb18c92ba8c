"""Semantic locks: lines of runs at business keys, left by a trigger when a run is final, by whatever hand."""

import django.db.models.functions.datetime
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION sagas_run_unlock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM sagas_lock WHERE run_id = NEW.id;
    RETURN NULL;
END $$;

-- WHEN keeps the function away from runs that lock nothing.
CREATE TRIGGER sagas_run_unlock AFTER UPDATE OF state ON sagas_run
    FOR EACH ROW WHEN (NEW.locked AND NEW.state IN ('SUCCEEDED', 'FAILED') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION sagas_run_unlock();
"""

BACKWARD = """
DROP TRIGGER sagas_run_unlock ON sagas_run;
DROP FUNCTION sagas_run_unlock();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("sagas", "0005_outbox"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="locked",
            field=models.BooleanField(
                db_default=False, help_text="Whether it locks business keys while it is not final."
            ),
        ),
        migrations.CreateModel(
            name="Lock",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=128)),
                ("run_id", models.UUIDField()),
                (
                    "family",
                    models.UUIDField(
                        help_text="The run of which this one is a step, or a step of a step; else itself."
                    ),
                ),
                ("ticket", models.BigIntegerField()),
                ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [models.Index(fields=["key", "ticket"], name="sagas_lock_line")],
                "constraints": [models.UniqueConstraint(fields=("run_id", "key"), name="sagas_lock_once")],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
