"""Keep slots in which runs have a place; bound their years, for one row that cannot be read takes a list down."""

import datetime

from django.db import migrations, models

from sagas.postgresql.operations import KeepWhileUsed


class Migration(migrations.Migration):
    dependencies = [
        ("delivery", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="slot",
            name="active",
            field=models.BooleanField(
                db_default=True, default=True, help_text="Whether it is offered and takes orders."
            ),
        ),
        # What lies beyond was typed by mistake: it stays, where it can be read and does no harm.
        migrations.RunSQL(
            """
            UPDATE delivery_slot SET active = false,
                starts_at = '2099-12-01 00:00+00'::timestamptz + id % 1000000 * interval '1 microsecond',
                ends_at = '2099-12-01 01:00+00'::timestamptz + id % 1000000 * interval '1 microsecond'
            WHERE starts_at < '2000-01-01 00:00+00' OR ends_at >= '2100-01-01 00:00+00'
            """,
            migrations.RunSQL.noop,
        ),
        migrations.AddConstraint(
            model_name="slot",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ends_at__lt", datetime.datetime(2100, 1, 1, 0, 0, tzinfo=datetime.UTC)),
                    ("starts_at__gte", datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.UTC)),
                ),
                name="delivery_slot_in_range",
                violation_error_message="A slot lies between 2000 and 2100.",
            ),
        ),
        KeepWhileUsed("delivery_slot", key="id"),
    ]
