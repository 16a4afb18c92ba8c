"""What the shop has about a run of an order, for the run's page in the admin: links to the pages of each domain.

They lead to lists that search by a key which has an index. Nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

import sagas
from orders.sagas import PLACING, ChargeOrder, JoinCampaign


def links_of_an_order(run: sagas.LinkedRun) -> Iterator[tuple[str, str]]:
    """Its order, the stock that it holds, its coupon, its slot, its payment."""
    request = run.request if isinstance(run.request, dict) else {}
    yield _("Order"), _list("orders_order", run.run_id)
    yield _("Stock that it holds"), _list("inventory_skuhold", run.run_id)
    if request.get("coupon"):
        yield _("Coupon"), _list("coupons_grant", run.run_id)
    if request.get("slot"):
        yield _("Delivery slot"), _list("delivery_slot", request["slot"])
    if run.business_key:
        yield _("Payment"), _list("payments_payment", run.business_key)


def _list(page: str, key: object) -> str:
    return f"{reverse(f'admin:{page}_changelist')}?{urlencode({'q': key})}"


for _saga in (*PLACING, ChargeOrder, JoinCampaign):
    sagas.run_links(saga=_saga)(links_of_an_order)
