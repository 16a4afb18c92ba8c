"""Refunds at a gateway: made once, whatever is lost; a person where it refuses; queried before they are repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

import delivery.services
import sagas
from coupons.models import Grant
from delivery.errors import StaleVersion
from delivery.models import Fulfilment, FulfilmentKind, FulfilmentState, Slot
from inventory import ledger
from inventory.models import Batch
from inventory.services import add_batch, recall
from orders import demo
from orders.fulfilment import services as fulfilment
from orders.models import Order, OrderLine, OrderRefund
from orders.refunds.participants import worth
from orders.refunds.services import NotRefundable, refund_order
from orders.requests import Item, split
from orders.services import Wanted, place_order
from payments.models import Payment, Refund
from payments.refunds import mark_returned
from payments.returns import ReturnRequest
from payments.sagas import RefundPayment, ReturnPayment
from sagas import State
from sagas.models import Escalation, Log, Run
from tests.races.racing import Race
from tests.shop.conftest import ORDERS, SECRET, Api, Shop, build_shop
from tests.shop.payments.test_webhook import send
from tests.support import tables
from tests.support.carrier import Carrier
from tests.support.runs import state
from tests.support.sandbox import TOKEN, Sandbox

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    gateway = Sandbox(tmp_path_factory.mktemp("gateway"), secret=SECRET)
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway(sandbox: Sandbox, settings: Settings) -> Sandbox:
    settings.GATEWAY_URL, settings.GATEWAY_TOKEN = sandbox.url, TOKEN
    sandbox.misbehave()
    return sandbox


@pytest.fixture(autouse=True)
def _emptied(alone: None, settings: Settings) -> Iterator[None]:
    settings.WEBHOOK_SECRET = SECRET
    names = (
        *("payments_refund", "payments_payment", "payments_paymentevent", "orders_order", "orders_orderline"),
        *("delivery_fulfilment", "delivery_fulfilmentmove"),
    )
    tables.empty(*names)
    yield
    tables.empty(*names)


@pytest.fixture
def shop(database: None) -> Shop:
    return build_shop()


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


def carry() -> None:
    Carrier(copies=2).run(list(Run.objects.values_list("pk", flat=True)))


def due_back(gateway: Sandbox) -> Refund:
    """A payment of the gateway's that pays for nothing."""
    payment_id = gateway.paid("ORD-1", 700)
    send("ORD-1", payment_id=payment_id, amount=700)
    return Refund.objects.get()


def confirmed(api: Api, shop: Shop, gateway: Sandbox, *, quantity: int = 3, coupon: str | None = None) -> str:
    """A confirmed order, paid at the gateway."""
    items = [{"sku": shop.tea.code, "quantity": quantity}]
    order_no = str(api.order(shop, items=items, coupon=coupon).body["order_no"])
    total = Order.objects.get(order_no=order_no).total_cents
    assert total is not None
    send(order_no, payment_id=gateway.paid(order_no, total), amount=total)
    carry()
    assert state(Order.objects.get(order_no=order_no).run_id) is State.SUCCEEDED
    return order_no


def counts(shop: Shop) -> tuple[int, int, int]:
    """Cups, and places, that are available; and cups that are sold."""
    tea = Batch.objects.get(key=shop.tea.code)
    return tea.available, Slot.objects.get(pk=shop.slot.pk).available, tea.sold


# -- At the gateway -------------------------------------------------------------------------------------------


def test_what_is_due_back_is_refunded_once_under_our_id(gateway: Sandbox) -> None:
    refund = due_back(gateway)
    carry()
    refund.refresh_from_db()
    payment = Payment.objects.get()
    assert (state(refund.pk), refund.state, payment.state) == (State.SUCCEEDED, "RETURNED", "RETURNED")
    assert refund.gateway_refund_id.startswith("re_")
    assert gateway.refunds().count((str(refund.pk), 700)) == 1
    # The gateway's own message about it changes nothing
    send("ORD-1", "refunded", payment_id=payment.payment_id, amount=700, refund_id=str(refund.pk), refund_amount=700)
    assert Refund.objects.count() == 1


