"""Order with the typed client that is generated from the API's document: place, follow, cancel. See README.md.

PYTHONPATH=.run/api-client python examples/api-client/order.py
"""

from __future__ import annotations

import os
import sys
from uuid import uuid4

from drinkgroup_client import AuthenticatedClient
from drinkgroup_client.api.menu import menu
from drinkgroup_client.api.orders import cancel_order, get_order, place_order
from drinkgroup_client.api.slots import slots
from drinkgroup_client.models import PlaceOrderRequest, Problem, WantedRequest


def main(url: str, token: str) -> str:
    """Order the first drink that there is, in the first slot with a place; say what became of it."""
    with AuthenticatedClient(url, token, prefix="Token", raise_on_unexpected_status=True) as client:
        drinks = menu.sync(client=client, available=True)
        times = slots.sync(client=client, available=True)
        if not isinstance(drinks, list) or not isinstance(times, list) or not drinks or not times:
            return "there is nothing to be had"
        wanted = PlaceOrderRequest(items=[WantedRequest(sku=drinks[0].sku, quantity=1)], slot=times[0].id)
        # One key for all repeats of this order, whatever the network does.
        key = str(uuid4())
        placed = place_order.sync(client=client, body=wanted, idempotency_key=key, prefer="wait=8")
        again = place_order.sync(client=client, body=wanted, idempotency_key=key)
        if placed is None or isinstance(placed, Problem):
            return f"refused: {placed.detail if placed else 'without a word'}"
        assert again is not None and not isinstance(again, Problem) and again.order_no == placed.order_no
        cancelled = cancel_order.sync(placed.order_no, client=client)
        assert cancelled is not None and not isinstance(cancelled, Problem)
        read = get_order.sync(placed.order_no, client=client)
        assert read is not None and not isinstance(read, Problem)
        return f"{placed.order_no} of {drinks[0].name}: {placed.state}, then {read.state}"


if __name__ == "__main__":
    missing = [name for name in ("DRINKGROUP_URL", "DRINKGROUP_TOKEN") if name not in os.environ]
    if missing:
        sys.exit(f"set {' and '.join(missing)}: . .run/demo.env")
    sys.stdout.write(main(os.environ["DRINKGROUP_URL"], os.environ["DRINKGROUP_TOKEN"]) + "\n")
