"""Tables of batches, of the ledger, and of what pruned holds did; holds say when they began and ended."""

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("inventory", "0004_room"),
    ]

    operations = [
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("available", models.BigIntegerField(default=0)),
                ("held", models.BigIntegerField(default=0, editable=False)),
                ("sold", models.BigIntegerField(default=0, editable=False)),
                (
                    "settled",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        editable=False,
                        help_text="Of what is sold: that of runs that were pruned.",
                    ),
                ),
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("spoils_at", models.DateTimeField(blank=True, help_text="Empty: it never spoils.", null=True)),
                ("recalled_at", models.DateTimeField(editable=False, null=True)),
                (
                    "written_off",
                    models.BigIntegerField(db_default=0, default=0, editable=False, help_text="Thrown away."),
                ),
            ],
            options={
                "verbose_name_plural": "batches",
                "ordering": ["key"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Move",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("batch", models.CharField(max_length=64)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("OPENED", "Opened"),
                            ("RESTOCKED", "Restocked"),
                            ("ADJUSTED", "Adjusted"),
                            ("WRITTEN_OFF", "Written Off"),
                            ("RECALLED", "Recalled"),
                            ("ALLOCATED", "Allocated"),
                        ],
                        max_length=11,
                    ),
                ),
                ("available", models.BigIntegerField(default=0, help_text="By how much it changed.")),
                ("held", models.BigIntegerField(default=0)),
                ("sold", models.BigIntegerField(default=0)),
                ("written_off", models.BigIntegerField(default=0)),
                ("reason", models.CharField(max_length=200)),
                ("by", models.CharField(help_text="Who did it.", max_length=150)),
                ("allocated_to", models.CharField(blank=True, db_default="", default="", max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="SkuHoldDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("pool_key", models.CharField(max_length=64)),
                ("day", models.DateField()),
                ("taken", models.BigIntegerField(default=0, help_text="From what was available.")),
                ("sold", models.BigIntegerField(default=0, help_text="Confirmed.")),
                ("returned", models.BigIntegerField(default=0, help_text="Cancelled, and available again.")),
                ("lost", models.BigIntegerField(default=0, help_text="Cancelled, and spoiled or recalled by then.")),
            ],
            options={
                "verbose_name": "day of pruned holds",
                "verbose_name_plural": "days of pruned holds",
                "abstract": False,
            },
        ),
        migrations.AddField(
            model_name="skuhold",
            name="ended_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="skuhold",
            name="held_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="batch",
            name="sku",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="batches",
                to="inventory.sku",
                verbose_name="SKU",
            ),
        ),
        migrations.AddIndex(
            model_name="move",
            index=models.Index(fields=["batch", "at"], name="inventory_move_of_batch"),
        ),
        migrations.AddIndex(
            model_name="move",
            index=models.Index(
                condition=models.Q(("allocated_to", ""), _negated=True),
                fields=["allocated_to"],
                name="inventory_move_allocated",
            ),
        ),
        migrations.AddConstraint(
            model_name="move",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "OPENED"), ("written_off", 0)),
                    models.Q(
                        ("held", 0),
                        ("sold", 0),
                        models.Q(
                            models.Q(("available__gt", 0), ("kind", "RESTOCKED"), ("written_off", 0)),
                            models.Q(("kind", "ADJUSTED"), ("written_off", 0)),
                            models.Q(
                                (
                                    "available",
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("written_off"), "*", models.Value(-1)
                                    ),
                                ),
                                ("kind__in", ["WRITTEN_OFF", "RECALLED"]),
                                ("written_off__gte", 0),
                            ),
                            models.Q(("kind", "ALLOCATED"), ("written_off__gte", 0)),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="inventory_move_of_its_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="move",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("reason", ""), _negated=True), models.Q(("by", ""), _negated=True)),
                name="inventory_move_says_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="move",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "ALLOCATED"), models.Q(("allocated_to", ""), _negated=True)),
                    models.Q(models.Q(("kind", "ALLOCATED"), _negated=True), ("allocated_to", "")),
                    _connector="OR",
                ),
                name="inventory_move_allocated_to_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="skuholdday",
            constraint=models.UniqueConstraint(fields=("pool_key", "day"), name="inventory_skuholdday_once"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("key", models.F("sku")), _negated=True),
                fields=["sku", "spoils_at"],
                name="inventory_batch_others",
            ),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(
                condition=models.Q(("available__gte", 0)), name="inventory_batch_available_ge_0"
            ),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(condition=models.Q(("held__gte", 0)), name="inventory_batch_held_ge_0"),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(condition=models.Q(("sold__gte", 0)), name="inventory_batch_sold_ge_0"),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(
                condition=models.Q(("settled__gte", 0), ("settled__lte", models.F("sold"))),
                name="inventory_batch_sold_ge_settled",
            ),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(
                condition=models.Q(("written_off__gte", 0)), name="inventory_batch_written_off_ge_0"
            ),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("key", models.F("sku")), _negated=True),
                    models.Q(("recalled_at__isnull", True), ("spoils_at__isnull", True)),
                    _connector="OR",
                ),
                name="inventory_batch_own_never_spoils",
                violation_error_message="The SKU's own batch never spoils.",
            ),
        ),
        # Room beside each row for its next version, as in 0004.
        migrations.RunSQL(
            "ALTER TABLE inventory_batch SET (fillfactor = 50)", "ALTER TABLE inventory_batch RESET (fillfactor)"
        ),
    ]
