"""Drop an index of the code beside that of the primary key: Django makes it for LIKE 'a%', which nothing asks."""

from django.db import migrations

TABLE, INDEX = "coupons_coupon", "coupons_coupon_code_40174643_like"


class Migration(migrations.Migration):
    dependencies = [("coupons", "0002_in_use")]

    operations = [
        migrations.RunSQL(
            f"DROP INDEX IF EXISTS {INDEX}", f"CREATE INDEX IF NOT EXISTS {INDEX} ON {TABLE} (code varchar_pattern_ops)"
        )
    ]
