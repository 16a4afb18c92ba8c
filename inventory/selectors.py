"""Reads of the stock."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from inventory.models import Sku


def menu() -> QuerySet[Sku]:
    """List what can be ordered, by code."""
    return Sku.objects.filter(active=True).order_by("code")


def skus(*, codes: Iterable[str]) -> dict[str, Sku]:
    """Read the SKUs of these codes; unknown codes are left out."""
    return {sku.code: sku for sku in Sku.objects.filter(code__in=set(codes))}