def test_a_refund_whose_answer_is_lost_is_queried_and_not_made_again(gateway: Sandbox) -> None:
    # Given a gateway that makes the refund, gives no answer, and knows no idempotency key when it is asked again
    refund = due_back(gateway)
    gateway.misbehave(lose_answers="on", forget_keys="on")
    carry()
    # Then
    assert state(refund.pk) is State.SUCCEEDED
    assert gateway.refunds().count((str(refund.pk), 700)) == 1


def test_a_refused_refund_calls_a_person_who_makes_it_by_hand(gateway: Sandbox) -> None:
    refund = due_back(gateway)
    gateway.misbehave(refuse_refunds="on")
    carry()
    assert state(refund.pk) is State.ESCALATED
    assert Log.objects.filter(run_id=refund.pk, step="return_money", outcome="FAULT").count() == 1
    assert "bank refuses" in Escalation.objects.get(run_id=refund.pk).error["detail"]
    assert payments_returned_by_hand(refund.pk)
    assert (state(refund.pk), Payment.objects.get().state) == (State.SUCCEEDED, "RETURNED")


def payments_returned_by_hand(refund_id: UUID) -> bool:
    from payments.refunds import mark_refund_returned

    return mark_refund_returned(refund_id=refund_id, by="mei", note="in the console") and not mark_refund_returned(
        refund_id=refund_id, by="mei"
    )


def test_a_dispute_stops_a_refund_that_has_not_begun_and_its_end_lets_it_go_on(gateway: Sandbox) -> None:
    refund = due_back(gateway)
    payment = Payment.objects.get()
    send("ORD-1", "disputed", payment_id=payment.payment_id, amount=700)
    carry()
    assert state(refund.pk) is State.ESCALATED
    assert not [made for made in gateway.refunds() if made[0] == str(refund.pk)]
    payment.refresh_from_db()
    assert payment.review_run_id is not None
    sagas.resolve(payment.review_run_id, outcome=State.SUCCEEDED, by="mei", note="won")
    sagas.resume(refund.pk, by="mei")
    carry()
    assert state(refund.pk) is State.SUCCEEDED


def test_runs_from_before_refunds_end_as_a_person_returns_their_payments() -> None:
    # Given a payment that is due back and one in conflict, as the migration leaves them
    due, conflict = (ReturnPayment.start(ReturnRequest(name), business_key=name) for name in ("due", "conflict"))
    told = {"gateway": "main", "order_no": "ORD-1", "run_id": uuid4(), "amount": 700, "currency": "CNY"}
    with transaction.atomic():
        payment = Payment.objects.create(
            payment_id="due", state="DUE_BACK", reason="too_late", returning_amount=700, **told
        )
        Refund.objects.create(id=due, payment=payment, amount=700, reason="too_late")
        Payment.objects.create(
            payment_id="conflict", state="CONFLICT", reason="conflict", review_run_id=conflict, **told
        )
    # When they go on, then each calls a person
    carry()
    assert [state(run) for run in (due, conflict)] == [State.ESCALATED] * 2
    # And ends when the money is returned
    assert mark_returned(gateway="main", payment_id="due", by="mei")
    assert mark_returned(gateway="main", payment_id="conflict", by="mei")
    assert [state(run) for run in (due, conflict)] == [State.SUCCEEDED] * 2
    assert set(Payment.objects.values_list("state", "returned_amount")) == {("RETURNED", 700)}


# -- Of an order ----------------------------------------------------------------------------------------------


def test_a_confirmed_order_is_refunded_whole_with_everything_that_it_had(
    api: Api, shop: Shop, gateway: Sandbox
) -> None:
    code, before = shop.coupon(), counts(shop)
    order_no = confirmed(api, shop, gateway, coupon=code)
    assert counts(shop) != before
    # When, twice
    replies = [api.post(f"{ORDERS}{order_no}/refund/", {"reason": "the party is off"}) for _ in range(2)]
    assert [reply.status for reply in replies] == [202, 202]
    assert replies[0].body == replies[1].body
    # The order's saga, as in all answers about it
    assert {reply.headers["X-Saga-ID"] for reply in replies} == {str(Order.objects.get().run_id)}
    assert (replies[0].body["refund_amount"], replies[0].body["whole"]) == (3 * 1250 - 500, True)
    carry()
    # Then
    order = Order.objects.get(order_no=order_no)
    assert (order.refunded_cents, counts(shop)) == (order.total_cents, before)
    assert Payment.objects.get().state == "RETURNED"
    assert not Grant.objects.filter(coupon=code, state="USED").exists()
    run = OrderRefund.objects.get().run_id
    assert state(run) is State.SUCCEEDED
    again = api.post(f"{ORDERS}{order_no}/refund/", {}, Idempotency_Key="another")
    assert (again.status, again.problem) == (409, "nothing-left-to-refund")


