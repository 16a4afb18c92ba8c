"""Keep SKUs of which runs hold or have bought cups."""

import django.core.validators
from django.db import migrations, models

from sagas.postgresql.operations import KeepWhileUsed


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="sku",
            name="price_cents",
            field=models.PositiveIntegerField(
                help_text="Price of one cup, in cents of a yuan.",
                validators=[django.core.validators.MaxValueValidator(10000000)],
                verbose_name="price (cents)",
            ),
        ),
        KeepWhileUsed("inventory_sku", key="code"),
    ]
