"""Reads of the stock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import BigIntegerField, DurationField, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Now

from inventory.models import Sku
from inventory.participants import MARGIN
from sagas.db import array
from sagas.postgresql import prepared


def menu() -> QuerySet[Any]:
    """List the SKUs that can be ordered, by code, each with its ``available`` cups that are good for a while yet."""
    good = Q(batches__recalled_at=None) & (
        Q(batches__spoils_at=None) | Q(batches__spoils_at__gt=Now() + Value(MARGIN, DurationField()))
    )
    available = Coalesce(Sum("batches__available", filter=good), Value(0), output_field=BigIntegerField())
    return Sku.objects.filter(active=True).annotate(available=available).order_by("code")


class Offer(NamedTuple):
    """What an order needs of a SKU: the price of one cup, whether it is on the menu, and for how long it is good."""

    price_cents: int
    active: bool
    shelf_life_minutes: int | None = None


def offers(*, codes: Iterable[str]) -> dict[str, Offer]:
    """Read what is offered of these codes; unknown codes are left out."""
    return _read(_OF_CODES, {"codes": array(set(codes))})


def on_menu(*, most: int) -> dict[str, Offer]:
    """Read what is on the menu, at most so many SKUs."""
    return _read(_ON_MENU, {"most": most})


def left(*, codes: Iterable[str]) -> dict[str, int]:
    """The most cups of each SKU that a run could hold now; unknown codes are left out.

    Some of them may spoil before a slot ends, so a run may find fewer, and never more.
    """
    with connection.cursor() as cursor:
        prepared.execute(cursor, _LEFT, {"codes": array(sorted(set(codes)))}, rows=prepared.ANY)
        return {code: int(available) for code, available in cursor.fetchall()}


def _read(sql: str, params: Mapping[str, Any]) -> dict[str, Offer]:
    with connection.cursor() as cursor:
        # Not by the ORM, because every order passes here.
        prepared.execute(cursor, sql, params)
        return {code: Offer(*offered) for code, *offered in cursor.fetchall()}


_OF_CODES = (
    "SELECT code, price_cents, active, shelf_life_minutes FROM inventory_sku WHERE code = ANY(%(codes)s::varchar[])"
)
_ON_MENU = "SELECT code, price_cents, active, shelf_life_minutes FROM inventory_sku WHERE active LIMIT %(most)s::int"
# The own batches by their keys, and the others by an index in which nothing is of a SKU that does not spoil.
_LEFT = (
    "SELECT sku_id, sum(available) FROM inventory_batch WHERE (key = ANY(%(codes)s::varchar[]) OR sku_id = "
    "ANY(%(codes)s::varchar[]) AND key <> sku_id) AND recalled_at IS NULL AND (spoils_at IS NULL OR spoils_at > "
    "statement_timestamp()) GROUP BY sku_id"
)
