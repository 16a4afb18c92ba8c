"""The page of a group buy: what everybody sees who has the link, and how it follows what happens."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections
from django.test import Client
from django.utils import timezone

import sagas.watching
from campaigns import selectors, services
from campaigns.models import Campaign, Member, Places
from orders.api.protocol import event_streams
from orders.groups import deciding, live, staff, watching
from orders.groups.watching import GroupStream
from orders.models import Order
from sagas import runtime
from sagas.watching import Watch
from tests.shop.conftest import Shop, build_shop
from tests.shop.groups.conftest import a_campaign, a_customer, carry, joined, pay, time_passes
from tests.support import browser, servers
from tests.support.awaiting import eventually
from tests.support.statements import SentStatements
from tests.support.web import Web

SCREENSHOTS = servers.ROOT / ".run" / "screenshots"


@pytest.fixture
def shop(db: None) -> Shop:
    return build_shop()


def page(campaign: Campaign) -> str:
    answer = Client().get(campaign.page_path)
    assert answer.status_code == 200
    return answer.content.decode()


class Reader:
    """A browser's stream, without a server: what it is sent, as often as it is woken."""

    def __init__(self, campaign: Campaign) -> None:
        self.parts: list[str] = []
        self.ended = threading.Event()
        self._woken = threading.Event()
        self._stream = GroupStream(campaign.pk, "en")
        self._go_on()

    def read(self) -> str:
        """Read what there is, as the server does when it is called."""
        if self._woken.is_set() and not self.ended.is_set():
            self._woken.clear()
            self._go_on()
        return "".join(self.parts)

    def leave(self) -> None:
        self._watch.cancel()

    def _go_on(self) -> None:
        self._watch = self._stream.watch(self._woken.set)
        piece = self._stream.resume(over=False)
        if piece is not None:
            self.parts.append(piece.data.decode())
            if piece.ends:
                self.leave()
                self.ended.set()


