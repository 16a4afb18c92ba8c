"""A store's queue, by its API and its page: who may see and move it, and what a refusal does to the money."""

from __future__ import annotations

import mimetypes
from datetime import time, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles import finders
from django.test import Client
from django.utils import timezone

from delivery import services
from delivery.models import Fulfilment, FulfilmentKind, FulfilmentState, OpeningHours, Slot, SlotHold, Store
from delivery.participants import slots
from orders import demo
from orders.models import Order, OrderRefund
from orders.services import receive_payment
from payments.models import Payment
from payments.services import SUCCEEDED, Message
from sagas.testing import given_run
from tests.shop.conftest import ORDERS, Api, Shop
from tests.shop.domains.test_participants import ask
from tests.support import browser, servers

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Route

pytestmark = pytest.mark.django_db
QUEUE = "/api/v1/fulfilments/"
SCREENSHOTS = servers.ROOT / ".run" / "screenshots"
POLICY = "default-src 'none'; script-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'"


@pytest.fixture
def mei() -> User:
    user = get_user_model()._default_manager.create(username=f"mei-{uuid4().hex[:6]}")
    user.user_permissions.add(Permission.objects.get(codename="fulfil", content_type__app_label="delivery"))
    return user


@pytest.fixture
def staff(mei: User) -> Api:
    return Api(demo.token(customer=mei))


@pytest.fixture
def page(mei: User) -> Client:
    client = Client()
    client.force_login(mei)
    return client


def paid(api: Api, shop: Shop) -> Fulfilment:
    """A confirmed order, with its payment."""
    order_no = api.order(shop).body["order_no"]
    run_id = Order.objects.get(order_no=order_no).run_id
    word = uuid4().hex
    receive_payment(message=Message(f"msg-{word}", "{}", order_no, f"pay-{word}", 2500, "CNY", SUCCEEDED))
    given_run(run_id).then_succeeded()
    return Fulfilment.objects.get(run_id=run_id)


def waiting(
    shop: Shop, kind: FulfilmentKind = FulfilmentKind.SLOT, *states: FulfilmentState, slot: int = 0
) -> Fulfilment:
    call = ask(shop, slot=slot)
    slots.try_.many([call])
    slots.confirm.many([call])
    Fulfilment.objects.filter(run_id=call.run_id).update(kind=kind)
    found = Fulfilment.objects.get(run_id=call.run_id)
    for state in states:
        found = services.move(order_no=found.order_no, to=state, version=found.version, by="mei")
    return found


def listed_by(staff: Api) -> list[dict[str, Any]]:
    """The whole queue of the store, page by page."""
    page = staff.get(f"{QUEUE}?store=main&limit=100").body
    found: list[dict[str, Any]] = page["results"]
    while page["next"]:
        page = staff.get(page["next"]).body
        found += page["results"]
    return found


# -- The API ----------------------------------------------------------------------------------------------------


def test_staff_moves_an_order_to_its_customer(staff: Api, api: Api, shop: Shop, mei: User) -> None:
    work = paid(api, shop)
    (listed,) = [one for one in listed_by(staff) if one["order_no"] == work.order_no]
    assert listed["items"] == [{"sku": shop.tea.code, "quantity": 2}]
    assert (listed["state"], listed["version"], listed["kind"]) == ("ACCEPTED", 1, "SLOT")
    for version, to in enumerate(("MAKING", "READY", "HANDED_OVER"), 1):
        moved = staff.post(f"{QUEUE}{work.order_no}/move/", {"to": to, "version": version})
        assert moved.status == 200
        assert (moved.body["state"], moved.body["version"]) == (to, version + 1)
        assert moved.body["changed_by"] == mei.username
    # It is in the queue no more
    assert work.order_no not in [one["order_no"] for one in listed_by(staff)]


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"to": "READY", "version": 1}, 409, "illegal-move"),
        ({"to": "MAKING", "version": 2}, 409, "stale-version"),
        ({"to": "REFUSED", "version": 1}, 422, "reason-missing"),
        ({"to": "REFUSED", "version": 1, "reason": "   "}, 422, "reason-missing"),
        ({"to": "ACCEPTED", "version": 1}, 422, "invalid-request"),
        ({"to": "MAKING", "version": "1"}, 422, "invalid-request"),
        ({"to": "MAKING", "version": 1, "force": True}, 422, "unknown-field"),
    ],
)
def test_a_move_that_cannot_be_is_refused(
    staff: Api, shop: Shop, body: dict[str, object], status: int, problem: str
) -> None:
    work = waiting(shop)
    answer = staff.post(f"{QUEUE}{work.order_no}/move/", body)
    assert (answer.status, answer.problem) == (status, problem)
    assert Fulfilment.objects.get(pk=work.pk).version == 1