def test_an_order_is_refunded_by_line_and_the_parts_add_up(api: Api, shop: Shop, gateway: Sandbox) -> None:
    code = shop.coupon()
    order_no = confirmed(api, shop, gateway, coupon=code)
    one = {"lines": [{"sku": shop.tea.code, "quantity": 1}]}
    assert api.post(f"{ORDERS}{order_no}/refund/", one).status == 400
    amounts = []
    for key in ("a", "a", "b", "c"):
        reply = api.post(f"{ORDERS}{order_no}/refund/", one, Idempotency_Key=key)
        amounts.append(reply.body["refund_amount"])
        carry()
    assert amounts == [1083, 1083, 1083, 1084]
    payment = Payment.objects.get()
    assert (payment.state, payment.returned_amount) == ("RETURNED", 3250)
    assert not Grant.objects.filter(coupon=code, state="USED").exists()
    assert api.post(f"{ORDERS}{order_no}/refund/", one, Idempotency_Key="d").problem == "nothing-left-to-refund"


def test_past_the_cut_off_only_staff_refund_and_cups_that_are_not_made_are_there_again(
    api: Api, shop: Shop, gateway: Sandbox
) -> None:
    order_no = confirmed(api, shop, gateway)
    Slot.objects.filter(pk=shop.slot.pk).update(starts_at=shop.past.starts_at)
    refused = api.post(f"{ORDERS}{order_no}/refund/", {})
    assert (refused.status, refused.problem) == (409, "too-late-to-refund")
    refund_order(order_no=order_no, reason="the store is closed", by="mei")
    carry()
    assert counts(shop) == (100, 50, 0)
    assert Payment.objects.get().state == "RETURNED"


def begin(order_no: str, version: int = 1) -> None:
    fulfilment.move(order_no=order_no, to=FulfilmentState.MAKING, version=version, by="li")


def test_cups_are_lost_if_the_store_begins_before_the_refund_takes_them_out(
    api: Api, shop: Shop, gateway: Sandbox
) -> None:
    # Given a refund that was accepted long before the cut-off, whose steps are still to come
    order_no = confirmed(api, shop, gateway)
    assert api.post(f"{ORDERS}{order_no}/refund/", {}).status == 202
    # When the store begins, and then the steps are done
    begin(order_no)
    carry()
    # Then the money is returned, the place is free, the store stops, and the cups are gone
    assert counts(shop) == (97, 50, 3)
    assert (Payment.objects.get().state, Fulfilment.objects.get().state) == ("RETURNED", "REFUSED")


def test_a_store_does_not_begin_with_what_a_refund_has_taken_out(api: Api, shop: Shop, gateway: Sandbox) -> None:
    order_no = confirmed(api, shop, gateway)
    assert api.post(f"{ORDERS}{order_no}/refund/", {}).status == 202
    carry()
    with pytest.raises(StaleVersion):
        begin(order_no)
    assert counts(shop) == (100, 50, 0)


def test_a_store_makes_what_is_left_of_an_order(api: Api, shop: Shop, gateway: Sandbox) -> None:
    # Given a refund of one of three cups
    order_no = confirmed(api, shop, gateway)
    refund_order(order_no=order_no, reason="one too many", by="mei", lines={shop.tea.code: 1})
    carry()
    # Then staff who have seen three are told, and make two
    work = Fulfilment.objects.get()
    assert (work.state, work.version, work.lines) == ("ACCEPTED", 2, [[shop.tea.code, 2]])
    assert list(work.moves.values_list("source", "target", "reason")) == [
        ("ACCEPTED", "ACCEPTED", "refunded: one too many")
    ]
    with pytest.raises(StaleVersion):
        begin(order_no)
    begin(order_no, version=2)
    assert counts(shop) == (98, 49, 2)
    # And what is refunded now is made
    refund_order(order_no=order_no, reason="spilt", by="mei", lines={shop.tea.code: 1})
    carry()
    assert counts(shop) == (98, 49, 2)
    refund_order(order_no=order_no, reason="spilt", by="mei")
    carry()
    assert counts(shop) == (98, 50, 2)


