"""The pages in a real browser, under the strictest policy: nothing is refused, nothing runs over.

The pages are rendered first, then handed to Chromium with the static files: no server, and the data is rolled
back. Screenshots are left in .run/screenshots, to be looked at.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.test import Client
from knox.models import AuthToken

import sagas
from coupons.participants import redeem, refund
from orders import demo
from orders.models import Order
from orders.requests import Item, OrderRequest
from payments.services import SUCCEEDED, Message, receive
from sagas import Call, Operation, store
from sagas.decisions.breaker_policy import Window
from sagas.models import LevelCursor, LevelExample, LevelMinute
from sagas.observability import burning
from tests.integration.admin.conftest import ESCALATIONS, RUNS, accept, carried, escalated, held
from tests.lab.sagas import Experiment, Grouped, Keyed
from tests.support import browser, servers

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

SCREENSHOTS = servers.ROOT / ".run" / "screenshots"
#: Pixels; the screenshots are of the first.
WIDTHS = (1400, 1280, 1920)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'"
)

#: Django's own pages, which keep the policy without a change.
DJANGOS_OWN = {
    "index": "/admin/",
    "app": "/admin/sagas/",
    "new-password": "/admin/password_change/",
    "add-user": "/admin/auth/user/add/",
    "add-coupon": "/admin/coupons/coupon/add/",
    "delete-coupon": "/admin/coupons/coupon/TEATIME/delete/",
}
#: Pages of the engine, which are looked at in Chinese and on a phone.
CONSOLE = (
    "runs",
    "overview",
    "service-levels",
    "heat-map",
    "run-waiting",
    "run-confirmed",
    "run-escalated",
    "escalations",
    "breakers",
    "locks",
    "decide",
)
PHONE = 390

#: The least contrast of a label's word, by WCAG, with the background that it names for each tone.
CONTRASTS = """() => {
  const shine = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const label = document.querySelector('.saga-label');
  return Math.min(...['still', 'busy', 'held', 'undo', 'alarm', 'good', 'bad'].map(tone => {
    label.className = `saga-label saga-${tone}`;
    const style = getComputedStyle(label);
    const [one, other] = [shine(style.color), shine(style.backgroundColor)].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
  }));
}"""

pytestmark = pytest.mark.browser


def _render(boss: Client) -> dict[str, str]:
    """Every page, by the name of its screenshot, with runs in many standings."""
    confirmed, waiting, stuck = held("ORD-20261123-7K3M9QX2"), held("ORD-20261123-9ZZT4B1C"), escalated("ORD-STUCK")
    sagas.assign(escalated("ORD-TAKEN"), to="mei", by="mei")
    sagas.confirm(confirmed, "approval", {"payment_id": "pay_81", "channel": "card"})
    carried("ORD-20261123-REFUSED1", Experiment(reject=("two",)))
    accept("ORD-20261123-NEW00001")
    member = Grouped.start(Experiment(group="group-20261123-a-long-name-of-a-group"), business_key="ORD-MEMBER")
    sagas.decide(Grouped, "formed", "group-20261123-a-long-name-of-a-group", {"members": 12}, by="mei")
    sagas.decide(Grouped, "formed", "group-8", decline="2 of 10 had paid when the time for it was over", by="the clock")
    store.breakers.open_breaker("orders.PlaceOrder.reserve_inventory", step="reserve_inventory", seen=Window(88, 31))
    urls = {
        "runs": RUNS,
        "overview": f"{RUNS}overview/",
        "service-levels": f"{RUNS}service-levels/",
        "heat-map": f"{RUNS}heat-map/?saga=orders.PlaceOrder",
        "heat-map-day": f"{RUNS}heat-map/?saga=orders.PlaceOrder&time=24h&show=count",
        "run-waiting": f"{RUNS}{waiting}/change/",
        "run-confirmed": f"{RUNS}{confirmed}/change/",
        "run-escalated": f"{RUNS}{stuck}/change/",
        "escalations": ESCALATIONS,
        "breakers": "/admin/sagas/breaker/",
        "locks": "/admin/sagas/lock/",
        "decisions-for-many": "/admin/sagas/shareddecision/",
        "run-of-group": f"{RUNS}{member}/change/",
        "orders": "/admin/orders/order/",
        "skus": "/admin/inventory/sku/",
        "slots": "/admin/delivery/slot/",
        "coupons": "/admin/coupons/coupon/",
        "coupon": "/admin/coupons/coupon/TEATIME/change/",
        "grants": "/admin/coupons/grant/",
        "payments": "/admin/payments/payment/",
        "payment-events": "/admin/payments/paymentevent/",
        "tokens": "/admin/knox/authtoken/",
        "users": "/admin/auth/user/",
        "logins": "/admin/axes/accessattempt/",
        "failed-logins": "/admin/axes/accessfailurelog/",
        "access-log": "/admin/axes/accesslog/",
        **DJANGOS_OWN,
        "history": f"{RUNS}{stuck}/history/",
    }
    _fill_the_shop()
    _fill_the_counts()
    pages = {name: boss.get(url).content.decode() for name, url in urls.items()}
    chosen = {"action": "cancel_runs", "index": "0", "_selected_action": [str(waiting), str(confirmed)]}
    pages["decide"] = boss.post(RUNS, chosen).content.decode()
    chosen = {"action": "fail_runs", "index": "0", "_selected_action": [str(stuck)]}
    pages["resolve"] = boss.post(RUNS, chosen).content.decode()
    chosen = {"action": "issue", "index": "0", "_selected_action": ["TEATIME", "WELCOME1"]}
    pages["issue"] = boss.post(urls["coupons"], chosen).content.decode()
    return pages


def _fill_the_counts() -> None:
    """A day of counted orders, of which the last ones are late, with an incident that is open."""
    now = store.runs.clock().replace(second=0, microsecond=0)
    levels = {"since": now, "after": 0, "upto": None, "judged_at": None, "judged_after": None}
    LevelCursor.objects.update_or_create(pk=1, defaults=levels)
    steps = ("create_order.forward", "reserve_inventory.try", "apply_coupon.forward", "schedule_delivery.try")
    back = ("reserve_inventory.cancel", "create_order.compensate")
    for minutes in range(0, 1440, 20):
        slow = minutes < 40
        at = now - timedelta(minutes=minutes)
        numbers = [("objective", "settled", "late" if slow else "good", 3, 30.0), ("run", "", "SUCCEEDED", 7, 300.0)]
        numbers += [("stage", "claim", "EVENT", 0, 0.4), ("undo", "", "FAILED", 8, 90.0)]
        numbers += [("stage", step, "DONE", 9 if slow and "inventory" in step else 2, 4.0) for step in steps]
        numbers += [("stage", step, "DONE", 1, 0.5) for step in back]
        numbers += [("stage", "reserve_inventory.try", "FAULT", 9, 90.0)] if slow else []
        LevelMinute.objects.bulk_create(
            LevelMinute(
                saga="orders.PlaceOrder",
                subject=subject,
                minute=at,
                name=name,
                outcome=outcome,
                bucket=bucket,
                number=1000,
                seconds=1000 * seconds / 100,
            )
            for subject, name, outcome, bucket, seconds in numbers
        )
    LevelExample.objects.create(
        saga="orders.PlaceOrder",
        subject="fault",
        minute=now,
        fingerprint=uuid4(),
        name="reserve_inventory.try",
        code="OperationalError",
        text="connection to server at # port # failed: FATAL: sorry, too many clients already",
        number=1834,
        run_id=uuid4(),
    )
    assert burning.judge(every=0.0)


def _fill_the_shop() -> None:
    """Rows as wide as they come."""
    demo.seed()
    customer = get_user_model()._default_manager.create(username="a-customer-with-a-long-name@shop.example")
    for number in range(3):
        order_no = f"ORD-20261123-7K3M9Q{number:02d}"
        run_id = uuid4()
        Order.objects.create(
            order_no=order_no,
            run_id=run_id,
            customer=customer,
            slot=1234,
            coupon="WELCOME-TO-THE-WINTER",
            total_cents=1,
        )
    _grant(customer.pk)
    AuthToken.objects.create(user=customer)
    login = {
        "username": customer.username,
        "ip_address": "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0",
        "http_accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "path_info": "/admin/login/",
    }
    AccessAttempt.objects.create(
        **login, get_data="next=/admin/", post_data="username=a-customer", failures_since_start=3
    )
    AccessFailureLog.objects.create(**login)
    AccessLog.objects.create(**login)
    paid = Message(
        webhook_id="msg_0f3d3c1e-0a34-4f45-8a4e-7f5e2d6c9b10",
        body="{}",
        order_no="ORD-20261123-OF-NOBODYS-OWN-SHOP",
        payment_id="gateway-payment-3f0c9d41-6a51-4f8e-9f0b-6d1f5d0b1c77",
        amount=12_345_678_900,
        currency="CNY",
        status=SUCCEEDED,
    )
    receive(paid, bill=None)
    for _ in range(2):
        sagas.start(Keyed, Experiment(keys=("SKU-OF-A-LONG-NAME:2026-11-23:warehouse-of-the-north",)))


def _grant(customer_id: int) -> None:
    """A coupon that was used and came back, and is used again."""
    tea = (Item("MILKTEA-M", 2, 1600),)
    request = OrderRequest("ORD-1", customer_id, tea, 1, "TEATIME", 300)
    calls = [Call(uuid4(), "apply_coupon", Operation.FORWARD, 1, request) for _ in range(3)]
    redeem.many(calls[:2])
    refund.many(calls[:1])
    redeem.many(calls[2:])


class Tab:
    """A tab that shows pages which were rendered before, and counts what the browser complains of."""

    def __init__(self, chromium: Browser, pages: Mapping[str, str], catalogue: bytes) -> None:
        self.complaints: list[str] = []
        self._pages, self._catalogue = pages, catalogue
        self.page = chromium.new_page()
        self.page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.route("**/*", self._answer)

    def _answer(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.startswith("/static/"):
            file = finders.find(path.removeprefix("/static/"))
            assert isinstance(file, str), path
            kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
            route.fulfill(body=Path(file).read_bytes(), content_type=kind)
        elif path == "/admin/jsi18n/":
            route.fulfill(body=self._catalogue, content_type="text/javascript")
        elif path == f"{RUNS}overview/live/":
            route.fulfill(status=304)
        else:
            headers = {"Content-Security-Policy": POLICY}
            body = self._pages[path.strip("/")]
            route.fulfill(body=body, content_type="text/html; charset=utf-8", headers=headers)

    def show(self, name: str, *, width: int, scheme: Literal["light", "dark"] = "light") -> None:
        """Show a page on a screen of this width."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": 900})
        if urlsplit(self.page.url).path != f"/{name}":
            self.page.goto(f"http://admin.test/{name}")

    def runs_over(self) -> bool:
        """Whether the page scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def keep(self, name: str) -> None:
        """Leave a screenshot, to be looked at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_the_pages_look_right_and_need_nothing_inline(boss: Client) -> None:
    pages, catalogue = _render(boss), boss.get("/admin/jsi18n/").content
    with browser.started() as chromium:
        tab = Tab(chromium, pages, catalogue)
        for name in pages:
            for scheme in SCHEMES:
                tab.show(name, width=WIDTHS[0], scheme=scheme)
                tab.keep(f"{name}-{scheme}")
                # The page does not scroll sideways, and no list is cut, on the screens that people have.
                for width in WIDTHS if scheme == "light" else WIDTHS[:1]:
                    tab.show(name, width=width, scheme=scheme)
                    assert not tab.runs_over(), (name, width)
                    cut = tab.page.evaluate(
                        "[...document.querySelectorAll('.results')].map(e => e.scrollWidth - e.clientWidth)"
                    )
                    assert all(pixels <= 0 for pixels in cut), (name, width, cut)
                for label in tab.page.locator(".saga-label").all():
                    assert label.evaluate("e => getComputedStyle(e).backgroundColor") != "rgba(0, 0, 0, 0)"
    assert tab.complaints == []


