"""Orders that are picked up, or that a courier brings: a real courier service, which is slow, fails and forgets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from delivery.courier import logistics
from delivery.models import Fulfilment
from orders import demo
from orders.models import Order
from sagas import erase
from sagas.models import Run
from sagas.selectors import visible_request
from sagas.testing import given_run
from tests.shop.conftest import Api, Shop
from tests.support.courier import Courier

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = {"recipient": "Li Mei", "phone": "+86 21 5555 0100", "street": "Nanjing Road 1", "city": "200001 Shanghai"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Courier]:
    found = Courier(tmp_path_factory.mktemp("courier")).start()
    yield found
    found.stop()


@pytest.fixture
def courier(service: Courier, settings: Settings) -> Iterator[Courier]:
    settings.COURIER_URL = service.url
    yield service
    service.switch()


@pytest.fixture
def customer(lasting_shop: Shop) -> Api:
    return Api(demo.token(customer=lasting_shop.customer))


def order(api: Api, shop: Shop, **fulfilment: Any) -> UUID:
    answer = api.order(shop, fulfilment=fulfilment)
    assert answer.status == 202, answer.body
    run_id: UUID = Order.objects.get(order_no=answer.body["order_no"]).run_id
    return run_id


def test_what_is_picked_up_calls_no_courier(customer: Api, lasting_shop: Shop, courier: Courier) -> None:
    courier.switch(full=True)
    run_id = order(customer, lasting_shop, kind="PICK_UP")
    given_run(run_id).when_confirmed().then_succeeded().then_skipped("book_courier")
    assert courier.state(run_id) == ""
    assert Fulfilment.objects.get(run_id=run_id).kind == "PICK_UP"
    order_no = Order.objects.get(run_id=run_id).order_no
    steps = {step["name"]: step["state"] for step in customer.get(f"/api/v1/orders/{order_no}/").body["steps"]}
    assert (steps["book_courier"], steps["schedule_delivery"]) == ("skipped", "confirmed")


@pytest.mark.parametrize("wrong", [{}, {"fail": 2}, {"forget": 2}], ids=["nothing", "fails", "forgets"])
def test_a_courier_is_booked_and_confirmed_once(
    customer: Api, lasting_shop: Shop, courier: Courier, wrong: dict[str, int]
) -> None:
    run_id = order(customer, lasting_shop, kind="COURIER", address=ADDRESS)
    courier.switch(**wrong)
    given_run(run_id).then_waits()
    assert courier.state(run_id) == "BOOKED"
    courier.switch(**wrong)
    given_run(run_id).when_confirmed().then_succeeded()
    assert courier.state(run_id) == "CONFIRMED"
    assert Fulfilment.objects.get(run_id=run_id).kind == "COURIER"


def test_a_courier_that_is_not_free_undoes_the_order(customer: Api, lasting_shop: Shop, courier: Courier) -> None:
    courier.switch(full=True)
    run_id = order(customer, lasting_shop, kind="COURIER", address=ADDRESS)
    # What another system has rejected is undone there, too: that comes to nothing
    given_run(run_id).then_because("NoCourier").then_compensated(
        "book_courier", "schedule_delivery", "apply_coupon", "reserve_inventory", "create_order"
    )
    lasting_shop.slot.refresh_from_db()
    assert (lasting_shop.slot.available, lasting_shop.slot.held) == (50, 0)


@pytest.mark.parametrize("wrong", [{}, {"fail": 2}, {"forget": 2}], ids=["nothing", "fails", "forgets"])
def test_an_order_that_is_cancelled_frees_its_courier(
    customer: Api, lasting_shop: Shop, courier: Courier, wrong: dict[str, int]
) -> None:
    run_id = order(customer, lasting_shop, kind="COURIER", address=ADDRESS)
    given_run(run_id).then_waits()
    assert courier.state(run_id) == "BOOKED"
    courier.switch(**wrong)
    given_run(run_id).when_cancelled().then_failed()
    assert courier.state(run_id) == "CANCELLED"


def test_a_courier_that_answers_too_late_is_booked_and_confirmed_once(
    customer: Api, lasting_shop: Shop, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a service that begins when nobody waits any more, and says until then that nothing has come
    monkeypatch.setattr(logistics, "_timeout", 0.4)
    run_id = order(customer, lasting_shop, kind="COURIER", address=ADDRESS)
    courier.switch(slow=0.5)
    given_run(run_id).then_waits()
    assert courier.state(run_id) == "BOOKED"
    given_run(run_id).when_confirmed().then_succeeded()
    assert courier.state(run_id) == "CONFIRMED"


def test_a_courier_service_that_stays_broken_undoes_the_order(
    customer: Api, lasting_shop: Shop, courier: Courier
) -> None:
    # Given one that fails for as long as the step tries, and when it is undone
    run_id = order(customer, lasting_shop, kind="COURIER", address=ADDRESS)
    courier.switch(fail=4)
    given_run(run_id).then_failed().then_compensated(
        "book_courier", "schedule_delivery", "apply_coupon", "reserve_inventory", "create_order"
    )
    assert courier.state(run_id) == ""
    lasting_shop.slot.refresh_from_db()
    assert (lasting_shop.slot.available, lasting_shop.slot.held) == (50, 0)


def test_a_courier_service_that_has_lost_its_books_calls_a_person(
    customer: Api, lasting_shop: Shop, tmp_path: Path, settings: Settings
) -> None:
    # Given a courier that is booked and paid, at a service that begins anew without its journal
    lossy = Courier(tmp_path).start()
    settings.COURIER_URL = lossy.url
    try:
        run_id = order(customer, lasting_shop, kind="COURIER", address=ADDRESS)
        given_run(run_id).then_waits()
        lossy.stop()
        for file in tmp_path.glob("courier.sqlite3*"):
            file.unlink()
        lossy.start()

        # Then the order is not called confirmed: what is behind the pivot is not undone, either
        given_run(run_id).when_confirmed().then_escalated("book_courier")
        assert lossy.state(run_id) == ""
    finally:
        lossy.stop()


def test_an_address_is_seen_by_the_courier_alone(customer: Api, lasting_shop: Shop, courier: Courier) -> None:
    run_id = order(customer, lasting_shop, kind="COURIER", address=ADDRESS)
    given_run(run_id).when_confirmed().then_succeeded()
    run = Run.objects.get(pk=run_id)
    assert run.request["address"]["phone"] == ADDRESS["phone"]
    # People do not see it, nor do logs
    assert set(visible_request(run)["address"].values()) == {"[personal]"}
    assert "Nanjing" not in courier.log()
    # And it can be erased
    erase(business_key=run.business_key, by="a test")
    run.refresh_from_db()
    assert "Nanjing" not in str(run.request)


@pytest.mark.parametrize(
    ("fulfilment", "pointer"),
    [
        ({"kind": "COURIER"}, "#/fulfilment/address"),
        ({"kind": "PICK_UP", "address": ADDRESS}, "#/fulfilment/address"),
        ({"kind": "COURIER", "address": {**ADDRESS, "phone": "call me"}}, "#/fulfilment/address/phone"),
        ({"kind": "COURIER", "address": {**ADDRESS, "street": ""}}, "#/fulfilment/address/street"),
        ({"kind": "COURIER", "address": {**ADDRESS, "door": "left"}}, "#/fulfilment/address/door"),
        ({"kind": "DRONE"}, "#/fulfilment/kind"),
        ("COURIER", "#/fulfilment"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(
    customer: Api, lasting_shop: Shop, courier: Courier, fulfilment: Any, pointer: str
) -> None:
    answer = customer.order(lasting_shop, fulfilment=fulfilment)
    assert answer.status == 422
    assert pointer in answer.pointers


def test_without_a_courier_service_nothing_is_ordered_by_courier(
    customer: Api, lasting_shop: Shop, settings: Settings
) -> None:
    settings.COURIER_URL = ""
    answer = customer.order(lasting_shop, fulfilment={"kind": "COURIER", "address": ADDRESS})
    assert (answer.status, answer.problem) == (422, "no-courier")
    assert customer.order(lasting_shop, fulfilment={"kind": "PICK_UP"}).status == 202
