"""Refunds have rows of their own, payments and messages name their gateway, and messages say more."""

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the columns."""

    dependencies = [("payments", "0002_guards")]
    operations = [
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("amount", models.PositiveBigIntegerField(help_text="In minor units of the payment's currency.")),
                (
                    "state",
                    models.CharField(
                        choices=[("REQUESTED", "Requested"), ("RETURNED", "Returned")],
                        default="REQUESTED",
                        max_length=9,
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[("shop", "Shop"), ("gateway", "Gateway"), ("person", "Person")],
                        default="shop",
                        max_length=7,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("taken", "Taken"),
                            ("parked", "Parked"),
                            ("too_late", "Too Late"),
                            ("duplicate", "Duplicate"),
                            ("wrong_amount", "Wrong Amount"),
                            ("wrong_currency", "Wrong Currency"),
                            ("unknown_order", "Unknown Order"),
                            ("undone", "Undone"),
                            ("not_paid", "Not Paid"),
                            ("closed", "Closed"),
                            ("refunded", "Refunded"),
                            ("disputed", "Disputed"),
                            ("conflict", "Conflict"),
                            ("another_order", "Another Order"),
                        ],
                        help_text="Why it is returned.",
                        max_length=16,
                    ),
                ),
                ("note", models.CharField(blank=True, help_text="What people have said of it.", max_length=500)),
                ("by", models.CharField(blank=True, help_text="Who wants it, or has made it by hand.", max_length=150)),
                (
                    "gateway_refund_id",
                    models.CharField(blank=True, help_text="The gateway's own id, if it has told one.", max_length=100),
                ),
                ("requested_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("returned_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-requested_at"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="payment",
            name="payments_payment_once",
        ),
        migrations.RemoveConstraint(
            model_name="payment",
            name="payments_payment_taken_has_run",
        ),
        migrations.RemoveConstraint(
            model_name="payment",
            name="payments_payment_due_back_has_run",
        ),
        migrations.RemoveConstraint(
            model_name="paymentevent",
            name="payments_paymentevent_once",
        ),
        migrations.AddField(
            model_name="payment",
            name="disputed_at",
            field=models.DateTimeField(blank=True, help_text="Since when the payer disputes it.", null=True),
        ),
        migrations.AddField(
            model_name="payment",
            name="gateway",
            field=models.CharField(default="main", max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="payment",
            name="returned_amount",
            field=models.PositiveBigIntegerField(db_default=0, default=0, help_text="Refunds that are made."),
        ),
        migrations.AddField(
            model_name="payment",
            name="returning_amount",
            field=models.PositiveBigIntegerField(db_default=0, default=0, help_text="Refunds that are under way."),
        ),
        migrations.AddField(
            model_name="payment",
            name="review_run_id",
            field=models.UUIDField(editable=False, help_text="The run in which a person decides.", null=True),
        ),
        migrations.AddField(
            model_name="paymentevent",
            name="gateway",
            field=models.CharField(default="main", max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="paymentevent",
            name="occurred_at",
            field=models.DateTimeField(help_text="When it happened, by the gateway's clock.", null=True),
        ),
        migrations.AddField(
            model_name="paymentevent",
            name="refund_amount",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="paymentevent",
            name="refund_id",
            field=models.CharField(blank=True, db_default="", default="", max_length=100),
        ),
        migrations.AlterField(
            model_name="payment",
            name="reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("taken", "Taken"),
                    ("parked", "Parked"),
                    ("too_late", "Too Late"),
                    ("duplicate", "Duplicate"),
                    ("wrong_amount", "Wrong Amount"),
                    ("wrong_currency", "Wrong Currency"),
                    ("unknown_order", "Unknown Order"),
                    ("undone", "Undone"),
                    ("not_paid", "Not Paid"),
                    ("closed", "Closed"),
                    ("refunded", "Refunded"),
                    ("disputed", "Disputed"),
                    ("conflict", "Conflict"),
                    ("another_order", "Another Order"),
                ],
                help_text="Why it is due back.",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="state",
            field=models.CharField(
                choices=[
                    ("TAKEN", "Taken"),
                    ("PARKED", "Parked"),
                    ("DUE_BACK", "Due Back"),
                    ("RETURNING", "Returning"),
                    ("RETURNED", "Returned"),
                    ("PARTLY_RETURNED", "Partly Returned"),
                    ("CONFLICT", "Conflict"),
                ],
                max_length=15,
            ),
        ),
        migrations.AlterField(
            model_name="paymentevent",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("taken", "Taken"),
                    ("parked", "Parked"),
                    ("too_late", "Too Late"),
                    ("duplicate", "Duplicate"),
                    ("wrong_amount", "Wrong Amount"),
                    ("wrong_currency", "Wrong Currency"),
                    ("unknown_order", "Unknown Order"),
                    ("undone", "Undone"),
                    ("not_paid", "Not Paid"),
                    ("closed", "Closed"),
                    ("refunded", "Refunded"),
                    ("disputed", "Disputed"),
                    ("conflict", "Conflict"),
                    ("another_order", "Another Order"),
                ],
                help_text="What it came to at first.",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(condition=models.Q(("state", "PARKED")), fields=["id"], name="payments_payment_parked"),
        ),
        migrations.AddField(
            model_name="refund",
            name="payment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="payments.payment"
            ),
        ),
    ]
