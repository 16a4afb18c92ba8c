"""Narrower log rows: a number for the worker and for who undoes the effect, and no trace id, which is the run's.

Rows of before stay as they are. Workers of before write theirs as before.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sagas", "0016_steps")]

    operations = [
        # Most updates of a run change its due time, and are no HOT updates, however much room its page has.
        migrations.RunSQL("ALTER TABLE sagas_run SET (fillfactor = 85)", "ALTER TABLE sagas_run SET (fillfactor = 70)"),
        migrations.CreateModel(
            name="Performer",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("worker", models.CharField(blank=True, max_length=100)),
                ("compensate", models.CharField(blank=True, help_text="Who undoes the effect.", max_length=200)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("worker", "compensate"), name="sagas_performer_once")],
            },
        ),
        migrations.AddField(
            model_name="log",
            name="performer",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="sagas.performer",
            ),
        ),
        migrations.AlterField(
            model_name="log",
            name="trace_id",
            field=models.UUIDField(help_text="Only in rows of earlier versions: it is that of the run.", null=True),
        ),
        migrations.AlterField(
            model_name="log",
            name="worker",
            field=models.CharField(
                blank=True,
                help_text="Of a row without a performer, and of an event the person.",
                max_length=100,
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="log",
            name="compensate",
            field=models.CharField(
                blank=True,
                help_text="Who undoes this effect; of a row without a performer.",
                max_length=200,
                null=True,
            ),
        ),
    ]
