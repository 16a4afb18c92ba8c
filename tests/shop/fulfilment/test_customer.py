"""What a customer learns of an order in its store: by reading it, and by events."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from django.db import connection

from delivery import services
from delivery.models import Fulfilment, FulfilmentState, Slot
from delivery.participants import slots
from orders import demo, selectors
from orders.models import Order, OrderRefund
from orders.requests import Item, OrderRequest
from orders.services import receive_payment
from payments.services import SUCCEEDED, Message
from sagas import Call, Operation
from sagas.testing import given_run
from tests.shop.conftest import ORDERS, Api, Shop
from tests.support.statements import SentStatements
from webhooks.models import Event
from webhooks.services import disable, forget, register

pytestmark = pytest.mark.django_db
MAKING, READY, REFUSED = FulfilmentState.MAKING, FulfilmentState.READY, FulfilmentState.REFUSED


@pytest.fixture
def order_no(api: Api, shop: Shop) -> str:
    """A confirmed order, with its payment."""
    number: str = api.order(shop).body["order_no"]
    pay(number)
    given_run(run_of(number)).then_succeeded()
    return number


@pytest.fixture
def _listens(shop: Shop) -> Iterator[None]:
    # Its events are recorded, and not sent.
    disable([register(customer_id=shop.customer.pk, url="https://listener.example/").pk], reason="a test")
    yield
    forget()


def pay(order_no: str) -> None:
    word = uuid4().hex
    receive_payment(message=Message(f"msg-{word}", "{}", order_no, f"pay-{word}", 2500, "CNY", SUCCEEDED))


def run_of(order_no: str) -> UUID:
    found: UUID = Order.objects.get(order_no=order_no).run_id
    return found


def move(staff: Api, order_no: str, to: FulfilmentState, reason: str = "") -> None:
    version = Fulfilment.objects.get(order_no=order_no).version
    answer = staff.post(f"/api/v1/fulfilments/{order_no}/move/", {"to": to, "version": version, "reason": reason})
    assert answer.status == 200, answer.body


@pytest.fixture
def staff(shop: Shop) -> Api:
    shop.other.is_superuser = True
    shop.other.save()
    return Api(demo.token(customer=shop.other))


def version(order_no: str, shop: Shop) -> str:
    return selectors.version_of(customer_id=shop.customer.pk, order_no=order_no)[1]


def test_a_customer_sees_how_far_the_store_is_and_not_who_has_done_it(api: Api, shop: Shop, staff: Api) -> None:
    # Given an order that is not confirmed
    number = api.order(shop).body["order_no"]
    assert api.get(f"{ORDERS}{number}/").body["fulfilment"] is None
    pay(number)
    given_run(run_of(number)).then_succeeded()

    # When
    move(staff, number, MAKING)
    move(staff, number, REFUSED, "no milk left")

    # Then
    seen = api.get(f"{ORDERS}{number}/").body["fulfilment"]
    assert (seen["store"], seen["kind"], seen["state"]) == ("main", "SLOT", "REFUSED")
    assert [(one["version"], one["state"], one["reason"]) for one in seen["stages"]] == [
        (1, "ACCEPTED", ""),
        (2, "MAKING", ""),
        (3, "REFUSED", "no milk left"),
    ]
    assert [one["at"] for one in seen["stages"]] == sorted(one["at"] for one in seen["stages"])
    assert shop.other.username not in str(seen)


def test_each_move_and_another_slot_are_another_version_of_the_order(
    api: Api, shop: Shop, staff: Api, order_no: str
) -> None:
    seen = [version(order_no, shop)]
    end = shop.slot.ends_at.replace(microsecond=1)
    slot = Slot.objects.create(starts_at=shop.slot.starts_at, ends_at=end, available=1)
    assert api.post(f"{ORDERS}{order_no}/rebook/", {"slot": slot.pk}).status == 200
    seen.append(version(order_no, shop))
    move(staff, order_no, MAKING)
    seen.append(version(order_no, shop))
    assert len(set(seen)) == len(seen)


def test_each_move_is_told_in_its_order(_listens: None, shop: Shop, staff: Api, order_no: str) -> None:
    move(staff, order_no, MAKING)
    move(staff, order_no, READY)
    told = Event.objects.filter(subject=order_no).order_by("sequence")
    assert [(event.sequence, event.kind, event.data.get("state")) for event in told] == [
        (1, "order.placed", None),
        (2, "order.confirmed", None),
        (3, "order.fulfilment", "MAKING"),
        (4, "order.fulfilment", "READY"),
    ]
    last = told[3].data
    assert set(last) == {"order_no", "state", "version", "at", "due_at", "reason"}
    # A repeat is no move
    assert staff.post(f"/api/v1/fulfilments/{order_no}/move/", {"to": "READY", "version": 2}).status == 409
    assert told.count() == 4


def test_a_refund_that_takes_an_order_out_of_the_queue_is_told(
    _listens: None, api: Api, shop: Shop, order_no: str
) -> None:
    assert api.post(f"{ORDERS}{order_no}/refund/", {}).status == 202
    given_run(OrderRefund.objects.get(order__order_no=order_no).run_id).then_succeeded()
    last = Event.objects.filter(subject=order_no).order_by("sequence").last()
    assert last is not None
    assert (last.kind, last.data["state"]) == ("order.fulfilment", "REFUSED")


def test_an_order_that_is_being_confirmed_cannot_be_refused(api: Api, shop: Shop, staff: Api) -> None:
    # Given an order that has its place, while other parts are not confirmed: its refund would not be accepted
    number = api.order(shop).body["order_no"]
    run_id = run_of(number)
    given_run(run_id).then_waits()
    pay(number)
    order = OrderRequest(number, shop.customer.pk, (Item(shop.tea.code, 2, 1250),), shop.slot.pk)
    slots.confirm.many([Call(run_id, "schedule_delivery", Operation.CONFIRM, 1, order)])

    # When
    refusal = {"to": "REFUSED", "version": 1, "reason": "no milk left"}
    answer = staff.post(f"/api/v1/fulfilments/{number}/move/", refusal)

    # Then
    assert (answer.status, answer.problem) == (409, "order-not-confirmed")
    assert Fulfilment.objects.get(order_no=number).version == 1
    # And it can be once all is confirmed
    given_run(run_id).then_succeeded()
    assert staff.post(f"/api/v1/fulfilments/{number}/move/", refusal).status == 200
    assert OrderRefund.objects.filter(order__order_no=number).count() == 1


def test_an_order_in_its_store_can_be_locked(order_no: str) -> None:
    run_id = run_of(order_no)
    with SentStatements(connection) as captured:
        work = services.lock(run_id=run_id)
    assert work is not None
    assert work.state == FulfilmentState.ACCEPTED
    assert "FOR NO KEY UPDATE" in captured.captured_queries[0]["sql"]
    assert services.lock(run_id=uuid4()) is None
