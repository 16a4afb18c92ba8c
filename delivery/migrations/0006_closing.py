"""A slot says until when it takes orders: by default until its begin less the store's cut-off."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("delivery", "0005_stores")]

    operations = [
        migrations.AddField(
            model_name="slot",
            name="closes_at",
            field=models.DateTimeField(
                blank=True,
                help_text="Until when it takes orders; by default its begin less the store's cut-off.",
                null=True,
            ),
        ),
        migrations.RunSQL("UPDATE delivery_slot SET closes_at = starts_at", migrations.RunSQL.noop),
        # Before NOT NULL is checked: nobody who inserts a slot needs to know of this column.
        migrations.RunSQL(
            """
            CREATE FUNCTION delivery_slot_close() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP = 'UPDATE' AND NEW.closes_at = OLD.closes_at THEN
                    NEW.closes_at := NEW.starts_at - (OLD.starts_at - OLD.closes_at);
                ELSIF NEW.closes_at IS NULL THEN
                    NEW.closes_at := NEW.starts_at - COALESCE((SELECT cut_off_minutes FROM delivery_store
                        WHERE id = NEW.store_id), 0) * interval '1 minute';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER delivery_slot_time BEFORE INSERT OR UPDATE OF starts_at ON delivery_slot
                FOR EACH ROW EXECUTE FUNCTION delivery_slot_close()
            """,
            "DROP TRIGGER delivery_slot_time ON delivery_slot; DROP FUNCTION delivery_slot_close()",
        ),
        migrations.AlterField(
            model_name="slot",
            name="closes_at",
            field=models.DateTimeField(
                blank=True, help_text="Until when it takes orders; by default its begin less the store's cut-off."
            ),
        ),
        migrations.AddConstraint(
            model_name="slot",
            constraint=models.CheckConstraint(
                condition=models.Q(("closes_at__lte", models.F("starts_at"))), name="delivery_slot_closes"
            ),
        ),
    ]
