"""Escalations that somebody takes, of which people are told until one does."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add who has taken an escalation, and when a notice of it is due; every open one is told of at once."""

    dependencies = [("sagas", "0002_guards")]

    operations = [
        migrations.AlterModelOptions(
            name="escalation",
            options={
                "permissions": [
                    ("acknowledge_escalation", "Can acknowledge escalations, and take them"),
                    ("resolve_escalation", "Can end an escalated run by hand"),
                ]
            },
        ),
        migrations.AddField(
            model_name="escalation",
            name="suggestion",
            field=models.TextField(blank=True, db_default="", help_text="What the engine thinks should be done."),
        ),
        migrations.AddField(
            model_name="escalation",
            name="assignee",
            field=models.CharField(blank=True, db_default="", help_text="Who sees to it.", max_length=150),
        ),
        migrations.AddField(model_name="escalation", name="acknowledged_at", field=models.DateTimeField(null=True)),
        migrations.AddField(
            model_name="escalation",
            name="acknowledged_by",
            field=models.CharField(blank=True, db_default="", max_length=150),
        ),
        migrations.AddField(
            model_name="escalation",
            name="notify_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="When a notice is published next.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="escalation",
            name="notices",
            field=models.PositiveIntegerField(db_default=0, help_text="Notices published, of which some may be lost."),
        ),
        migrations.AddField(
            model_name="escalation",
            name="sent",
            field=models.PositiveIntegerField(
                db_default=0, help_text="Number of the last notice known to have been sent."
            ),
        ),
        migrations.RunSQL(
            "UPDATE sagas_escalation SET notify_at = NULL WHERE resolved_at IS NOT NULL", migrations.RunSQL.noop
        ),
        migrations.AddConstraint(
            model_name="escalation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("acknowledged_at__isnull", True), ("notify_at__isnull", False), ("resolved_at__isnull", True)
                )
                | models.Q(
                    ("notify_at__isnull", True),
                    models.Q(("resolved_at__isnull", False), ("acknowledged_at__isnull", False), _connector="OR"),
                ),
                name="sagas_escalation_is_told",
            ),
        ),
        migrations.AddIndex(
            model_name="escalation",
            index=models.Index(
                condition=models.Q(("notify_at__isnull", False)),
                fields=["notify_at"],
                name="sagas_escalation_notify",
            ),
        ),
        migrations.CreateModel(
            name="Breaker",
            fields=[
                ("participant", models.CharField(max_length=150, primary_key=True, serialize=False)),
                ("step", models.CharField(max_length=48)),
                ("opened_at", models.DateTimeField()),
                (
                    "closed_at",
                    models.DateTimeField(help_text="When a probe succeeded; none while it is open.", null=True),
                ),
                ("probe_at", models.DateTimeField(help_text="When the next probe may go.")),
                ("probe_run", models.UUIDField(help_text="The last probe.", null=True)),
                ("probe_operation", models.CharField(blank=True, max_length=16)),
                (
                    "failed",
                    models.PositiveIntegerField(
                        help_text="Retried operations that failed in the last window, at the opening."
                    ),
                ),
                ("retried", models.PositiveIntegerField(help_text="Retried operations that were looked at then.")),
            ],
        ),
        migrations.CreateModel(
            name="BreakerSample",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("participant", models.CharField(max_length=150)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("succeeded", models.PositiveIntegerField()),
                ("failed", models.PositiveIntegerField()),
            ],
            options={"indexes": [models.Index(fields=["participant", "at"], name="sagas_sample_latest")]},
        ),
    ]
