"""From the page of an order's run to what the shop has about it."""

from __future__ import annotations

import re

from django.contrib.auth import get_user_model
from django.test import Client

from orders.models import Order
from tests.shop.conftest import Api, Shop


def test_the_page_of_a_run_leads_to_its_order_and_to_what_each_domain_has_of_it(shop: Shop, api: Api) -> None:
    order = Order.objects.get(order_no=api.order(shop).body["order_no"])
    operator = Client()
    operator.force_login(get_user_model()._default_manager.create_superuser("boss", password="pw"))
    text = operator.get(f"/admin/sagas/run/{order.run_id}/change/").content.decode()
    links = dict(re.findall(r'<li><a href="([^"]+)">([^<]+)</a></li>', text.partition('class="saga-links"')[2]))
    assert {"Order", "Stock that it holds", "Delivery slot", "Payment"} <= set(links.values())
    for address, name in links.items():
        assert operator.get(address).status_code == 200, name
    (address,) = [address for address, name in links.items() if name == "Order"]
    assert order.order_no in operator.get(address).content.decode()