def test_the_engines_pages_are_read_in_chinese_and_on_a_phone(boss: Client) -> None:
    boss.defaults["HTTP_ACCEPT_LANGUAGE"] = "zh-CN"
    pages, catalogue = _render(boss), boss.get("/admin/jsi18n/").content
    with browser.started() as chromium:
        tab = Tab(chromium, pages, catalogue)
        for name in CONSOLE:
            assert '<html lang="zh-hans"' in pages[name]
            tab.show(name, width=WIDTHS[0])
            tab.keep(f"{name}-zh")
            for scheme in SCHEMES:
                tab.show(name, width=PHONE, scheme=scheme)
                tab.keep(f"{name}-zh-phone-{scheme}")
                assert not tab.runs_over(), name
    assert tab.complaints == []


def test_a_label_and_its_background_are_told_apart_in_both_themes(boss: Client) -> None:
    pages = {"run": boss.get(f"{RUNS}{escalated('ORD-1')}/change/").content.decode()}
    with browser.started() as chromium:
        tab = Tab(chromium, pages, b"")
        for scheme in SCHEMES:
            tab.show("run", width=WIDTHS[0], scheme=scheme)
            assert tab.page.evaluate(CONTRASTS) >= 4.5
            # A shape tells the states apart, besides word and colour
            shapes = "[...document.querySelectorAll('.saga-label')].map(e => getComputedStyle(e, '::before').content)"
            assert all(len(shape) > 2 for shape in tab.page.evaluate(shapes))
    assert tab.complaints == []
