"""Payments of orders: what is signed is kept, what does not pay its order is due back, and somebody is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection
from pytest_django import Settings

import sagas
from coupons.models import Coupon, Grant
from inventory.models import Batch
from orders import demo
from orders.models import Order
from orders.sagas import PlaceOrder
from payments import refunds
from payments.models import Payment, PaymentEvent
from payments.sagas import RefundPayment, ReviewPayment
from sagas import State
from sagas.models import Confirmation, Escalation, Run
from tests.shop.conftest import ORDERS, SECRET, Api, Reply, Shop, build_shop, confirm, paid, sign
from tests.support import tables
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_all
from tests.support.runs import effects, state

pytestmark = pytest.mark.usefixtures("alone")
TABLES = ("payments_payment", "payments_paymentevent", "orders_order", "orders_orderline")


@pytest.fixture(autouse=True)
def _emptied(alone: None, settings: Settings) -> Iterator[None]:
    settings.WEBHOOK_SECRET = SECRET
    tables.empty(*TABLES)
    yield
    # Other tests pay under the same ids.
    tables.empty(*TABLES)


@pytest.fixture
def shop(database: None) -> Shop:
    return build_shop()


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


@pytest.fixture
def order_no(api: Api, shop: Shop) -> str:
    return str(api.order(shop).body["order_no"])


def run_of(order_no: str) -> UUID:
    run_id: UUID = Order.objects.get(order_no=order_no).run_id
    return run_id


def carry(order_no: str) -> None:
    Carrier().run([run_of(order_no)])


def carry_all() -> None:
    Carrier().run(list(Run.objects.values_list("pk", flat=True)))


def waiting_run(payment: Payment) -> UUID:
    """The run in which somebody returns the payment, or decides about it."""
    if payment.state == "CONFLICT":
        assert payment.review_run_id is not None
        return payment.review_run_id
    run_id: UUID = payment.refunds.get().pk
    return run_id


def due_back(payment_id: str = "pay_1") -> str:
    """Why the payment is owed; and whether a person was called for it, by a run of its own that stands and waits."""
    payment = Payment.objects.get(payment_id=payment_id)
    run_id = waiting_run(payment)
    Carrier().run([run_id])
    payment.refresh_from_db()
    run = Run.objects.get(pk=run_id)
    saga = ReviewPayment if payment.state == "CONFLICT" else RefundPayment
    assert (run.saga, run.state, run.business_key) == (saga.name, "ESCALATED", payment.payment_id)
    escalation = Escalation.objects.get(run_id=run.pk, resolved_at=None)
    assert escalation.notify_at is not None
    assert payment.payment_id in escalation.error["detail"]
    return f"{payment.state} {payment.reason}"


def outcomes() -> list[str]:
    """What the signed messages came to, in order."""
    return list(PaymentEvent.objects.order_by("id").values_list("outcome", flat=True))


# -- A payment that is taken, and an order that is undone -----------------------------------------------------


def test_a_payment_during_the_steps_is_accepted_and_not_settled(api: Api, order_no: str) -> None:
    # Given an order of which the first step is done; or none yet, where all steps are one commit
    claimed = chains(claim_all())[0]
    rest = claimed if PlaceOrder.definition.compressed else deliver(claimed)[1]

    # When
    reply = confirm(order_no)

    # Then
    assert reply.status == 200
    assert (reply.body["outcome"], reply.body["order_state"], reply.body["confirmed_at"]) == (
        "taken",
        "EXECUTING",
        None,
    )
    assert rest is not None
    deliver_all(rest)
    carry(order_no)
    # And a repeat says what has become of it
    repeat = confirm(order_no)
    assert (repeat.body["outcome"], repeat.body["order_state"]) == ("settled", "SUCCEEDED")
    assert repeat.body["confirmed_at"] == repeat.body["received_at"] == reply.body["received_at"]


def _sold_out(shop: Shop) -> None:
    Batch.objects.filter(pk=shop.tea.pk).update(available=0)


def _slot_full(shop: Shop) -> None:
    shop.slot.available = 0
    shop.slot.save()


@pytest.mark.parametrize("spoil", [_sold_out, _slot_full], ids=lambda spoil: spoil.__name__[1:])
def test_an_accepted_payment_is_due_back_when_a_step_rejects(
    api: Api, shop: Shop, order_no: str, spoil: Callable[[Shop], None]
) -> None:
    # Given
    assert confirm(order_no).body["outcome"] == "taken"
    spoil(shop)

    # When the messages come twice, too
    Carrier(copies=2).run([run_of(order_no)])

    # Then it is owed, once, and a person is called
    assert state(run_of(order_no)) is State.FAILED
    assert effects(run_of(order_no)).count("payment.compensate") == 1
    assert due_back() == "RETURNING undone"
    assert Run.objects.filter(saga=RefundPayment.name).count() == 1
    # The repeat is told so
    repeat = confirm(order_no, message="msg_2")
    assert (repeat.status, repeat.problem) == (409, "order-undone")
    assert "FAILED" in repeat.body["detail"]
    assert outcomes() == ["taken", "undone"]
    # And so is the customer
    (told,) = api.get(f"{ORDERS}{order_no}/").body["payments"]
    assert (told["payment_id"], told["paid_amount"], told["currency"]) == ("pay_1", 2500, "CNY")
    assert (told["state"], told["reason"]) == ("RETURNING", "undone")


def test_a_paid_order_resolved_as_failed_owes_its_payment(order_no: str) -> None:
    confirm(order_no)
    run_id = run_of(order_no)
    Run.objects.filter(pk=run_id).update(state="EXECUTING", claims=6)
    claim_all(lapsed=True)
    sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="stock given back by hand")
    carry(order_no)
    assert state(run_id) is State.FAILED
    assert due_back() == "RETURNING undone"


def test_a_payment_marked_as_returned_ends_its_run(api: Api, shop: Shop, order_no: str) -> None:
    # Given
    confirm(order_no)
    _sold_out(shop)
    carry(order_no)
    due_back()

    # When
    assert refunds.mark_returned(gateway="main", payment_id="pay_1", by="mei")
    assert not refunds.mark_returned(gateway="main", payment_id="pay_1", by="mei")
    carry_all()

    # Then
    payment = Payment.objects.get()
    assert (payment.state, payment.returned_at is not None) == ("RETURNED", True)
    assert state(waiting_run(payment)) is State.SUCCEEDED
    assert api.get(f"{ORDERS}{order_no}/").body["payments"][0]["state"] == "RETURNED"
    assert confirm(order_no).problem == "order-undone"


def test_a_return_run_resolved_by_hand_marks_its_payment_as_returned(order_no: str) -> None:
    confirm(order_no, says={"amount": 1})
    due_back()
    run_id = waiting_run(Payment.objects.get())
    sagas.resolve(run_id, outcome=State.SUCCEEDED, by="mei", note="returned, refund 8812")
    assert Payment.objects.get().state == "RETURNED"


# -- Payments that do not pay their order ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "reason", "problem"),
    [
        ({"amount": 1}, "wrong_amount", "wrong-amount"),
        ({"amount": 2499}, "wrong_amount", "wrong-amount"),
        ({"amount": 2501}, "wrong_amount", "wrong-amount"),
        ({"currency": "USD"}, "wrong_currency", "wrong-currency"),
        ({"currency": "HKD"}, "wrong_currency", "wrong-currency"),
    ],
    ids=str,
)
def test_a_payment_of_a_wrong_amount_is_due_back_and_the_order_stays_payable(
    order_no: str, says: dict[str, Any], reason: str, problem: str
) -> None:
    reply = confirm(order_no, says=says)
    assert (reply.status, reply.problem) == (409, problem)
    assert not Confirmation.objects.exists()
    assert due_back() == f"RETURNING {reason}"
    assert confirm(order_no, "pay_2").status == 200
    assert outcomes() == [reason, "taken"]


@pytest.mark.parametrize("status", ["failed", "pending", "Succeeded", "anything"])
def test_a_failed_payment_is_recorded_and_another_attempt_pays(order_no: str, status: str) -> None:
    reply = confirm(order_no, says={"status": status})
    assert (reply.status, reply.body["outcome"], reply.body["order_state"]) == (200, "not_paid", "PENDING")
    assert not Confirmation.objects.exists()
    assert not Payment.objects.exists()
    # With the same id, as gateways do
    assert confirm(order_no).status == 200
    assert confirm(order_no, says={"status": "failed"}, message="msg_2").body["outcome"] == "not_paid"
    assert outcomes() == ["not_paid", "taken", "not_paid"]
    assert Payment.objects.get().state == "TAKEN"


def test_a_payment_that_comes_too_late_is_due_back(api: Api, order_no: str) -> None:
    api.post(f"{ORDERS}{order_no}/cancel/")
    for _ in range(2):
        assert confirm(order_no).problem == "order-undone"
    carry(order_no)
    assert due_back() == "RETURNING too_late"
    assert outcomes() == ["too_late"]
    assert Run.objects.filter(saga=RefundPayment.name).count() == 1


def test_a_payment_for_an_order_whose_run_is_pruned_is_due_back(order_no: str) -> None:
    Order.objects.filter(order_no=order_no).update(status="REJECTED")
    Run.objects.filter(pk=run_of(order_no)).delete()
    assert confirm(order_no).problem == "order-undone"
    assert due_back() == "RETURNING too_late"


def test_a_second_payment_of_an_order_is_due_back(order_no: str) -> None:
    assert confirm(order_no).status == 200
    assert confirm(order_no, "pay_2").problem == "payment-conflict"
    assert due_back("pay_2") == "RETURNING duplicate"
    assert Payment.objects.get(payment_id="pay_1").state == "TAKEN"


def test_a_payment_for_an_unknown_order_is_due_back(shop: Shop) -> None:
    assert confirm("ORD-20260101-00000000").status == 404
    assert due_back() == "RETURNING unknown_order"


def test_a_payment_sent_to_another_orders_url_is_recorded(api: Api, shop: Shop, order_no: str) -> None:
    # Its repeat at the right address is the same message, which is on record once
    another = str(api.order(shop).body["order_no"])
    body = json.dumps(paid(order_no)).encode()
    reply = Api().call("POST", f"{ORDERS}{another}/confirm/", body=body, headers=sign(body))
    assert reply.problem == "another-order"
    assert not Payment.objects.exists()
    assert confirm(order_no).status == 200
    assert outcomes() == ["another_order"]


# -- One payment for two orders -------------------------------------------------------------------------------


@pytest.mark.parametrize("same_amount", [True, False])
def test_one_payment_for_two_orders_needs_an_operator(api: Api, shop: Shop, order_no: str, same_amount: bool) -> None:
    # Given
    items = [{"sku": shop.tea.code, "quantity": 2 if same_amount else 4}]
    another = str(api.order(shop, items=items).body["order_no"])
    assert confirm(order_no).status == 200

    # When
    replies = [confirm(another, says={"amount": 2500 if same_amount else 5000}) for _ in range(2)]

    # Then the other is not confirmed, and nobody gives anything back by a machine
    assert [reply.problem for reply in replies] == ["payment-conflict"] * 2
    assert Confirmation.objects.get().run_id == run_of(order_no)
    assert due_back() == "CONFLICT conflict"
    # Also where the first order is undone then
    _sold_out(shop)
    carry(order_no)
    assert Payment.objects.get().state == "CONFLICT"
    assert Run.objects.filter(saga=ReviewPayment.name).count() == 1
    assert not Run.objects.filter(saga=RefundPayment.name).exists()
    # The first is told so too
    assert confirm(order_no).problem == "payment-conflict"


def test_one_payment_for_two_orders_at_the_same_moment_confirms_one(api: Api, shop: Shop) -> None:
    numbers = [str(api.order(shop).body["order_no"]) for _ in range(6)]

    def pay(order_no: str) -> Reply:
        try:
            return confirm(order_no)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(pay, numbers))

    assert sorted(reply.status for reply in replies) == [200, *[409] * 5]
    assert Confirmation.objects.count() == 1
    assert due_back() == "CONFLICT conflict"


def test_the_same_payment_many_times_at_once_is_one(order_no: str) -> None:
    def pay(number: int) -> Reply:
        try:
            return confirm(order_no, message=f"msg_{number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(pay, range(6)))

    assert {reply.status for reply in replies} == {200}
    assert len({reply.body["received_at"] for reply in replies}) == 1
    assert (Payment.objects.count(), Confirmation.objects.count()) == (1, 1)


# -- What the schema holds ------------------------------------------------------------------------------------


def test_the_gateways_messages_are_append_only(order_no: str) -> None:
    confirm(order_no)
    for change in (PaymentEvent.objects.all().delete, lambda: PaymentEvent.objects.update(outcome="too_late")):
        with pytest.raises(IntegrityError, match="append-only"):
            change()


@pytest.mark.parametrize(
    "change", [{"amount": 1}, {"payment_id": "pay_9"}, {"state": "RETURNED"}, {"state": "CONFLICT"}]
)
def test_no_statement_changes_a_payment(order_no: str, change: dict[str, Any]) -> None:
    confirm(order_no)
    # The last is a move that is allowed, and calls nobody
    with pytest.raises(IntegrityError):
        Payment.objects.update(**change)


# -- What costs nothing, and what a coupon is worth -----------------------------------------------------------


@pytest.mark.parametrize("worth", [2500, 2501, 99_999])
def test_a_free_order_is_confirmed_without_a_payment(api: Api, shop: Shop, worth: int) -> None:
    # Given
    code = shop.coupon()
    Coupon.objects.filter(code=code).update(discount_cents=worth)

    # When
    order_no = api.order(shop, coupon=code).body["order_no"]
    carry(order_no)

    # Then
    order = api.get(f"{ORDERS}{order_no}/").body
    assert (order["state"], order["payments"]) == ("SUCCEEDED", [])
    assert (order["total_amount"], order["discount_amount"]) == (0, 2500)
    assert Grant.objects.get(used_by_run=run_of(order_no)).discount_cents == 2500
    assert Confirmation.objects.get().data["payment_id"] is None
    # And whoever pays for it all the same is owed that
    assert confirm(order_no).problem == "wrong-amount"


def test_a_free_order_that_is_undone_owes_nothing(api: Api, shop: Shop) -> None:
    code = shop.coupon()
    Coupon.objects.filter(code=code).update(discount_cents=2500)
    order_no = api.order(shop, coupon=code).body["order_no"]
    _sold_out(shop)
    carry(order_no)
    assert state(run_of(order_no)) is State.FAILED
    assert not Payment.objects.exists()
    assert not Run.objects.filter(saga=RefundPayment.name).exists()


def test_the_price_of_an_order_is_fixed_at_acceptance(api: Api, shop: Shop) -> None:
    # Given
    code = shop.coupon()
    order_no = api.order(shop, coupon=code).body["order_no"]
    assert api.get(f"{ORDERS}{order_no}/").body["total_amount"] == 2000

    # When prices and the coupon's value change
    Coupon.objects.filter(code=code).update(discount_cents=1)
    shop.tea.price_cents = 9_999
    shop.tea.save()
    carry(order_no)

    # Then
    order = api.get(f"{ORDERS}{order_no}/").body
    assert (order["total_amount"], order["discount_amount"]) == (2000, 500)
    assert Grant.objects.get(used_by_run=run_of(order_no)).discount_cents == 500
    assert confirm(order_no, says={"amount": 2000}).status == 200


def test_an_order_that_was_accepted_before_totals_were_known_can_be_paid(order_no: str) -> None:
    Order.objects.filter(order_no=order_no).update(total_cents=None)
    assert confirm(order_no).status == 200
    carry(order_no)
    assert (state(run_of(order_no)), Order.objects.get().total_cents) == (State.SUCCEEDED, 2500)


def test_the_payment_of_an_order_has_a_compensation() -> None:
    assert PlaceOrder.definition.confirmations[0].refund is not None
