"""Stores with their hours and closures; the slots that there are belong to the first store."""

import datetime

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import delivery.models


class Migration(migrations.Migration):
    dependencies = [("delivery", "0004_room")]

    operations = [
        migrations.CreateModel(
            name="Store",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.SlugField(max_length=32, unique=True)),
                ("name", models.CharField(max_length=100)),
                ("timezone", models.CharField(max_length=64, validators=[delivery.models.check_time_zone])),
                (
                    "cut_off_minutes",
                    models.PositiveSmallIntegerField(
                        db_default=0, default=0, help_text="How long before its begin a new slot takes the last order."
                    ),
                ),
                ("active", models.BooleanField(db_default=True, default=True)),
            ],
            options={
                "ordering": ["code"],
            },
        ),
        migrations.AddConstraint(
            model_name="store",
            constraint=models.CheckConstraint(
                condition=models.Q(("cut_off_minutes__lte", 1440)), name="delivery_store_cut_off"
            ),
        ),
        # Slots that name no store are of this one: those that there are, and those of code from before.
        migrations.RunSQL(
            """
            INSERT INTO delivery_store (id, code, name, timezone, cut_off_minutes, active)
            VALUES (1, 'main', 'Main store', 'Asia/Shanghai', 0, true);
            ALTER TABLE delivery_store ALTER COLUMN id SET START WITH 2;
            ALTER TABLE delivery_store ALTER COLUMN id RESTART WITH 2;
            -- A name that is no time zone raises an error.
            ALTER TABLE delivery_store ADD CONSTRAINT delivery_store_timezone
                CHECK (timezone(timezone, '2000-01-01 00:00+00'::timestamptz) IS NOT NULL)
            """,
            migrations.RunSQL.noop,
        ),
        migrations.CreateModel(
            name="OpeningHours",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "weekday",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (1, "Monday"),
                            (2, "Tuesday"),
                            (3, "Wednesday"),
                            (4, "Thursday"),
                            (5, "Friday"),
                            (6, "Saturday"),
                            (7, "Sunday"),
                        ]
                    ),
                ),
                ("opens", models.TimeField()),
                ("closes", models.TimeField(help_text="00:00 is the end of the day.")),
            ],
            options={
                "verbose_name_plural": "opening hours",
                "ordering": ["store", "weekday", "opens"],
            },
        ),
        migrations.CreateModel(
            name="Closure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("reason", models.CharField(max_length=200)),
                ("closed_by", models.CharField(max_length=150)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["starts_at"],
            },
        ),
        migrations.AddField(
            model_name="openinghours",
            name="store",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="hours", to="delivery.store"
            ),
        ),
        migrations.AddConstraint(
            model_name="openinghours",
            constraint=models.UniqueConstraint(fields=("store", "weekday", "opens"), name="delivery_hours_once"),
        ),
        migrations.AddConstraint(
            model_name="openinghours",
            constraint=models.CheckConstraint(
                condition=models.Q(("weekday__gte", 1), ("weekday__lte", 7)), name="delivery_hours_weekday"
            ),
        ),
        migrations.AddConstraint(
            model_name="openinghours",
            constraint=models.CheckConstraint(
                condition=models.Q(("closes__gt", models.F("opens")), ("closes", datetime.time(0, 0)), _connector="OR"),
                name="delivery_hours_close_after_open",
                violation_error_message="It closes after it opens.",
            ),
        ),
        migrations.AddField(
            model_name="closure",
            name="store",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="closures", to="delivery.store"
            ),
        ),
        migrations.AddConstraint(
            model_name="closure",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="delivery_closure_ends_after_start"
            ),
        ),
        migrations.AddConstraint(
            model_name="closure",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ends_at__lt", datetime.datetime(2100, 1, 1, 0, 0, tzinfo=datetime.UTC)),
                    ("starts_at__gte", datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.UTC)),
                ),
                name="delivery_closure_in_range",
            ),
        ),
        migrations.AddField(
            model_name="slot",
            name="store",
            field=models.ForeignKey(
                db_default=1,
                default=1,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="slots",
                to="delivery.store",
            ),
        ),
        migrations.RemoveConstraint(
            model_name="slot",
            name="delivery_slot_once",
        ),
        migrations.AddConstraint(
            model_name="slot",
            constraint=models.UniqueConstraint(
                fields=("store", "starts_at", "ends_at"), name="delivery_slot_of_store_once"
            ),
        ),
        # Tests and restored databases may have an empty table of stores.
        migrations.RunSQL(
            """
            CREATE FUNCTION delivery_slot_store() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO delivery_store (id, code, name, timezone, cut_off_minutes, active)
                VALUES (1, 'main', 'Main store', 'Asia/Shanghai', 0, true) ON CONFLICT DO NOTHING;
                RETURN NEW;
            END $$;
            CREATE TRIGGER delivery_slot_store BEFORE INSERT ON delivery_slot
                FOR EACH ROW WHEN (NEW.store_id = 1) EXECUTE FUNCTION delivery_slot_store()
            """,
            "DROP TRIGGER delivery_slot_store ON delivery_slot; DROP FUNCTION delivery_slot_store()",
        ),
    ]
