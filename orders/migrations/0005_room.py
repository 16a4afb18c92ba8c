"""Leave room beside each row for its next version: then the update changes no index."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0004_open_orders")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE orders_order SET (fillfactor = 50)", "ALTER TABLE orders_order RESET (fillfactor)"
        ),
    ]