@pytest.mark.parametrize("begun", [False, True])
def test_what_a_store_refuses_comes_back_if_it_had_not_begun(
    api: Api, shop: Shop, gateway: Sandbox, begun: bool
) -> None:
    order_no = confirmed(api, shop, gateway)
    if begun:
        begin(order_no)
    work = Fulfilment.objects.get()
    fulfilment.move(order_no=order_no, to=FulfilmentState.REFUSED, version=work.version, by="li", reason="no milk")
    carry()
    assert counts(shop) == ((97, 50, 3) if begun else (100, 50, 0))


@pytest.fixture
def race(alone: None) -> Iterator[Race]:
    found = Race()
    yield found
    found.end()


def take_out(order_no: str, cups: dict[str, int], *, whole: bool) -> Callable[[], bool | None]:
    """What the refund's step does, in its transaction."""
    run_id = Order.objects.get(order_no=order_no).run_id

    def take() -> bool | None:
        with transaction.atomic():
            return delivery.services.give_back(run_id=run_id, cups=cups, whole=whole).are_unmade

    return take


@pytest.mark.parametrize("whole", [False, True])
def test_a_refund_behind_a_store_that_begins_finds_the_cups_made(
    race: Race, api: Api, shop: Shop, gateway: Sandbox, whole: bool
) -> None:
    order_no = confirmed(api, shop, gateway)
    taken = take_out(order_no, {shop.tea.code: 1}, whole=whole)
    _, unmade = race.overtake(lambda: begin(order_no), taken, at="delivery_fulfilment")
    assert unmade is False
    assert Fulfilment.objects.get().lines == [[shop.tea.code, 3]]


@pytest.mark.parametrize("whole", [False, True])
def test_a_store_behind_a_refund_is_told_that_somebody_was_faster(
    race: Race, api: Api, shop: Shop, gateway: Sandbox, whole: bool
) -> None:
    order_no = confirmed(api, shop, gateway)
    taken = take_out(order_no, {shop.tea.code: 1}, whole=whole)
    unmade, refused = race.overtake(taken, lambda: begin(order_no), at="delivery_fulfilment")
    assert unmade is True
    assert isinstance(refused, StaleVersion)


def test_what_a_store_has_begun_with_does_not_change(api: Api, shop: Shop, gateway: Sandbox) -> None:
    begin(confirmed(api, shop, gateway))
    with pytest.raises(IntegrityError, match="is MAKING, and cannot become MAKING"):
        Fulfilment.objects.update(lines=[])


def test_what_comes_back_to_a_recalled_batch_is_written_off(api: Api, shop: Shop, gateway: Sandbox) -> None:
    # Given an order that had its cups out of a batch that is recalled since
    spoils_at = shop.slot.ends_at + timedelta(days=1)
    batch = add_batch(sku=shop.tea.code, spoils_at=spoils_at, quantity=3, reason="delivery", by="mei")
    order_no = confirmed(api, shop, gateway)
    assert Batch.objects.get(key=batch).sold == 3
    recall(batch=batch, reason="glass", by="mei")
    # When
    refund_order(order_no=order_no, reason="recalled", by="mei")
    carry()
    # Then
    assert Batch.objects.values_list("available", "sold", "written_off").get(key=batch) == (0, 0, 3)
    assert batch not in [key for key, *_ in ledger.unexplained()]


def test_only_a_confirmed_order_of_ones_own_is_refunded(api: Api, shop: Shop, gateway: Sandbox) -> None:
    order_no = str(api.order(shop).body["order_no"])
    assert api.post(f"{ORDERS}{order_no}/refund/", {}).problem == "order-not-confirmed"
    with pytest.raises(NotRefundable):
        refund_order(order_no=order_no, reason="x", by="mei")
    stranger = Api(demo.token(customer=shop.other))
    assert stranger.post(f"{ORDERS}{order_no}/refund/", {}).status == 404
    assert not OrderRefund.objects.exists()


