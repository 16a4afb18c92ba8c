"""Which keys of the invariants a changed row concerns; so what is published: those columns, and nothing personal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orders.reconciliation.invariants import by_walk

#: Runs of orders, by the order's id.
_OF_ORDERS = "SELECT run_id::text FROM orders_order WHERE id = ANY(%(values)s::text[]::bigint[])"
#: The orders for which a grant may have been used: a grant that is freed does not say any more for which it was.
_OF_GRANTS = """SELECT o.run_id::text FROM coupons_grant AS g
    JOIN orders_order AS o ON o.customer_id = g.customer_id AND o.coupon = g.coupon_id
    WHERE g.id = ANY(%(values)s::text[]::bigint[])"""
#: Campaigns, by the key of a decision for many runs, which other sagas may have, too.
_OF_DECISIONS = "SELECT id::text FROM campaigns_campaign WHERE id::text = ANY(%(values)s::text[])"


@dataclass(frozen=True, slots=True)
class Source:
    """A column whose values are keys of a walk.

    Attributes:
        column: its name.
        walk: the walk's.
        via: SQL that finds the keys by the values ``%(values)s``; without it, they are the keys.
        of_deleted: whether only the deletion of a row concerns them.
    """

    column: str
    walk: str
    via: str = ""
    of_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """A table that is followed.

    Attributes:
        sources: its columns that lead to keys.
        identity: the unique columns by which the log tells of a deleted row; by its primary key if there are none.
        primary: the column of the primary key.
        inserts_only: whether changes and deletions are not published: those of a table without a primary key, which is
            only added to, take all of its columns. What is done to its rows is found by the passes.
    """

    sources: Sequence[Source]
    identity: Sequence[str] = ()
    primary: str = "id"
    inserts_only: bool = False

    @property
    def columns(self) -> list[str]:
        """What is published."""
        return sorted({self.primary, *self.identity, *(source.column for source in self.sources)})

    @property
    def told_of_deleted(self) -> frozenset[str]:
        """Columns that the log has of a deleted row."""
        return frozenset(self.identity or (self.primary,))


_RUN = Source("run_id", "sagas_run.id")


def _holds(table: str, pool: str, *more: Source) -> Published:
    sources = (_RUN, Source("run_id", f"{table}.run_id"), Source("pool_key", pool), *more)
    return Published(sources, ("run_id", "step", "pool_key"))


def _pool(walk: str, *more: Source) -> Published:
    column = walk.partition(".")[2]
    return Published((Source(column, walk), *more), primary=column)


TABLES: Final[Mapping[str, Published]] = {
    "sagas_run": Published(
        (
            Source("id", "sagas_run.id"),
            Source("id", "orders_order.run_id", of_deleted=True),
            Source("id", "sagas_log.run_id", of_deleted=True),
        )
    ),
    "sagas_log": Published((_RUN, Source("run_id", "sagas_log.run_id")), inserts_only=True),
    "sagas_confirmation": Published((_RUN,), ("run_id", "name")),
    "sagas_shareddecision": Published((Source("key", "campaigns_campaign.id", _OF_DECISIONS),)),
    "orders_order": Published((_RUN, Source("run_id", "orders_order.run_id")), ("run_id",)),
    "orders_orderline": Published((Source("order_id", "sagas_run.id", _OF_ORDERS),), ("order_id", "sku")),
    "inventory_batch": _pool("inventory_batch.key", Source("sku_id", "inventory_sku.code")),
    "inventory_skuhold": _holds("inventory_skuhold", "inventory_batch.key"),
    "inventory_skuholdday": Published((Source("pool_key", "inventory_batch.key"),), ("pool_key", "day")),
    "inventory_move": Published((Source("batch", "inventory_batch.key"),)),
    "inventory_sku": _pool("inventory_sku.code"),
    "coupons_coupon": _pool("coupons_coupon.code"),
    "coupons_couponhold": _holds("coupons_couponhold", "coupons_coupon.code"),
    "coupons_grant": Published(
        (
            Source("id", "coupons_grant.id"),
            Source("replaces", "coupons_grant.id"),
            Source("coupon_id", "coupons_coupon.code"),
            Source("used_by_run", "sagas_run.id"),
            Source("id", "sagas_run.id", _OF_GRANTS),
        )
    ),
    "delivery_slot": _pool("delivery_slot.id"),
    "delivery_slothold": _holds("delivery_slothold", "delivery_slot.id"),
    "delivery_fulfilment": Published((_RUN,), ("run_id",)),
    "payments_payment": Published((_RUN, Source("id", "payments_payment.id"))),
    "payments_refund": Published((Source("id", "payments_refund.id"), Source("payment_id", "payments_payment.id"))),
    "campaigns_campaign": Published((Source("id", "campaigns_campaign.id"),)),
    "campaigns_places": _pool("campaigns_places.campaign_id", Source("campaign_id", "campaigns_campaign.id")),
    "campaigns_placehold": _holds("campaigns_placehold", "campaigns_places.campaign_id"),
    "campaigns_quota": _pool("campaigns_quota.campaign_id", Source("campaign_id", "campaigns_campaign.id")),
    "campaigns_quotahold": _holds("campaigns_quotahold", "campaigns_quota.campaign_id"),
    "campaigns_member": Published((_RUN, Source("campaign_id", "campaigns_campaign.id")), ("run_id",)),
}
WALKS: Final = {walk.name: (walk, invariants) for walk, invariants in by_walk().items()}
