"""What service levels have counted, by minute. Only ticks write the rows, and never the hot path."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the tables."""

    dependencies = [
        ("sagas", "0026_stalled_workers"),
    ]

    operations = [
        migrations.CreateModel(
            name="CountedRun",
            fields=[
                ("run_id", models.UUIDField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name="LevelCursor",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("since", models.DateTimeField(help_text="Runs that ended before are not counted.")),
                ("after", models.BigIntegerField(help_text="Rows of the log up to this id are counted.")),
                (
                    "upto",
                    models.BigIntegerField(
                        help_text="Up to which id they are counted next; none while none is set.", null=True
                    ),
                ),
                ("armed_at", models.DateTimeField(help_text="When that was set.", null=True)),
                (
                    "horizon",
                    models.BigIntegerField(
                        help_text="No transaction before this one may be open when they are counted.", null=True
                    ),
                ),
                (
                    "folded_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When old minutes were last added up to hours.",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="LevelMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "saga",
                        "subject",
                        "minute",
                        "name",
                        "outcome",
                        "bucket",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("saga", models.CharField(max_length=100)),
                ("subject", models.CharField(help_text='"objective", "stage", "run" or "undo".', max_length=12)),
                ("minute", models.DateTimeField(help_text="Of minutes that are over a week old, the hour.")),
                ("name", models.CharField(blank=True, help_text="Of the objective, or of the stage.", max_length=80)),
                ("outcome", models.CharField(max_length=16)),
                ("bucket", models.SmallIntegerField(help_text="How many of the bounds the time had reached.")),
                ("number", models.BigIntegerField()),
                ("seconds", models.FloatField(help_text="The sum of the times.")),
            ],
        ),
        migrations.AddConstraint(
            model_name="levelcursor",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="sagas_levelcursor_is_one"),
        ),
    ]
