"""A customer's way over the pages in a real browser, on a telephone and at a desk: the servers are real, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connections

from orders.models import Order
from tests.shop.conftest import Shop, build_shop
from tests.shop.groups.conftest import _emptied, _forgotten, a_campaign, alone, carry, pay
from tests.support import browser, servers
from tests.support.web import Web

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

__all__ = ["_emptied", "_forgotten", "alone"]
SCREENSHOTS = servers.ROOT / ".run" / "screenshots"
WORD = "four seasons oolong"


def aside(work: Callable[[], Any]) -> Any:
    """Do it in another thread: Django takes that of Playwright for a coroutine's."""

    def done() -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(done).result()


@pytest.fixture
def shop(database: None, alone: None) -> Shop:
    return build_shop()


@pytest.fixture
def mei(shop: Shop) -> User:
    return get_user_model()._default_manager.create_user(f"mei-{uuid4().hex[:6]}", password=WORD)


@pytest.fixture
def web(shop: Shop) -> Iterator[Web]:
    server = Web().await_ready()
    yield server
    server.stop()


def look(tab: Page, name: str, width: int) -> None:
    """Keep a picture, and see that nothing is wider than the screen."""
    tab.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)
    wide = tab.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{name} is {wide} wide on {width}"


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("width", "language"), [(390, "zh-CN"), (1280, "en")])
def test_a_customer_signs_in_orders_pays_and_joins_a_group(
    shop: Shop, mei: User, web: Web, width: int, language: str
) -> None:
    campaign = a_campaign(shop, title="四季春拼团 Oolong together", minimum=1, capacity=20, quota=40)
    site, complaints = f"http://127.0.0.1:{web.port}", list[str]()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with browser.started() as chromium:
        context = chromium.new_context(viewport={"width": width, "height": 844}, locale=language)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        # Given somebody who follows a link, and signs in
        tab.goto(f"{site}/order/")
        look(tab, "sign-in", width)
        tab.locator("#id_username").fill(mei.get_username())
        tab.locator("#id_password").fill(WORD)
        tab.locator("main button").click()
        tab.wait_for_url("**/order/")
        # When they choose, then the page adds up
        tab.locator(f'[name="cups:{shop.tea.code}"]').fill("2")
        tab.locator("#slot").select_option(str(shop.slot.pk))
        assert tab.locator("#total").inner_text() == "¥25.00"
        look(tab, "order", width)
        # And however often they press, it is one order
        tab.locator("#place button").dblclick()
        tab.wait_for_url("**/orders/ORD-*/")
        order = aside(lambda: Order.objects.get(customer=mei))
        # Its page follows what happens, without being loaded again
        tab.evaluate("window.here = true")
        aside(carry)
        tab.locator("#live .state.awaiting_confirm").wait_for()
        assert re.fullmatch(r"\d+ s", tab.locator(".countdown").inner_text())
        look(tab, "order-to-pay", width)
        aside(lambda: pay(order.order_no, 2500))
        aside(carry)
        tab.locator("#live .state.succeeded").wait_for()
        assert tab.evaluate("window.here") is True
        look(tab, "order-confirmed", width)
        # When they join a group
        tab.goto(f"{site}{campaign.page_path}")
        look(tab, "group-to-join", width)
        tab.locator("#own button").click()
        tab.wait_for_url("**/orders/ORD-*/")
        aside(carry)
        tab.goto(f"{site}{campaign.page_path}")
        look(tab, "group-member", width)
        # Then their part of the page follows, too, as the group's does
        mine = aside(lambda: Order.objects.get(customer=mei, campaign=campaign.pk).order_no)
        aside(lambda: pay(mine))
        aside(carry)
        tab.locator("#live .formed").wait_for()
        tab.locator("#own form").wait_for(state="detached")
        look(tab, "group-formed-member", width)
        tab.goto(f"{site}/orders/")
        assert tab.locator(".orders li").count() == 2
        look(tab, "orders", width)
    assert complaints == []
