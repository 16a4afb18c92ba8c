"""Domain events: the outbox, an inbox for consumers in this database, and how many events a run has written."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add them. Runs that began before publish nothing."""

    dependencies = [
        ("sagas", "0004_branches"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="events",
            field=models.PositiveIntegerField(
                editable=False,
                help_text="How many events it has written to the outbox; none if it publishes none.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Inbox",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "consumer", "event_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("consumer", models.CharField(max_length=48)),
                ("event_id", models.CharField(max_length=100)),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "verbose_name_plural": "inbox",
                "indexes": [models.Index(fields=["received_at"], name="sagas_inbox_received")],
            },
        ),
        migrations.CreateModel(
            name="Outbox",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "position", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("run_id", models.UUIDField()),
                ("position", models.PositiveIntegerField(help_text="In the run's history, from 1, without a gap.")),
                ("name", models.CharField(max_length=120)),
                ("saga", models.CharField(max_length=100)),
                ("version", models.PositiveSmallIntegerField()),
                ("step", models.CharField(blank=True, max_length=48)),
                ("business_key", models.CharField(blank=True, max_length=64)),
                ("trace_id", models.UUIDField()),
                ("occurred_at", models.DateTimeField()),
                ("data", models.JSONField(null=True)),
                (
                    "attempt",
                    models.PositiveSmallIntegerField(default=0, help_text="How often RabbitMQ has refused it."),
                ),
                ("due_at", models.DateTimeField(help_text="When it is published, or tried again.")),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="sagas_outbox_due")],
            },
        ),
    ]
