"""Leave room beside each row for its next version: then the update changes no index."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("delivery", "0003_settled")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE delivery_slot SET (fillfactor = 50)", "ALTER TABLE delivery_slot RESET (fillfactor)"
        ),
        migrations.RunSQL(
            "ALTER TABLE delivery_slothold SET (fillfactor = 50)", "ALTER TABLE delivery_slothold RESET (fillfactor)"
        ),
    ]