def test_only_staff_sees_a_queue_and_moves_what_is_in_it(api: Api, anyone: Api, staff: Api, shop: Shop) -> None:
    work = waiting(shop)
    for client, status in ((api, 403), (anyone, 401)):
        assert client.get(f"{QUEUE}?store=main").status == status
        assert client.post(f"{QUEUE}{work.order_no}/move/", {"to": "MAKING", "version": 1}).status == status
    assert staff.get(f"{QUEUE}?store=nowhere").problem == "store-not-found"
    for query in ("", "?store=%00"):
        assert staff.get(f"{QUEUE}{query}").problem == "invalid-parameter"
    assert staff.post(f"{QUEUE}NO-SUCH/move/", {"to": "MAKING", "version": 1}).problem == "fulfilment-not-found"


def test_what_a_store_refuses_is_paid_back(staff: Api, api: Api, shop: Shop) -> None:
    work = paid(api, shop)
    refused = staff.post(f"{QUEUE}{work.order_no}/move/", {"to": "REFUSED", "version": 1, "reason": "no milk left"})
    assert (refused.status, refused.body["reason"]) == (200, "no milk left")
    payment = Payment.objects.get(order_no=work.order_no)
    assert OrderRefund.objects.get(order__order_no=work.order_no).amount == payment.amount
    # A second refusal finds it refused, and pays nothing back
    again = staff.post(f"{QUEUE}{work.order_no}/move/", {"to": "REFUSED", "version": 1, "reason": "no milk left"})
    assert again.problem == "stale-version"


# -- Another slot -----------------------------------------------------------------------------------------------


def test_a_customer_takes_another_slot(api: Api, stranger: Api, shop: Shop) -> None:
    work = paid(api, shop)
    slot = Slot.objects.create(
        starts_at=shop.slot.starts_at, ends_at=shop.slot.ends_at.replace(microsecond=1), available=1
    )
    url = f"{ORDERS}{work.order_no}/rebook/"
    assert stranger.post(url, {"slot": slot.pk}).problem == "order-not-found"
    for _ in range(2):
        answer = api.post(url, {"slot": slot.pk})
        assert (answer.status, answer.body) == (200, {"order_no": work.order_no, "slot": slot.pk})
        assert answer.headers["X-Saga-ID"] == str(work.run_id)
    assert Order.objects.get(order_no=work.order_no).slot == slot.pk
    assert SlotHold.objects.get(run_id=work.run_id).pool_key == str(slot.pk)
    # Back to where there is no room
    Slot.objects.filter(pk=shop.slot.pk).update(available=0)
    assert api.post(url, {"slot": shop.slot.pk}).problem == "slot-unusable"


def test_an_order_that_is_not_confirmed_keeps_its_slot(api: Api, shop: Shop) -> None:
    order_no = api.order(shop).body["order_no"]
    assert api.post(f"{ORDERS}{order_no}/rebook/", {"slot": shop.slot.pk}).problem == "not-rebookable"
    assert api.post(f"{ORDERS}{order_no}/rebook/", {"slot": 0}).problem == "invalid-request"


# -- The page ---------------------------------------------------------------------------------------------------


