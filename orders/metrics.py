"""What the shop counts of orders. Its runs are counted by the engine."""

from __future__ import annotations

from sagas.metrics import Counter

ORDERS = Counter("shop_orders_total", "Orders whose fate is written.", labels={"outcome": ("confirmed", "rejected")})
REPLAYS = Counter(
    "shop_idempotent_replays_total",
    "Requests that were answered as the first one of their key.",
)
WEBHOOKS_REFUSED = Counter("shop_webhooks_refused_total", "Webhooks of gateways whose signature was wrong or too old.")
