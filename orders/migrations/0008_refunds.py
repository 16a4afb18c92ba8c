"""Refunds of orders: their rows, what is refunded of each line, and each line's share of the discount."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0007_campaign"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="OrderRefund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(help_text="A repeat under the same key is the same refund.", max_length=255)),
                ("run_id", models.UUIDField(editable=False)),
                ("amount", models.PositiveBigIntegerField(help_text="In minor units.")),
                ("whole", models.BooleanField(help_text="Whether nothing of the order is left.")),
                ("lines", models.JSONField(help_text="The cups that are refunded, by SKU.")),
                ("reason", models.CharField(max_length=500)),
                ("by", models.CharField(max_length=150)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AlterModelOptions(
            name="order",
            options={"ordering": ["-id"], "permissions": [("refund_order", "Can refund orders")]},
        ),
        migrations.AddField(
            model_name="order",
            name="refunded_cents",
            field=models.PositiveBigIntegerField(
                db_default=0, default=0, help_text="What is refunded of it, since it was confirmed."
            ),
        ),
        migrations.AddField(
            model_name="orderline",
            name="discount_cents",
            field=models.PositiveIntegerField(
                db_default=0, default=0, help_text="The line's share of the order's discount."
            ),
        ),
        migrations.AddField(
            model_name="orderline",
            name="refunded_quantity",
            field=models.PositiveIntegerField(db_default=0, default=0, help_text="Cups that are refunded."),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("refunded_cents", 0),
                    models.Q(("refunded_cents__lte", models.F("total_cents")), ("status", "CONFIRMED")),
                    _connector="OR",
                ),
                name="orders_order_refunded_at_most",
            ),
        ),
        migrations.AddConstraint(
            model_name="orderline",
            constraint=models.CheckConstraint(
                condition=models.Q(("refunded_quantity__lte", models.F("quantity"))),
                name="orders_orderline_refunded_at_most",
            ),
        ),
        migrations.AddField(
            model_name="orderrefund",
            name="order",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="orders.order"
            ),
        ),
        migrations.AddConstraint(
            model_name="orderrefund",
            constraint=models.UniqueConstraint(fields=("order", "key"), name="orders_orderrefund_once"),
        ),
        migrations.AddConstraint(
            model_name="orderrefund",
            constraint=models.UniqueConstraint(fields=("run_id",), name="orders_orderrefund_run_once"),
        ),
    ]