def form(work: Fulfilment, to: str, **more: str) -> dict[str, str]:
    return {"order_no": work.order_no, "version": str(work.version), "to": to, **more}


def test_the_page_shows_what_is_to_be_made_and_moves_it(page: Client, shop: Shop) -> None:
    work = waiting(shop)
    shown = page.get("/staff/", follow=True).content.decode()
    assert work.order_no in shown
    assert "Tea" in shown
    after = page.post("/staff/main/move/", form(work, "MAKING"), follow=True).content.decode()
    assert f"{work.order_no} is making." in after
    # Who comes too late is told so, and nothing is moved
    late = page.post("/staff/main/move/", form(work, "MAKING"), follow=True).content.decode()
    assert "Somebody was faster" in late
    assert Fulfilment.objects.get(pk=work.pk).version == 2


def test_the_page_tells_the_time_by_the_stores_own_clock(page: Client, shop: Shop) -> None:
    store = Store.objects.create(code="berlin", name="Berlin", timezone="Europe/Berlin")
    start = timezone.now().replace(hour=20, minute=15) + timedelta(days=30)
    slot = Slot.objects.create(store=store, starts_at=start, ends_at=start + timedelta(hours=1), available=1)
    call = ask(shop, slot=slot.pk)
    slots.try_.many([call])
    slots.confirm.many([call])
    shown = page.get("/staff/berlin/").content.decode()
    assert f">{start.astimezone(store.zone):%H:%M}</time>" in shown
    assert call.request.order_no not in page.get("/staff/main/").content.decode()


def test_the_page_asks_for_the_reason_of_a_refusal(page: Client, shop: Shop) -> None:
    work = waiting(shop)
    assert "gets the money back" in page.get(f"/staff/main/refuse/{work.order_no}/").content.decode()
    without = page.post("/staff/main/move/", form(work, "REFUSED", reason=" "))
    assert (without.status_code, "Give a reason" in without.content.decode()) == (422, True)
    page.post("/staff/main/move/", form(work, "REFUSED", reason="no milk"))
    assert Fulfilment.objects.get(pk=work.pk).reason == "no milk"


@pytest.mark.parametrize(
    "sent", [{}, {"to": "LOST"}, {"to": "MAKING", "version": "x"}, {"to": "MAKING", "version": "1", "order_no": "\0"}]
)
def test_an_odd_form_is_refused(page: Client, shop: Shop, sent: dict[str, str]) -> None:
    assert page.post("/staff/main/move/", sent).status_code == 400


def test_the_page_is_for_staff(shop: Shop, mei: User) -> None:
    anyone, customer = Client(), Client()
    customer.force_login(shop.customer)
    for url in ("/staff/", "/staff/main/", "/staff/main/slots/"):
        assert anyone.get(url).status_code == 302
        assert customer.get(url).status_code == 403
    assert anyone.post("/staff/main/move/").status_code == 302
    assert customer.post("/staff/main/move/").status_code == 403
    guarded = Client(enforce_csrf_checks=True)
    guarded.force_login(mei)
    assert guarded.post("/staff/main/move/", form(waiting(shop), "MAKING")).status_code == 403


def test_the_page_that_is_open_is_told_whether_the_queue_is_another_one(page: Client, shop: Shop) -> None:
    # Given
    first = page.get("/staff/main/")
    known = {"If-None-Match": first.headers["ETag"]}
    assert page.get("/staff/main/", headers=known).status_code == 304
    assert f'data-etag="{first.headers["ETag"].replace(chr(34), "&quot;")}"' in first.content.decode()

    # When an order comes, is moved, and leaves
    seen = [first.headers["ETag"]]
    work = waiting(shop)
    seen.append(page.get("/staff/main/", headers=known).headers["ETag"])
    for to in (FulfilmentState.MAKING, FulfilmentState.READY, FulfilmentState.NOT_COLLECTED):
        work = services.move(order_no=work.order_no, to=to, version=work.version, by="mei")
        seen.append(page.get("/staff/main/", headers={"If-None-Match": seen[-1]}).headers["ETag"])

    # Then each is another version, and an empty queue is the first
    assert len(set(seen[:-1])) == len(seen) - 1
    assert seen[-1] == seen[0]


