"""What the pages of the admin call the engine's rows, and who may see personal data. No table changes."""

from django.db import migrations


class Migration(migrations.Migration):
    """Change options that Django alone reads."""

    dependencies = [("sagas", "0028_log_by_id")]

    operations = [
        migrations.AlterModelOptions(
            name="breaker", options={"verbose_name": "breaker", "verbose_name_plural": "breakers"}
        ),
        migrations.AlterModelOptions(
            name="escalation",
            options={
                "permissions": [
                    ("acknowledge_escalation", "Can acknowledge escalations, and take them"),
                    ("resolve_escalation", "Can end an escalated run by hand"),
                ],
                "verbose_name": "escalation",
                "verbose_name_plural": "escalations",
            },
        ),
        migrations.AlterModelOptions(name="lock", options={"verbose_name": "lock", "verbose_name_plural": "locks"}),
        migrations.AlterModelOptions(
            name="run",
            options={
                "permissions": [("view_personal_data", "Can see personal data of runs")],
                "verbose_name": "run",
                "verbose_name_plural": "runs",
            },
        ),
        migrations.AlterModelOptions(
            name="shareddecision",
            options={"verbose_name": "shared decision", "verbose_name_plural": "shared decisions"},
        ),
    ]
