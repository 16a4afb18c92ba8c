"""Definitions on record, so that a run keeps the one it began with."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the table of definitions, and to runs the number of theirs."""

    dependencies = [("sagas", "0002_guards")]

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
    ]
