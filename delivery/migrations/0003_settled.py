"""Slots keep the sum of what was sold in runs that are pruned with their holds."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("delivery", "0002_in_use"),
    ]

    operations = [
        migrations.AddField(
            model_name="slot",
            name="settled",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Of what is sold: that of runs that were pruned.",
            ),
        ),
        migrations.AddConstraint(
            model_name="slot",
            constraint=models.CheckConstraint(
                condition=models.Q(("settled__gte", 0), ("settled__lte", models.F("sold"))),
                name="delivery_slot_sold_ge_settled",
            ),
        ),
    ]
