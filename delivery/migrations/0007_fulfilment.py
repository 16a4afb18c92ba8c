"""What a store does for each confirmed order, and who has done it."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("delivery", "0006_closing")]

    operations = [
        migrations.CreateModel(
            name="Fulfilment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("run_id", models.UUIDField(editable=False, unique=True)),
                ("order_no", models.CharField(max_length=32, unique=True, verbose_name="order number")),
                ("slot", models.BigIntegerField()),
                ("due_at", models.DateTimeField(help_text="The begin of its slot.")),
                (
                    "kind",
                    models.CharField(
                        choices=[("SLOT", "delivery"), ("PICK_UP", "pick-up"), ("COURIER", "courier")], max_length=7
                    ),
                ),
                ("lines", models.JSONField(help_text="What is to be made: pairs of a SKU and a quantity.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ACCEPTED", "accepted"),
                            ("MAKING", "making"),
                            ("READY", "ready"),
                            ("HANDED_OVER", "handed over"),
                            ("NOT_COLLECTED", "not collected"),
                            ("REFUSED", "refused"),
                        ],
                        db_default="ACCEPTED",
                        default="ACCEPTED",
                        max_length=13,
                    ),
                ),
                ("version", models.PositiveIntegerField(db_default=1, default=1)),
                ("changed_by", models.CharField(db_default="", default="", max_length=150)),
                ("reason", models.CharField(db_default="", default="", max_length=500)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("changed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["due_at", "id"],
                "permissions": [("fulfil", "Can see a store's queue, and move orders in it")],
            },
        ),
        migrations.AddField(
            model_name="fulfilment",
            name="store",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="delivery.store",
            ),
        ),
        migrations.AddIndex(
            model_name="fulfilment",
            index=models.Index(
                condition=models.Q(("state__in", ["ACCEPTED", "MAKING", "READY"])),
                fields=["store", "due_at", "id"],
                name="delivery_queue",
            ),
        ),
        migrations.AddConstraint(
            model_name="fulfilment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["ACCEPTED", "MAKING", "READY", "HANDED_OVER", "NOT_COLLECTED", "REFUSED"])
                ),
                name="delivery_fulfilment_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="fulfilment",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["SLOT", "PICK_UP", "COURIER"])), name="delivery_fulfilment_kind"
            ),
        ),
        migrations.AddConstraint(
            model_name="fulfilment",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "ACCEPTED"), models.Q(("changed_by", ""), _negated=True), _connector="OR"),
                name="delivery_fulfilment_who",
            ),
        ),
        migrations.AddConstraint(
            model_name="fulfilment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "REFUSED"), _negated=True),
                    models.Q(("reason", ""), _negated=True),
                    _connector="OR",
                ),
                name="delivery_fulfilment_refused_why",
            ),
        ),
        migrations.CreateModel(
            name="FulfilmentMove",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveIntegerField()),
                ("source", models.CharField(max_length=13)),
                ("target", models.CharField(max_length=13)),
                ("by", models.CharField(max_length=150)),
                ("reason", models.CharField(max_length=500)),
                ("at", models.DateTimeField()),
            ],
            options={
                "ordering": ["fulfilment", "version"],
            },
        ),
        migrations.AddField(
            model_name="fulfilmentmove",
            name="fulfilment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="moves", to="delivery.fulfilment"
            ),
        ),
        migrations.AddConstraint(
            model_name="fulfilmentmove",
            constraint=models.UniqueConstraint(fields=("fulfilment", "version"), name="delivery_move_once"),
        ),
        migrations.RunSQL(
            """
            CREATE FUNCTION delivery_fulfilment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP = 'INSERT' THEN
                    IF NEW.state <> 'ACCEPTED' OR NEW.version <> 1 THEN
                        RAISE EXCEPTION 'order % begins as %', NEW.order_no, NEW.state USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                END IF;
                IF NEW.state = OLD.state THEN
                    IF NEW.version <> OLD.version THEN
                        RAISE EXCEPTION 'the version of order % grows with its state', NEW.order_no
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                END IF;
                IF NOT (
                    (OLD.state = 'ACCEPTED' AND NEW.state IN ('MAKING', 'REFUSED'))
                    OR (OLD.state = 'MAKING' AND NEW.state IN ('READY', 'REFUSED'))
                    OR (OLD.state = 'READY' AND NEW.state IN ('HANDED_OVER', 'NOT_COLLECTED', 'REFUSED'))
                ) THEN
                    RAISE EXCEPTION 'order % is %, and cannot become %', NEW.order_no, OLD.state, NEW.state
                        USING ERRCODE = 'check_violation';
                END IF;
                NEW.version := OLD.version + 1;
                NEW.changed_at := clock_timestamp();
                INSERT INTO delivery_fulfilmentmove (fulfilment_id, version, source, target, by, reason, at)
                VALUES (NEW.id, NEW.version, OLD.state, NEW.state, NEW.changed_by, NEW.reason, NEW.changed_at);
                RETURN NEW;
            END $$;
            CREATE TRIGGER delivery_fulfilment_guard BEFORE INSERT OR UPDATE OF state, version ON delivery_fulfilment
                FOR EACH ROW EXECUTE FUNCTION delivery_fulfilment_guard();
            CREATE FUNCTION delivery_move_stays() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'what was done to an order stays on record' USING ERRCODE = 'restrict_violation';
            END $$;
            CREATE TRIGGER delivery_move_stays BEFORE UPDATE OR DELETE ON delivery_fulfilmentmove
                FOR EACH ROW EXECUTE FUNCTION delivery_move_stays()
            """,
            "DROP TRIGGER delivery_move_stays ON delivery_fulfilmentmove; DROP FUNCTION delivery_move_stays(); "
            "DROP TRIGGER delivery_fulfilment_guard ON delivery_fulfilment; DROP FUNCTION delivery_fulfilment_guard()",
        ),
    ]
