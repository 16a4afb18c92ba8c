"""What processes count and measure, for metrics. Rows are written some times a minute, and never by the hot path."""

from django.db import migrations, models

import sagas.fields


class Migration(migrations.Migration):
    """Add the table."""

    dependencies = [("sagas", "0024_trace_parent")]

    operations = [
        migrations.CreateModel(
            name="Measurement",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "name",
                        "labels",
                        "layout",
                        "shard",
                        "minute",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("labels", models.CharField(help_text="The values of its labels, a JSON array.", max_length=700)),
                ("layout", models.IntegerField(help_text="Which buckets a histogram has; 0 of a counter.")),
                (
                    "shard",
                    models.PositiveSmallIntegerField(help_text="Processes of other shards do not wait for this row."),
                ),
                ("minute", models.DateTimeField()),
                (
                    "value",
                    models.DecimalField(
                        decimal_places=9,
                        help_text="Of a counter the number, of a histogram the sum of its values.",
                        max_digits=38,
                    ),
                ),
                (
                    "buckets",
                    sagas.fields.BigIntegers(
                        help_text="Of a histogram, how many values each bucket has.",
                        null=True,
                    ),
                ),
            ],
        ),
    ]