def test_a_refund_behind_others_goes_in_a_slower_lane(api: Api, shop: Shop, gateway: Sandbox) -> None:
    order_no = confirmed(api, shop, gateway)
    refund_order(order_no=order_no, reason="too few came", by="campaign", later=True)
    carry()
    assert Run.objects.get(pk=Refund.objects.get().pk).saga == "payments.RefundPaymentLater"
    assert not Run.objects.filter(saga=RefundPayment.name).exists()
    assert Payment.objects.get().state == "RETURNED"


@pytest.mark.parametrize(
    ("discount", "costs"), [(500, [1250, 800]), (1, [3, 3, 3]), (9, [3, 3, 3]), (0, [5]), (7, [0, 7]), (5, [1, 0, 9])]
)
def test_a_discount_is_split_without_a_rest(discount: int, costs: list[int]) -> None:
    shares = split(discount, [Item(f"s{n}", 1, cost) for n, cost in enumerate(costs)])
    assert sum(shares) == discount
    assert all(0 <= share <= cost for share, cost in zip(shares, costs, strict=True))


def test_the_parts_of_a_line_add_up_to_it() -> None:
    parts = [worth(cents=1000, quantity=7, refunded=n, more=1) for n in range(7)]
    assert sum(parts) == 1000
    assert max(parts) - min(parts) <= 1


def test_the_lines_of_an_order_have_their_share_of_its_discount(api: Api, shop: Shop, gateway: Sandbox) -> None:
    confirmed(api, shop, gateway, coupon=shop.coupon())
    assert OrderLine.objects.get().discount_cents == 500


# -- Charged by a step ----------------------------------------------------------------------------------------


def charged(shop: Shop, *, card: str = "visa-4242") -> Order:
    """An order that charges a card, carried to its end."""
    order_no = f"ORD-{uuid4().hex[:12]}"
    place_order(
        order_no=order_no, customer_id=shop.customer.pk, items=[Wanted(shop.tea.code, 2)], slot=shop.slot.pk, card=card
    )
    carry()
    return Order.objects.get(order_no=order_no)


def test_a_card_is_charged_by_a_step_and_what_it_paid_can_be_refunded(shop: Shop, gateway: Sandbox) -> None:
    before = counts(shop)
    order = charged(shop)
    payment = Payment.objects.get()
    assert (state(order.run_id), order.status) == (State.SUCCEEDED, "CONFIRMED")
    assert (payment.state, payment.amount, payment.run_id) == ("TAKEN", 2500, order.run_id)
    # The gateway's message about it changes nothing, and no other payment pays the order
    assert send(order.order_no, payment_id=payment.payment_id).body["outcome"] == "settled"
    assert send(order.order_no, payment_id="pay_2").body["outcome"] == "duplicate"
    assert send(order.order_no, "closed", payment_id="pay_3").body["outcome"] == "not_paid"
    refund_order(order_no=order.order_no, reason="spilt", by="mei")
    carry()
    payment.refresh_from_db()
    assert (payment.state, counts(shop)) == ("RETURNED", before)


def test_an_order_whose_card_is_declined_is_undone(shop: Shop, gateway: Sandbox) -> None:
    before = counts(shop)
    order = charged(shop, card="declined")
    assert (state(order.run_id), order.status, counts(shop)) == (State.FAILED, "REJECTED", before)
    reason = Run.objects.get(pk=order.run_id).reason
    assert reason is not None
    assert reason["code"] == "CardDeclined"
    assert not Payment.objects.exists()


def test_a_charge_whose_answer_is_lost_is_queried_and_not_made_again(shop: Shop, gateway: Sandbox) -> None:
    gateway.misbehave(lose_answers="on", forget_keys="on")
    order = charged(shop)
    assert state(order.run_id) is State.SUCCEEDED
    assert gateway.daily().count(order.order_no) == 1


