"""Leave room beside each row for its next version: then the update changes no index."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inventory", "0003_settled")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE inventory_sku SET (fillfactor = 50)", "ALTER TABLE inventory_sku RESET (fillfactor)"
        ),
        migrations.RunSQL(
            "ALTER TABLE inventory_skuhold SET (fillfactor = 50)", "ALTER TABLE inventory_skuhold RESET (fillfactor)"
        ),
    ]
