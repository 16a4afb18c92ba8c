"""Keep coupons that orders have; bound their years, for one row that cannot be read takes a list down."""

import datetime

import django.core.validators
from django.conf import settings
from django.db import migrations, models

from sagas.postgresql.operations import KeepWhileUsed


class Migration(migrations.Migration):
    dependencies = [
        ("coupons", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="coupon",
            name="active",
            field=models.BooleanField(db_default=True, default=True, help_text="Whether it can be redeemed."),
        ),
        migrations.AlterField(
            model_name="coupon",
            name="discount_cents",
            field=models.PositiveIntegerField(
                help_text="In cents of a yuan.",
                validators=[django.core.validators.MaxValueValidator(10000000)],
                verbose_name="discount (cents)",
            ),
        ),
        # What lies beyond was typed by mistake, and meant "long ago" or "never".
        migrations.RunSQL(
            """
            UPDATE coupons_coupon
            SET expires_at = CASE WHEN expires_at < '2000-01-01 00:00+00' THEN '2000-01-01 00:00+00'::timestamptz
                ELSE '2099-12-31 23:59+00'::timestamptz END
            WHERE expires_at < '2000-01-01 00:00+00' OR expires_at >= '2100-01-01 00:00+00'
            """,
            migrations.RunSQL.noop,
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("expires_at__gte", datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.UTC)),
                    ("expires_at__lt", datetime.datetime(2100, 1, 1, 0, 0, tzinfo=datetime.UTC)),
                ),
                name="coupons_coupon_expires_in_range",
                violation_error_message="A coupon expires between 2000 and 2100.",
            ),
        ),
        KeepWhileUsed("coupons_coupon", key="code", used="OLD.used"),
    ]
