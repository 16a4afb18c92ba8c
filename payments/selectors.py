"""Reads: the payments of an order."""

from __future__ import annotations

from django.db.models import QuerySet

from payments.models import Payment


def payments_of(*, order_no: str) -> QuerySet[Payment]:
    """List the payments that the gateway has reported for an order, oldest first."""
    return Payment.objects.filter(order_no=order_no).order_by("id")


def version_of(*, order_no: str) -> str:
    """A text that is another one after each change of an order's payments."""
    return "-".join(f"{pk}{state}" for pk, state in payments_of(order_no=order_no).values_list("id", "state"))
