"""Tables of grants, and what a coupon needs for them: a budget, kinds of discounts, limits."""

import datetime

import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import django.db.models.functions.text
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def refuse_codes_alike(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Say which codes differ by case or blanks only: from now on they would be one, and only a person can choose."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_literal(code), ', ' ORDER BY code) FROM coupons_coupon "
            "GROUP BY upper(btrim(code)) HAVING count(*) > 1 ORDER BY 1 LIMIT 5"
        )
        if alike := [found for (found,) in cursor.fetchall()]:
            msg = (
                f"coupons whose codes differ by case or blanks only: {'; '.join(alike)}. Customers could not tell them "
                "apart any more. Delete all but one of each, or give it another code, and migrate again"
            )
            raise ValueError(msg)


class Migration(migrations.Migration):
    dependencies = [
        ("coupons", "0003_one_index_of_code"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CouponHold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("run_id", models.UUIDField()),
                ("step", models.CharField(max_length=48)),
                ("pool_key", models.CharField(max_length=64)),
                ("quantity", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[("HELD", "Held"), ("CONFIRMED", "Confirmed"), ("CANCELLED", "Cancelled")],
                        default="HELD",
                        max_length=9,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "nth",
                    models.PositiveSmallIntegerField(
                        help_text="Which of the customer's grants of this coupon it is, from 1."
                    ),
                ),
                ("per_customer", models.PositiveSmallIntegerField(help_text="The coupon's limit when it was granted.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("CREATED", "Created"),
                            ("ISSUED", "Issued"),
                            ("USED", "Used"),
                            ("REFUNDING", "Refunding"),
                            ("REFUNDED", "Refunded"),
                        ],
                        max_length=9,
                    ),
                ),
                ("version", models.PositiveIntegerField(db_default=1, default=1, editable=False)),
                (
                    "lock_token",
                    models.BigIntegerField(
                        help_text="Fencing token: who comes with an older one has lost the lock.", null=True
                    ),
                ),
                (
                    "lock_expires_at",
                    models.DateTimeField(
                        help_text="When it can be used no more; while it is created: when the lock lapses.", null=True
                    ),
                ),
                (
                    "issued_by_run",
                    models.UUIDField(help_text="The run that issued it; none if it was used at once.", null=True),
                ),
                ("used_by_run", models.UUIDField(help_text="The run that uses or has used it.", null=True)),
                ("used_at", models.DateTimeField(null=True)),
                ("discount_cents", models.PositiveIntegerField(help_text="What it took off.", null=True)),
                (
                    "refund_calls",
                    models.PositiveSmallIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Calls that gave it back, up to three; broken ones count, too.",
                    ),
                ),
                ("refunded_at", models.DateTimeField(null=True)),
                ("replaces", models.BigIntegerField(help_text="Id of the refunded grant that it replaces.", null=True)),
                ("reason", models.CharField(blank=True, db_default="", default="", max_length=200)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.RunSQL(
            "CREATE SEQUENCE coupons_grant_token",
            "DROP SEQUENCE coupons_grant_token",
        ),
        migrations.RunPython(refuse_codes_alike, migrations.RunPython.noop),
        migrations.AddField(
            model_name="coupon",
            name="available",
            field=models.BigIntegerField(db_default=1, default=1, help_text="How many may still be granted."),
        ),
        migrations.AddField(
            model_name="coupon",
            name="cap_cents",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="The most that a part of the price comes to, in cents; empty for no cap.",
                null=True,
                validators=[django.core.validators.MaxValueValidator(10000000)],
                verbose_name="cap (cents)",
            ),
        ),
        migrations.AddField(
            model_name="coupon",
            name="held",
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="coupon",
            name="kind",
            field=models.CharField(
                choices=[("AMOUNT", "an amount"), ("PERCENT", "a part of the price")],
                db_default="AMOUNT",
                default="AMOUNT",
                max_length=7,
            ),
        ),
        migrations.AddField(
            model_name="coupon",
            name="minimum_cents",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="What an order must cost at least, before the discount, in cents.",
                verbose_name="minimum spend (cents)",
            ),
        ),
        migrations.AddField(
            model_name="coupon",
            name="on_group_prices",
            field=models.BooleanField(
                db_default=False, default=False, help_text="Whether it may be used on the price of a group buy."
            ),
        ),
        migrations.AddField(
            model_name="coupon",
            name="per_customer",
            field=models.PositiveSmallIntegerField(
                db_default=1,
                default=1,
                help_text="How often one customer may have it.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="coupon",
            name="percent",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Per cent of the price, rounded down to a cent; empty for an amount.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)],
            ),
        ),
        migrations.AddField(
            model_name="coupon",
            name="public",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Whether anyone who knows the code may claim and use it; if not, it must be issued to them.",
            ),
        ),
        migrations.AddField(
            model_name="coupon",
            name="settled",
            field=models.BigIntegerField(
                db_default=0, default=0, editable=False, help_text="Of what is sold: that of runs that were pruned."
            ),
        ),
        migrations.AddField(
            model_name="coupon",
            name="sold",
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="coupon",
            name="starts_at",
            field=models.DateTimeField(blank=True, help_text="From when it may be used; empty for at once.", null=True),
        ),
        migrations.AlterField(
            model_name="coupon",
            name="code",
            field=models.CharField(
                help_text="Compared without case and surrounding blanks.",
                max_length=32,
                primary_key=True,
                serialize=False,
            ),
        ),
        migrations.AlterField(
            model_name="coupon",
            name="discount_cents",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="In cents of a yuan; 0 for a part of the price.",
                validators=[django.core.validators.MaxValueValidator(10000000)],
                verbose_name="discount (cents)",
            ),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(
                condition=models.Q(("available__gte", 0)), name="coupons_coupon_available_ge_0"
            ),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(condition=models.Q(("held__gte", 0)), name="coupons_coupon_held_ge_0"),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(condition=models.Q(("sold__gte", 0)), name="coupons_coupon_sold_ge_0"),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(
                condition=models.Q(("settled__gte", 0), ("settled__lte", models.F("sold"))),
                name="coupons_coupon_sold_ge_settled",
            ),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Upper(django.db.models.functions.text.Trim("code")),
                name="coupons_coupon_code_alike",
                violation_error_message="There is a coupon whose code differs by case or blanks only.",
            ),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("starts_at__isnull", True),
                    models.Q(
                        ("starts_at__gte", datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.UTC)),
                        ("starts_at__lt", models.F("expires_at")),
                    ),
                    _connector="OR",
                ),
                name="coupons_coupon_starts_before",
                violation_error_message="A coupon starts before it expires.",
            ),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("cap_cents__isnull", True), ("kind", "AMOUNT"), ("percent__isnull", True)),
                    models.Q(("discount_cents", 0), ("kind", "PERCENT"), ("percent__gte", 1), ("percent__lte", 100)),
                    _connector="OR",
                ),
                name="coupons_coupon_kind",
                violation_error_message="Give an amount, or a percentage with or without a cap.",
            ),
        ),
        migrations.AddConstraint(
            model_name="coupon",
            constraint=models.CheckConstraint(
                condition=models.Q(("per_customer__gte", 1), ("per_customer__lte", 1000)),
                name="coupons_coupon_per_customer",
            ),
        ),
        migrations.AddConstraint(
            model_name="couponhold",
            constraint=models.UniqueConstraint(fields=("run_id", "step", "pool_key"), name="coupons_couponhold_once"),
        ),
        migrations.AddField(
            model_name="grant",
            name="coupon",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="grants",
                to="coupons.coupon",
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="customer",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.UniqueConstraint(fields=("lock_token",), name="coupons_grant_token_once"),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.UniqueConstraint(
                condition=models.Q(("replaces__isnull", False)),
                fields=("replaces",),
                name="coupons_grant_replaces_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.UniqueConstraint(
                condition=models.Q(("used_by_run__isnull", False)),
                fields=("used_by_run",),
                name="coupons_grant_used_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.UniqueConstraint(
                condition=models.Q(("issued_by_run__isnull", False)),
                fields=("issued_by_run",),
                name="coupons_grant_issued_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ("CREATED", "ISSUED", "USED", "REFUNDING"))),
                fields=("customer", "coupon", "nth"),
                name="coupons_grant_nth_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(("nth__gte", 1), ("nth__lte", models.F("per_customer"))),
                name="coupons_grant_nth_in_limit",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state", "CREATED"),
                    models.Q(("lock_expires_at__isnull", False), ("lock_token__isnull", False)),
                    _connector="OR",
                ),
                name="coupons_grant_locked",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "CREATED"), _negated=True), ("issued_by_run__isnull", False), _connector="OR"
                ),
                name="coupons_grant_created_by_run",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("discount_cents__isnull", True),
                        ("state__in", ["CREATED", "ISSUED"]),
                        ("used_at__isnull", True),
                        ("used_by_run__isnull", True),
                    ),
                    models.Q(
                        ("discount_cents__isnull", False),
                        ("state__in", ["USED", "REFUNDING", "REFUNDED"]),
                        ("used_at__isnull", False),
                        ("used_by_run__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="coupons_grant_used",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("used_at__isnull", True),
                    (
                        "used_at__lte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("lock_expires_at"), "+", models.Value(datetime.timedelta(seconds=5))
                        ),
                    ),
                    _connector="OR",
                ),
                name="coupons_grant_used_in_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("refund_calls", 0), ("state__in", ["CREATED", "ISSUED", "USED"])),
                    models.Q(
                        ("refund_calls__gte", 1), ("refund_calls__lte", 3), ("state__in", ["REFUNDING", "REFUNDED"])
                    ),
                    _connector="OR",
                ),
                name="coupons_grant_refund_calls",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("refunded_at__isnull", False), ("state", "REFUNDED")),
                    models.Q(models.Q(("state", "REFUNDED"), _negated=True), ("refunded_at__isnull", True)),
                    _connector="OR",
                ),
                name="coupons_grant_refunded",
            ),
        ),
    ]