@pytest.mark.usefixtures("alone")
class TestLive:
    """What watchers are told, on the real database."""

    @pytest.fixture
    def shop(self, database: None) -> Shop:
        return build_shop()

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(sagas.watching, "ASKED_EVERY", 0.01)
        monkeypatch.setattr(sagas.watching, "_LOOK_EVERY", 0.01)
        monkeypatch.setattr(sagas.watching, "_LINGER", 0.1)
        monkeypatch.setattr(watching, "standings", watching.Standings())
        yield
        if (watcher := runtime.own.watcher) is not None:
            for watched in watcher._all():
                watched.cancel()
            eventually(lambda: watcher._thread is None, what="the end of the thread")

    def test_watchers_are_told_of_changes_and_of_nothing_else(self, shop: Shop) -> None:
        campaign = a_campaign(shop)
        readers = [Reader(campaign), Reader(campaign)]
        eventually(lambda: all("Nobody yet" in reader.read() for reader in readers), what="the first event")
        joined(a_customer(), campaign)
        eventually(lambda: all("not paid yet" in reader.read() for reader in readers), what="the news")
        told = [len(reader.parts) for reader in readers]
        # When one is gone, then the other is told
        readers[0].leave()
        joined(a_customer(), campaign)
        eventually(lambda: readers[1].read().count("event: standing") > told[1] - 1, what="the news")
        assert len(readers[0].parts) == told[0]

    def test_who_reads_late_what_it_was_woken_for_still_gets_it(self, shop: Shop) -> None:
        # Given a reader that is woken, and nobody else who watches
        reader = Reader(a_campaign(shop))
        watcher = runtime.own.watcher
        assert watcher is not None
        # When the thread is gone meanwhile
        eventually(lambda: reader._woken.is_set() and watcher._thread is None, what="the reader woken")
        # Then the news is still there
        assert "Nobody yet" in reader.read()

    def test_a_settled_campaign_ends_the_stream(self, shop: Shop) -> None:
        campaign = a_campaign(shop)
        reader = Reader(campaign)
        staff.call_off(campaign_id=campaign.pk, by="boss", reason="no tea came")
        deciding.settle(campaign_id=campaign.pk)
        eventually(lambda: reader.read() and reader.ended.is_set(), what="the end")
        assert reader.parts[-1].endswith("event: end\ndata:\n\n")
        assert Client().get(f"{campaign.page_path}events/").status_code == 204

    def test_a_stream_gives_signs_of_life_and_ends_after_a_while(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_streams, "HEARTBEAT", 0.05)
        reader = Reader(a_campaign(shop))
        eventually(lambda: reader.read() and ": \n\n" in reader.parts, what="a sign of life")
        # When its time is over
        reader._stream._end = 0.0
        eventually(lambda: reader.read() and reader.ended.is_set(), what="the end")

    def test_a_read_that_fails_ends_nothing(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def breaks(**_: Any) -> Any:
            raise OperationalError("no database")

        with monkeypatch.context() as patched:
            patched.setattr(selectors, "standings", breaks)
            reader = Reader(a_campaign(shop))
            eventually(lambda: "was not looked at" in caplog.text, what="a read that failed")
            assert not reader._woken.is_set()
        # When the next read goes well, then there is news
        eventually(lambda: "Nobody yet" in reader.read(), what="the first event")

    def test_all_watched_campaigns_and_an_orders_run_are_read_by_one_thread_in_a_statement_each(
        self, shop: Shop
    ) -> None:
        # Given
        watches = [
            Watch(campaign.pk, 1e12, lambda: None, (watching._versions,), "")
            for campaign in [a_campaign(shop) for _ in range(3)] * 2
        ]
        watches += [Watch(uuid4(), 1e12, lambda: None, (sagas.watching._of_runs,)) for _ in range(2)]
        # When
        with SentStatements(connection) as captured:
            found = sagas.watching._versions(watches)
        # Then
        assert len(captured) == 2
        assert len(found) == 8


def test_the_page_says_what_is_offered_and_how_it_stands(shop: Shop) -> None:
    campaign = a_campaign(shop)
    text = page(campaign)
    for said in ("Tea together", "¥9.00", "<s>¥12.50</s>", "2 more, and the group forms.", "Nobody yet", "00:59:5"):
        assert said in text
    assert f'value="http://testserver/g/{campaign.slug}/"' in text
    # And the code is that of the link
    code = Client().get(f"{campaign.page_path}qr.svg")
    assert (code["Content-Type"], code.status_code) == ("image/svg+xml", 200)


@pytest.mark.parametrize("path", ["/g/none/", "/g/none/qr.svg", "/g/none/events/"])
def test_an_unknown_page_is_not_found(db: None, path: str) -> None:
    assert Client().get(path).status_code == 404


def test_the_page_has_a_strict_policy_and_nothing_inline(shop: Shop) -> None:
    answer = Client().get(a_campaign(shop).page_path)
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    for inline in ("style=", "<style", "onclick", "javascript:"):
        assert inline not in answer.content.decode()


def test_the_page_says_how_it_ended(shop: Shop) -> None:
    campaign = a_campaign(shop)
    services.call_off(campaign_id=campaign.pk, by="boss", reason="no tea came")
    text = page(campaign)
    assert "called off" in text
    assert "countdown" not in text
    # Why is between the shop and its staff
    assert "no tea came" not in text


def test_a_closed_page_does_not_count_down(shop: Shop) -> None:
    campaign = a_campaign(shop)
    time_passes(campaign, seconds=1)
    assert "countdown" not in page(campaign)


def test_names_are_shortened() -> None:
    assert [live.shorten(name) for name in ("", "J", "Jo", "Ann", "Martha", "王小明")] == [
        "**",
        "J**",
        "J**",
        "A**n",
        "M**a",
        "王**明",
    ]


def test_a_server_that_takes_no_streams_sends_one_event(shop: Shop) -> None:
    answer = Client().get(f"{a_campaign(shop).page_path}events/")
    text = answer.content.decode()
    assert answer["Content-Type"] == "text/event-stream"
    assert text.startswith("retry: 2000\n\nevent: standing\nid: ")
    assert text.endswith("\n\n")
    assert text.count("\n\n") == 2


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
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_follows_a_group_until_it_has_formed(database: None, width: int) -> None:
    complaints: list[str] = []
    shop = build_shop()
    campaign = a_campaign(shop, title="四季春拼团 Oolong together", minimum=3, capacity=20, quota=40)
    web = Web().await_ready()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    try:
        with browser.started() as chromium:
            tab = chromium.new_page(viewport={"width": width, "height": 844})
            tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.goto(f"http://127.0.0.1:{web.port}{campaign.page_path}")
            tab.get_by_text("3 more, and the group forms.").wait_for()
            orders: list[str] = aside(lambda: [joined(a_customer(), campaign) for _ in range(4)])
            tab.get_by_text("not paid yet").first.wait_for()
            tab.screenshot(path=SCREENSHOTS / f"group-open-{width}.png", full_page=True)
            aside(lambda: [pay(order_no) for order_no in orders[:3]])
            tab.get_by_text("The group has formed.").wait_for()
            assert tab.locator(".members li").count() == 4
            assert tab.evaluate("document.documentElement.scrollWidth") == width
            tab.screenshot(path=SCREENSHOTS / f"group-formed-{width}.png", full_page=True)
            # Without JavaScript all of it is there, too
            plain = chromium.new_context(java_script_enabled=False).new_page()
            plain.goto(f"http://127.0.0.1:{web.port}{campaign.page_path}")
            plain.get_by_text("The group has formed.").wait_for()
            assert plain.locator("#copy").is_hidden()
    finally:
        web.stop()
    assert complaints == []


def signed_in() -> tuple[Client, User]:
    customer = get_user_model()._default_manager.create(username=f"customer-{uuid4().hex[:12]}")
    client = Client()
    client.force_login(customer)
    return client, customer


def form_of(client: Client, campaign: Campaign, quantity: int = 1, **more: str) -> dict[str, str]:
    found = re.search(r'name="key" value="([^"]+)"', client.get(campaign.page_path).content.decode())
    assert found is not None
    return {"key": found[1], "quantity": str(quantity), **more}


def test_a_visitor_is_asked_to_sign_in_and_comes_back(shop: Shop) -> None:
    campaign = a_campaign(shop)
    assert f'href="/sign-in/?next={campaign.page_path}"' in page(campaign)
    for what in ("join", "leave"):
        answer = Client().post(f"{campaign.page_path}{what}/")
        assert answer["Location"] == f"/sign-in/?next={campaign.page_path}{what}/"
        # From there a login leads to the page, and does nothing
        assert signed_in()[0].get(f"{campaign.page_path}{what}/")["Location"] == campaign.page_path
    assert not Member.objects.filter(campaign=campaign).exists()


@pytest.mark.usefixtures("alone")
class TestMembership:
    """What becomes of a member's order, whose run is stepped by hand."""

    @pytest.fixture
    def shop(self, database: None) -> Shop:
        return build_shop()

    def test_a_customer_joins_by_the_page_once_sees_it_and_leaves(self, shop: Shop) -> None:
        campaign = a_campaign(shop)
        client, customer = signed_in()
        form = form_of(client, campaign, 2)
        # When the form is sent twice
        answers = [client.post(f"{campaign.page_path}join/", form) for _ in range(2)]
        # Then it is one order
        order = Order.objects.get(customer=customer)
        assert {answer["Location"] for answer in answers} == {f"/orders/{order.order_no}/"}
        # And it is seen at once, before any step is done, and when it is
        assert "Received." in client.get(campaign.page_path).content.decode()
        carry()
        shown = client.get(campaign.page_path).content.decode()
        assert "Reserved for you. Please pay." in shown
        assert "Join the group" not in shown
        # Nobody else sees it
        assert order.order_no not in page(campaign)
        # When they leave, then the place is free, and they may join again
        left = client.post(f"{campaign.page_path}leave/", follow=True).content.decode()
        assert "You have left the group buy." in left
        carry()
        again = client.get(campaign.page_path).content.decode()
        assert "Join the group" in again
        assert not Member.objects.filter(campaign=campaign).exclude(state="LEFT").exists()
        client.post(f"{campaign.page_path}join/", form_of(client, campaign))
        assert Order.objects.filter(customer=customer).count() == 2

    def test_a_member_who_has_paid_waits_for_the_group_and_stays_once_it_has_formed(self, shop: Shop) -> None:
        campaign = a_campaign(shop)
        client, customer = signed_in()
        client.post(f"{campaign.page_path}join/", form_of(client, campaign))
        carry()
        pay(Order.objects.get(customer=customer).order_no)
        assert "It is confirmed once the group has formed." in client.get(campaign.page_path).content.decode()
        pay(joined(a_customer(), campaign))
        carry()
        shown = client.get(campaign.page_path).content.decode()
        assert "Confirmed." in shown
        assert "Leave the group" not in shown
        answer = client.post(f"{campaign.page_path}leave/")
        assert answer.status_code == 409
        assert Member.objects.get(customer=customer).state == "PAID"


@pytest.mark.parametrize(
    "changes", [{"key": ""}, {"key": "mine"}, {"quantity": "0"}, {"quantity": "6"}, {"quantity": "x"}, {"coupon": "\0"}]
)
def test_an_odd_form_joins_nobody(shop: Shop, changes: dict[str, str]) -> None:
    campaign = a_campaign(shop)
    client, customer = signed_in()
    answer = client.post(f"{campaign.page_path}join/", {**form_of(client, campaign), **changes})
    assert answer.status_code == 422
    assert "The form is incomplete." in answer.content.decode()
    assert not Order.objects.filter(customer=customer).exists()


def test_who_is_too_late_or_no_member_is_told_so(shop: Shop) -> None:
    campaign = a_campaign(shop)
    client, customer = signed_in()
    told = client.post(f"{campaign.page_path}leave/", follow=True).content.decode()
    assert "You are no member of this group buy." in told
    form = form_of(client, campaign)
    time_passes(campaign, seconds=1)
    answer = client.post(f"{campaign.page_path}join/", form)
    assert answer.status_code == 409
    assert "The group buy takes no more joins." in answer.content.decode()
    assert not Order.objects.filter(customer=customer).exists()


def test_the_time_is_that_of_the_places(shop: Shop) -> None:
    campaign = a_campaign(shop, closes_at=timezone.now() + timedelta(days=2, minutes=5))
    assert "2d 00:0" in page(campaign)
    assert Places.objects.get(pk=campaign.pk).closes_at == campaign.closes_at
