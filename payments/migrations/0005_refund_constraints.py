"""What each state of a payment means for its refunds."""

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the constraints."""

    dependencies = [("payments", "0004_refunds_of_before")]
    operations = [
        migrations.RemoveField(
            model_name="payment",
            name="return_run_id",
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(fields=("gateway", "payment_id"), name="payments_payment_once"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "amount__gte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("returning_amount"), "+", models.F("returned_amount")
                        ),
                    )
                ),
                name="payments_payment_no_more_than_paid",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["TAKEN", "PARKED"]), _negated=True),
                    models.Q(("returned_amount", 0), ("returning_amount", 0), ("run_id__isnull", False)),
                    _connector="OR",
                ),
                name="payments_payment_taken_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "DUE_BACK"), _negated=True),
                    models.Q(
                        (
                            "amount",
                            django.db.models.expressions.CombinedExpression(
                                models.F("returning_amount"), "+", models.F("returned_amount")
                            ),
                        ),
                        ("returning_amount__gt", 0),
                        models.Q(("reason", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="payments_payment_due_back_has_refund",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "RETURNING"), _negated=True), ("returning_amount__gt", 0), _connector="OR"
                ),
                name="payments_payment_returning_has_refund",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "RETURNED"), _negated=True),
                    models.Q(("returned_amount", models.F("amount")), ("returning_amount", 0)),
                    _connector="OR",
                ),
                name="payments_payment_returned_is_all",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "PARTLY_RETURNED"), _negated=True),
                    models.Q(
                        ("returned_amount__gt", 0), ("returned_amount__lt", models.F("amount")), ("returning_amount", 0)
                    ),
                    _connector="OR",
                ),
                name="payments_payment_part_is_part",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("review_run_id__isnull", False),
                    models.Q(models.Q(("state", "CONFLICT"), _negated=True), ("disputed_at__isnull", True)),
                    _connector="OR",
                ),
                name="payments_payment_review_has_run",
            ),
        ),
        migrations.AddConstraint(
            model_name="paymentevent",
            constraint=models.UniqueConstraint(fields=("gateway", "webhook_id"), name="payments_paymentevent_once"),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="payments_refund_of_something"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                condition=models.Q(("gateway_refund_id", ""), _negated=True),
                fields=("payment", "gateway_refund_id"),
                name="payments_refund_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("returned_at__isnull", True), ("source", "shop"), ("state", "REQUESTED")),
                    models.Q(("returned_at__isnull", False), ("state", "RETURNED")),
                    _connector="OR",
                ),
                name="payments_refund_returned_at_its_time",
            ),
        ),
    ]
