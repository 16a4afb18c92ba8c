"""Reads: the payments of an order."""

from __future__ import annotations

from django.db.models import QuerySet

from payments.models import Payment


def payments_of(*, order_no: str) -> QuerySet[Payment]:
    """List the payments that the gateway has reported for an order, oldest first."""
    return Payment.objects.filter(order_no=order_no).order_by("id")
