"""The context of each run's trace, beside the trace's id. Workers of before leave it empty."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sagas", "0023_undecided_runs"),
    ]

    operations = [
        migrations.AddField(
            model_name="outbox",
            name="trace_parent",
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name="queuedevent",
            name="trace_parent",
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="trace_parent",
            field=models.TextField(
                editable=False, help_text="Span, flags and tracestate of its start, if that was in a trace.", null=True
            ),
        ),
    ]
