"""The one URL of a gateway: what is stored is answered 200, and every kind of message moves what it should."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

import sagas
from inventory.models import Batch
from orders import demo, services
from orders.models import Order
from payments import participants, refunds, sweeping
from payments.models import Payment, PaymentEvent, Refund
from payments.sagas import RefundPayment, ReviewPayment
from sagas import State, runtime
from sagas.models import Confirmation, Escalation, Run
from tests.shop.conftest import ORDERS, SECRET, Api, Reply, Shop, build_shop, confirm, paid, sign
from tests.support import tables
from tests.support.carrier import Carrier, claim_all
from tests.support.runs import state

pytestmark = pytest.mark.usefixtures("alone")
OTHER = f"whsec_{b64encode(b'the secret of another gateway, 32').decode()}"


@pytest.fixture(autouse=True)
def _emptied(alone: None, settings: Settings) -> Iterator[None]:
    settings.WEBHOOK_SECRET = SECRET
    settings.MORE_GATEWAYS = {"alipay": {"secret": OTHER, "url": "", "token": ""}}
    names = ("payments_refund", "payments_payment", "payments_paymentevent", "orders_order", "orders_orderline")
    tables.empty(*names)
    yield
    tables.empty(*names)


@pytest.fixture
def shop(database: None) -> Shop:
    return build_shop()


@pytest.fixture
def api(shop: Shop) -> Api:
    return Api(demo.token(customer=shop.customer))


@pytest.fixture
def order_no(api: Api, shop: Shop) -> str:
    return str(api.order(shop).body["order_no"])


def send(
    order_no: str, status: str = "succeeded", *, payment_id: str = "pay_1", gateway: str = "main", **says: Any
) -> Reply:
    """Send a message of a gateway, with another id than any other message."""
    message = says.pop("message", None)
    body = json.dumps(paid(order_no, payment_id, status=status, **says)).encode()
    headers = sign(body, secret=OTHER if gateway == "alipay" else SECRET, message=message)
    return Api().call("POST", f"/api/v1/payments/webhook/{gateway}/", body=body, headers=headers)


def run_of(order_no: str) -> UUID:
    run_id: UUID = Order.objects.get(order_no=order_no).run_id
    return run_id


def carry() -> None:
    Carrier().run(list(Run.objects.values_list("pk", flat=True)))


def escalate(order_no: str) -> UUID:
    """An order that waits for a person, before its pivot."""
    run_id = run_of(order_no)
    Run.objects.filter(pk=run_id).update(state="EXECUTING", claims=6)
    claim_all(lapsed=True)
    assert state(run_id) is State.ESCALATED
    return run_id


def payment(payment_id: str = "pay_1") -> tuple[str, str, int, int]:
    found = Payment.objects.get(payment_id=payment_id)
    return found.state, found.reason, found.returning_amount, found.returned_amount


# -- What is answered -----------------------------------------------------------------------------------------


def test_what_is_stored_is_answered_200_whatever_it_came_to(api: Api, shop: Shop, order_no: str) -> None:
    undone = str(api.order(shop).body["order_no"])
    api.post(f"{ORDERS}{undone}/cancel/")
    told = [
        send("ORD-20260101-00000000", payment_id="pay_0"),
        send(undone, payment_id="pay_2"),
        send(order_no, amount=1, payment_id="pay_3"),
        send(order_no, currency="USD", payment_id="pay_4"),
        send(order_no, "a word of next year", payment_id="pay_5"),
        send(order_no, payment_id="pay_6"),
        send(order_no, payment_id="pay_7"),
        send(undone, payment_id="pay_6"),
    ]
    assert [reply.status for reply in told] == [200] * 8
    assert [reply.body["outcome"] for reply in told] == [
        *("unknown_order", "too_late", "wrong_amount", "wrong_currency", "not_paid", "taken", "duplicate", "conflict")
    ]
    assert PaymentEvent.objects.count() == 8


def test_an_answer_names_the_order_its_booking_and_the_refund(order_no: str) -> None:
    first = send(order_no)
    assert first.body.keys() >= {"order_no", "payment_id", "outcome", "order_state", "booking_id", "refund"}
    assert (first.body["booking_id"], first.body["refund"]) == (None, None)
    carry()
    # A repeat tells the present truth, and is on record once
    repeat = send(order_no)
    assert (repeat.body["outcome"], repeat.body["order_state"]) == ("settled", "SUCCEEDED")
    assert isinstance(repeat.body["booking_id"], int)
    assert PaymentEvent.objects.get().outcome == "taken"
    late = send(order_no, payment_id="pay_2")
    assert late.body["refund"]["refund_amount"] == 2500
    assert late.body["refund"]["state"] == "REQUESTED"


def test_each_gateway_has_secrets_payments_and_messages_of_its_own(api: Api, shop: Shop, order_no: str) -> None:
    another = str(api.order(shop).body["order_no"])
    assert send(order_no, message="m").body["outcome"] == "taken"
    assert send(another, gateway="alipay", message="m").body["outcome"] == "taken"
    assert Payment.objects.filter(payment_id="pay_1").count() == 2
    # Signed by another one's secret; and of one that is not there
    body = json.dumps(paid(order_no)).encode()
    wrong = Api().call("POST", "/api/v1/payments/webhook/alipay/", body=body, headers=sign(body))
    assert (wrong.status, wrong.problem) == (401, "invalid-signature")
    nobody = Api().call("POST", "/api/v1/payments/webhook/nobody/", body=body, headers=sign(body))
    assert (nobody.status, nobody.problem) == (404, "not-found")


def test_another_message_under_a_known_id_is_refused_and_not_stored(order_no: str) -> None:
    assert send(order_no, "failed", message="m").status == 200
    second = send(order_no, message="m")
    assert (second.status, second.problem) == (422, "webhook-id-reused")
    assert not Payment.objects.exists()
    assert not Confirmation.objects.exists()


def test_what_could_not_be_stored_is_asked_for_again(order_no: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(**_: Any) -> None:
        raise ArithmeticError("a bug")

    monkeypatch.setattr(services, "receive_payment", breaks)
    reply = send(order_no)
    assert (reply.status, reply.problem) == (503, "payments-unavailable")
    assert reply.headers["Retry-After"]
    assert not PaymentEvent.objects.exists()


@pytest.mark.parametrize("lacks", ["refund_id", "refund_amount"])
def test_a_refund_says_which_and_how_much(order_no: str, lacks: str) -> None:
    says: dict[str, Any] = {"refund_id": "r_1", "refund_amount": 100, lacks: ...}
    reply = send(order_no, "refunded", **says)
    assert (reply.status, reply.pointers) == (422, [f"#/{lacks}"])


# -- Closed ---------------------------------------------------------------------------------------------------


def test_a_closed_payment_undoes_its_order(order_no: str) -> None:
    assert send(order_no, "closed").body["outcome"] == "closed"
    carry()
    assert state(run_of(order_no)) is State.FAILED
    assert not Payment.objects.exists()


def test_a_closed_payment_changes_nothing_of_a_paid_order(order_no: str) -> None:
    send(order_no, payment_id="pay_2")
    assert send(order_no, "closed").body["outcome"] == "not_paid"
    carry()
    assert state(run_of(order_no)) is State.SUCCEEDED


# -- Parked ---------------------------------------------------------------------------------------------------


def test_a_payment_during_an_escalation_is_parked_and_taken_on_resume(order_no: str) -> None:
    run_id = escalate(order_no)
    assert send(order_no).body["outcome"] == "parked"
    assert confirm(order_no, message="again").problem == "order-decided"
    assert payment() == ("PARKED", "", 0, 0)
    sagas.resume(run_id, by="mei")
    assert payment() == ("TAKEN", "", 0, 0)
    carry()
    assert send(order_no, message="once-more").body["outcome"] == "settled"


@pytest.mark.parametrize("outcome", [State.FAILED, State.SUCCEEDED])
def test_a_parked_payment_follows_a_person_who_ends_its_order(order_no: str, outcome: State) -> None:
    run_id = escalate(order_no)
    send(order_no)
    send(order_no, payment_id="pay_2")
    sagas.resolve(run_id, outcome=outcome, by="mei", note="by hand")
    if outcome is State.SUCCEEDED:
        assert payment() == ("TAKEN", "", 0, 0)
        assert payment("pay_2") == ("DUE_BACK", "duplicate", 2500, 0)
    else:
        assert payment() == ("DUE_BACK", "too_late", 2500, 0)


def test_a_parked_payment_whose_hook_was_lost_is_found_by_the_sweep(
    order_no: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = escalate(order_no)
    send(order_no)
    with monkeypatch.context() as lost:
        lost.setattr(refunds, "offer_parked", lambda _: None)
        sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="by hand")
    assert payment() == ("PARKED", "", 0, 0)
    assert refunds.sweep() == 1
    assert payment() == ("DUE_BACK", "too_late", 2500, 0)
    assert refunds.sweep() == 0


def test_a_payment_taken_for_an_order_that_was_undone_is_found_by_the_sweep(
    shop: Shop, order_no: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(order_no)
    Batch.objects.filter(pk=shop.tea.pk).update(available=0)
    with monkeypatch.context() as forgetful:
        forgetful.setattr(participants, "owe", lambda *_, **__: None)
        carry()
    assert (state(run_of(order_no)), payment()[0]) == (State.FAILED, "TAKEN")
    assert refunds.sweep() == 1
    assert payment() == ("DUE_BACK", "undone", 2500, 0)


def test_a_tick_sweeps_at_the_pace_of_the_setting(
    order_no: str, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    # Given a parked payment whose hook was lost, and a process that has not swept
    run_id = escalate(order_no)
    send(order_no)
    with monkeypatch.context() as lost:
        lost.setattr(refunds, "offer_parked", lambda _: None)
        sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="by hand")
    monkeypatch.setattr(sweeping, "pace", sweeping.Pace())
    assert sweeping.sweep_on_tick in runtime.declared.tick_hooks
    # When sweeps are off, then a tick does nothing
    settings.PAYMENT_SWEEP_SECONDS = 0
    assert sweeping.sweep_on_tick() is None
    # When they are on, then the first tick sweeps, and the next one waits
    settings.PAYMENT_SWEEP_SECONDS = 3600
    assert [sweeping.sweep_on_tick(), sweeping.sweep_on_tick()] == [1, None]
    assert payment() == ("DUE_BACK", "too_late", 2500, 0)


# -- Refunded, by the gateway ---------------------------------------------------------------------------------


def test_a_refund_that_is_told_before_its_payment_is_kept_and_applied(order_no: str) -> None:
    assert send(order_no, "refunded", refund_id="r_1", refund_amount=2500).body["outcome"] == "refunded"
    assert payment() == ("RETURNED", "refunded", 0, 2500)
    # The payment pays nothing, and the order stays payable
    assert send(order_no).body["outcome"] == "refunded"
    assert not Confirmation.objects.exists()
    assert send(order_no, payment_id="pay_2").body["outcome"] == "taken"


def test_the_rest_of_a_payment_that_was_partly_refunded_first_is_due_back(order_no: str) -> None:
    send(order_no, "refunded", refund_id="r_1", refund_amount=1000)
    assert payment() == ("DUE_BACK", "refunded", 1500, 1000)


def test_a_refund_in_the_console_that_a_person_was_asked_for_ends_its_run(order_no: str) -> None:
    # Given a payment that is due back, of a gateway without an API
    send(order_no, amount=1)
    carry()
    refund = Refund.objects.get()
    assert state(refund.pk) is State.ESCALATED
    # When, twice
    for message in ("m1", "m2"):
        send(order_no, "refunded", amount=1, refund_id="console_7", refund_amount=1, message=message)
    # Then
    assert payment() == ("RETURNED", "wrong_amount", 0, 1)
    assert state(refund.pk) is State.SUCCEEDED
    assert Refund.objects.get().gateway_refund_id == "console_7"


@pytest.mark.parametrize(("amount", "becomes"), [(2500, "RETURNED"), (700, "PARTLY_RETURNED")])
def test_a_refund_of_a_paid_order_that_nobody_asked_for_calls_a_person(
    order_no: str, amount: int, becomes: str
) -> None:
    send(order_no)
    send(order_no, "refunded", refund_id="r_1", refund_amount=amount)
    assert payment() == (becomes, "", 0, amount)
    carry()
    review = Payment.objects.get().review_run_id
    assert review is not None
    assert state(review) is State.ESCALATED


def test_a_payment_of_nothing_is_returned_at_once(order_no: str) -> None:
    send(order_no, amount=0)
    assert payment() == ("RETURNED", "wrong_amount", 0, 0)
    assert not Refund.objects.exists()


def test_a_refund_of_more_than_was_paid_is_a_conflict(order_no: str) -> None:
    send(order_no)
    assert send(order_no, "refunded", refund_id="r_1", refund_amount=2501).body["outcome"] == "conflict"
    assert payment() == ("CONFLICT", "conflict", 0, 0)


# -- Disputed -------------------------------------------------------------------------------------------------


def test_a_dispute_calls_a_person_and_stops_refunds_until_it_is_settled(order_no: str) -> None:
    # Given a payment that is due back and disputed
    send(order_no, amount=1)
    assert send(order_no, "disputed", amount=1).body["outcome"] == "disputed"
    carry()
    found, refund = Payment.objects.get(), Refund.objects.get()
    assert found.review_run_id is not None
    assert (state(found.review_run_id), state(refund.pk)) == (State.ESCALATED, State.ESCALATED)
    assert "disputes" in Escalation.objects.get(run_id=refund.pk, resolved_at=None).error["detail"]
    # When a person settles it, and a late repeat of the dispute comes
    sagas.resolve(found.review_run_id, outcome=State.SUCCEEDED, by="mei", note="won")
    send(order_no, "disputed", amount=1)
    # Then
    found.refresh_from_db()
    assert found.disputed_at is None


def test_a_dispute_that_is_told_before_its_payment_is_kept(order_no: str) -> None:
    assert send(order_no, "disputed").body["outcome"] == "disputed"
    assert payment() == ("TAKEN", "", 0, 0)
    assert Payment.objects.get().disputed_at is not None
    assert Run.objects.filter(saga=ReviewPayment.name).count() == 1


# -- What the schema holds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE payments_payment SET returned_amount = 2501",
        "UPDATE payments_payment SET state = 'RETURNED', returned_amount = 2500",
        "UPDATE payments_payment SET state = 'DUE_BACK', reason = 'undone'",
        "UPDATE payments_payment SET state = 'PARKED'",
        "UPDATE payments_payment SET disputed_at = now()",
        "INSERT INTO payments_refund (id, payment_id, amount, state, source, reason, note, by, gateway_refund_id) "
        "SELECT gen_random_uuid(), id, 1, 'REQUESTED', 'shop', 'undone', '', '', '' FROM payments_payment",
    ],
)
def test_no_statement_makes_a_payment_and_its_refunds_disagree(order_no: str, sql: str) -> None:
    send(order_no)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    "sql", ["DELETE FROM payments_refund", "UPDATE payments_refund SET amount = 1, state = 'REQUESTED'"]
)
def test_no_statement_changes_a_refund(order_no: str, sql: str) -> None:
    send(order_no, amount=7)
    assert Run.objects.filter(saga=RefundPayment.name).count() == 1
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