def test_a_message_about_a_charge_may_come_before_the_answer_to_it(shop: Shop, gateway: Sandbox) -> None:
    # Given a gateway that has charged the card, and tells of it before the run knows
    order_no = f"ORD-{uuid4().hex[:12]}"
    run_id = place_order(
        order_no=order_no,
        customer_id=shop.customer.pk,
        items=[Wanted(shop.tea.code, 2)],
        slot=shop.slot.pk,
        card="visa-4242",
    )
    payment_id = gateway.charged(run_id, order_no, 2500)
    told = send(order_no, payment_id=payment_id, amount=2500)
    assert (told.status, told.body["outcome"]) == (200, "taken")
    # When
    carry()
    # Then it pays the order, and is not given back
    payment = Payment.objects.get()
    assert (state(run_id), payment.payment_id, payment.state) == (State.SUCCEEDED, payment_id, "TAKEN")
    assert gateway.daily().count(order_no) == 1


def test_a_second_payment_of_a_charged_order_goes_back(shop: Shop, gateway: Sandbox) -> None:
    order = charged(shop)
    second = gateway.paid(order.order_no, 2500)
    assert send(order.order_no, payment_id=second, amount=2500).body["outcome"] == "duplicate"
    carry()
    assert Payment.objects.get(payment_id=second).state == "RETURNED"
    assert Payment.objects.get(run_id=order.run_id, state="TAKEN").payment_id != second


def test_a_charge_that_the_gateway_returns_before_the_order_is_confirmed_calls_a_person(
    shop: Shop, gateway: Sandbox
) -> None:
    # Given a charge that somebody returns in the gateway's console, while its run is under way
    order_no = f"ORD-{uuid4().hex[:12]}"
    run_id = place_order(
        order_no=order_no,
        customer_id=shop.customer.pk,
        items=[Wanted(shop.tea.code, 2)],
        slot=shop.slot.pk,
        card="visa-4242",
    )
    payment_id = gateway.charged(run_id, order_no, 2500)
    send(order_no, "refunded", payment_id=payment_id, amount=2500, refund_id="re_1", refund_amount=2500)
    # When
    carry()
    # Then the order stands, and a person sees to it
    payment = Payment.objects.get()
    assert (state(run_id), payment.state) == (State.SUCCEEDED, "RETURNED")
    assert payment.review_run_id is not None
    assert state(payment.review_run_id) is State.ESCALATED


def test_an_order_with_a_card_that_is_cancelled_before_it_begins_is_rejected(shop: Shop, gateway: Sandbox) -> None:
    order_no = f"ORD-{uuid4().hex[:12]}"
    run_id = place_order(
        order_no=order_no,
        customer_id=shop.customer.pk,
        items=[Wanted(shop.tea.code, 2)],
        slot=shop.slot.pk,
        card="visa-4242",
    )
    with transaction.atomic():
        sagas.cancel(run_id, by="mei")
    carry()
    assert Order.objects.get(order_no=order_no).status == "REJECTED"
    assert gateway.daily().count(order_no) == 0


def test_what_a_courier_brings_charges_no_card(shop: Shop) -> None:
    with pytest.raises(ValueError, match="COURIER cannot charge a card"):
        place_order(
            order_no="ORD-1",
            customer_id=shop.customer.pk,
            items=[Wanted(shop.tea.code, 2)],
            slot=shop.slot.pk,
            fulfilment=FulfilmentKind.COURIER,
            card="visa-4242",
        )
    assert not Order.objects.filter(order_no="ORD-1").exists()


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/pay?order_no=ORD-1&amount=-5", None),
        ("GET", "/pay?order_no=ORD-1&amount=much", None),
        ("GET", "/daily.csv?day=%25", None),
        ("POST", "/misbehave", {"late": "soon", "twice": "on"}),
        ("POST", "/misbehave", {"late": "nan"}),
        ("POST", "/misbehave", {"late": "-1"}),
    ],
)
def test_the_sandbox_says_what_it_does_not_understand(
    gateway: Sandbox, method: str, path: str, form: dict[str, str] | None
) -> None:
    answer = httpx.request(method, f"{gateway.url}{path}", data=form)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    # Nor does it do half of it
    assert "checked" not in httpx.get(f"{gateway.url}/").text