def test_the_page_makes_the_slots_of_a_day(page: Client, shop: Shop) -> None:
    store = Store.objects.create(code=f"s-{uuid4().hex[:8]}", name="Bund", timezone="Asia/Shanghai")
    url = f"/staff/{store.code}/slots/"
    assert "no opening hours yet" in page.get(url).content.decode()
    for weekday in OpeningHours.Weekday.values:
        OpeningHours.objects.create(store=store, weekday=weekday, opens=time(10), closes=time(12))
    day = timezone.now().astimezone(store.zone).date() + timedelta(days=2)
    made = page.post(url, {"day": str(day), "minutes": "60", "capacity": "7"}, follow=True).content.decode()
    assert "2 slots were made." in made
    assert made.count("0 of 7 taken") == 2
    assert "10:00–11:00" in made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"day": "soon"}, "Choose a day"),
        ({"day": "2020-01-01"}, "past"),
        ({"minutes": "x"}, "5 to 1440"),
        ({"minutes": "99999999999"}, "5 to 1440"),
        ({"capacity": "0"}, "1 to 1000000"),
        ({"capacity": "-3"}, "1 to 1000000"),
    ],
)
def test_a_form_for_slots_that_makes_no_sense_says_so(
    page: Client, shop: Shop, changes: dict[str, str], said: str
) -> None:
    before = Slot.objects.count()
    day = timezone.now().date() + timedelta(days=2)
    answer = page.post("/staff/main/slots/", {"day": str(day), "minutes": "60", "capacity": "7", **changes})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    # What was typed is still there
    assert "".join(f'value="{value}"' for value in changes.values()) in answer.content.decode()
    assert Slot.objects.count() == before


def _note(complaints: list[str], message: ConsoleMessage) -> None:
    complaints.append(message.text)


@pytest.mark.browser
def test_the_pages_look_right_on_a_telephone_and_a_desk(page: Client, shop: Shop) -> None:
    Store.objects.create(code="bund", name="外滩 The Bund", timezone="Asia/Shanghai")
    waiting(shop)
    waiting(shop, FulfilmentKind.PICK_UP)
    waiting(shop, FulfilmentKind.COURIER, FulfilmentState.MAKING)
    ready = waiting(shop, FulfilmentKind.PICK_UP, FulfilmentState.MAKING, FulfilmentState.READY)
    pages = {
        "staff-stores": page.get("/staff/"),
        "staff-queue": page.get("/staff/main/"),
        "staff-slots": page.get("/staff/main/slots/"),
        "staff-refuse": page.get(f"/staff/main/refuse/{ready.order_no}/"),
    }
    texts = {name: answer.content.decode() for name, answer in pages.items()}
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def serve(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.strip("/") in texts:
            headers = {"Content-Security-Policy": POLICY, "Content-Type": "text/html; charset=utf-8"}
            route.fulfill(body=texts[path.strip("/")], headers=headers)
            return
        found = finders.find(path.removeprefix("/static/"))
        assert isinstance(found, str), path
        route.fulfill(body=Path(found).read_bytes(), content_type=mimetypes.guess_type(found)[0] or "")

    with browser.started() as chromium:
        # Without JavaScript
        for width in (390, 1400):
            context = chromium.new_context(viewport={"width": width, "height": 900}, java_script_enabled=False)
            opened = context.new_page()
            complaints: list[str] = []
            opened.on("console", partial(_note, complaints))
            opened.route("**/*", serve)
            for name in texts:
                opened.goto(f"http://shop.test/{name}")
                opened.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)
                wide = opened.locator("html").evaluate("html => html.scrollWidth")
                assert wide <= width, f"{name} is {wide} wide on {width}"
            assert not complaints
