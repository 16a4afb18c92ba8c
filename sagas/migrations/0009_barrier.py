import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sagas", "0008_data"),
    ]

    operations = [
        migrations.CreateModel(
            name="Barrier",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "step", "operation", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("run_id", models.UUIDField()),
                ("step", models.CharField(max_length=48)),
                ("operation", models.CharField(max_length=16)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("DONE", "DONE"),
                            ("REJECTED", "REJECTED"),
                            ("ACCEPTED", "ACCEPTED"),
                            ("VOID", "VOID"),
                        ],
                        max_length=8,
                    ),
                ),
                ("attempt", models.PositiveSmallIntegerField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("data", models.JSONField(help_text="Result or rejection.", null=True)),
            ],
        ),
    ]
