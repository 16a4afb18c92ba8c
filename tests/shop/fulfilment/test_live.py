"""The queue of a store in a real browser, at a real server: it is live, and made for fingers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections
from django.utils import timezone

from delivery.models import Fulfilment, FulfilmentKind, FulfilmentState, Slot, Store
from tests.shop.conftest import build_shop
from tests.shop.fulfilment.test_queue import waiting
from tests.support import browser, servers
from tests.support.web import Web

SCREENSHOTS = servers.ROOT / ".run" / "screenshots"


def aside(work: Callable[[], Any]) -> Any:
    """Do it in another thread: Django takes that of Playwright for a coroutine's."""

    def done() -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(done).result()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.usefixtures("database")
def test_a_queue_that_is_open_shows_what_comes_and_is_moved_by_a_finger() -> None:
    # Given a page of an empty queue, on a telephone
    complaints: list[str] = []
    shop = build_shop()
    store = Store.objects.create(code=f"s-{uuid4().hex[:8]}", name="外滩 The Bund", timezone="Asia/Shanghai")
    start = timezone.now() + timedelta(days=1)
    slot = Slot.objects.create(store=store, starts_at=start, ends_at=start + timedelta(hours=1), available=5)
    name, word = f"mei-{uuid4().hex[:6]}", "four seasons oolong"
    mei = get_user_model()._default_manager.create_user(name, password=word, is_staff=True)
    mei.user_permissions.add(Permission.objects.get(codename="fulfil", content_type__app_label="delivery"))
    web = Web().await_ready()
    url = f"http://127.0.0.1:{web.port}/staff/{store.code}/"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    try:
        with browser.started() as chromium:
            context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
            tab = context.new_page()
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.goto(url)
            tab.locator("input[name=username]").fill(name)
            tab.locator("input[name=password]").fill(word)
            tab.locator("input[name=password]").press("Enter")
            tab.get_by_role("heading", name="The Bund").wait_for()
            assert tab.locator("article").count() == 0

            # When an order comes
            work = aside(lambda: waiting(shop, FulfilmentKind.PICK_UP, slot=slot.pk))

            # Then it is shown without a reload, and its buttons are as high as a finger is wide
            tab.get_by_text(work.order_no).wait_for()
            sizes = [button.bounding_box() for button in tab.locator("article button, article a").all()]
            assert all(size is not None and size["height"] >= 44 for size in sizes)
            assert tab.evaluate("document.documentElement.scrollWidth") == 390
            tab.screenshot(path=SCREENSHOTS / "staff-live-390.png", full_page=True)

            # And a finger moves it
            tab.get_by_role("button", name="Making").tap()
            tab.get_by_role("button", name="Ready").wait_for()
            assert aside(lambda: Fulfilment.objects.get(pk=work.pk).state) == FulfilmentState.MAKING

            # When the shop does not answer, the page says that it is old
            web.stop()
            tab.get_by_text("Not up to date").wait_for()
    finally:
        web.stop()
    assert complaints == []
