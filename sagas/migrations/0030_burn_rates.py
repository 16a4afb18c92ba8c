"""Incidents of error budgets that burn, and examples of what burned them. Only ticks write the rows."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the tables, and two columns of a table of one row."""

    dependencies = [
        ("sagas", "0029_words_of_pages"),
    ]

    operations = [
        migrations.CreateModel(
            name="LevelExample",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "saga",
                        "subject",
                        "minute",
                        "fingerprint",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("saga", models.CharField(max_length=100)),
                ("subject", models.CharField(help_text='"fault" or "objective".', max_length=12)),
                ("minute", models.DateTimeField()),
                ("fingerprint", models.UUIDField(help_text="Of the name, the code and the text.")),
                ("name", models.CharField(help_text="The step and operation, or the objective.", max_length=80)),
                (
                    "code",
                    models.CharField(help_text="The exception's class; of a run, how it was bad.", max_length=100),
                ),
                ("text", models.CharField(blank=True, help_text="Without numbers and ids.", max_length=200)),
                ("number", models.BigIntegerField()),
                ("run_id", models.UUIDField(help_text="The latest run that has it.")),
            ],
        ),
        migrations.AddField(
            model_name="levelcursor",
            name="judged_after",
            field=models.BigIntegerField(help_text="How far the log was counted then.", null=True),
        ),
        migrations.AddField(
            model_name="levelcursor",
            name="judged_at",
            field=models.DateTimeField(help_text="When it was last judged what burns.", null=True),
        ),
        migrations.CreateModel(
            name="BurnIncident",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("saga", models.CharField(max_length=100)),
                ("objective", models.CharField(max_length=48)),
                ("pair", models.SmallIntegerField(help_text="The fastest pair of windows that has burned, 0 first.")),
                ("since", models.DateTimeField(help_text="The first minute with a bad run.")),
                ("opened_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("burning_at", models.DateTimeField(help_text="When it was last seen to burn.")),
                ("closed_at", models.DateTimeField(null=True)),
                ("burn_long", models.FloatField(help_text="How many times too fast, over the longer window.")),
                ("burn_short", models.FloatField(help_text="Over the shorter one.")),
                ("bad", models.BigIntegerField(help_text="Bad runs in the longer window.")),
                ("runs", models.BigIntegerField(help_text="All runs in it.")),
                (
                    "stage",
                    models.CharField(blank=True, help_text="Where the time was lost; empty if nowhere.", max_length=80),
                ),
                ("stage_since", models.DateTimeField(null=True)),
                ("evidence", models.JSONField(help_text="The stage's times, the top errors, and bad runs.")),
                ("revision", models.IntegerField(default=1)),
                ("told", models.IntegerField(default=0)),
                ("notices", models.IntegerField(default=0, help_text="How often this was published in vain.")),
                ("notify_at", models.DateTimeField(null=True)),
                ("sending_until", models.DateTimeField(help_text="Until when a process may be sending it.", null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("notify_at__isnull", False)), fields=["notify_at"], name="sagas_burn_notify"
                    ),
                    models.Index(fields=["saga", "opened_at"], name="sagas_burn_latest"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=("saga", "objective"),
                        name="sagas_burn_one_open",
                    )
                ],
            },
        ),
    ]
