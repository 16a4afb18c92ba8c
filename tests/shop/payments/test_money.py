"""Every state of an order's run × every message of a gateway, twice and out of order: all money is accounted for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID, uuid4

import pytest
from django.db import connection
from pytest_django import Settings

import sagas
from inventory.models import Batch
from orders import services
from orders.models import Order
from orders.services import Wanted
from payments.models import Payment
from payments.services import Message
from sagas import State
from sagas.models import Run
from tests.shop.conftest import Shop, build_shop
from tests.support import tables
from tests.support.carrier import Carrier, chains, claim_all, deliver

pytestmark = pytest.mark.usefixtures("alone")
TOTAL = 1250
#: Kinds of messages: status, and what differs from a payment of the order.
EVENTS: dict[str, tuple[str, dict[str, object]]] = {
    "succeeded": ("succeeded", {}),
    "too little": ("succeeded", {"amount": TOTAL - 1}),
    "another currency": ("succeeded", {"currency": "USD"}),
    "a second payment": ("succeeded", {"payment_id": "second"}),
    "failed": ("failed", {}),
    "closed": ("closed", {}),
    "refunded": ("refunded", {"refund_amount": TOTAL}),
    "partly refunded": ("refunded", {"refund_amount": 250}),
    "too much refunded": ("refunded", {"refund_amount": TOTAL + 1}),
    "disputed": ("disputed", {}),
    "of next year": ("chargeback", {}),
}
#: In which order a kind of message comes, beside the payment of the order.
SEQUENCES = [
    pytest.param("EPEP", id="twice and out of order"),
    *(pytest.param(sequence, marks=pytest.mark.slow) for sequence in ("PEPE", "EE", "PEE")),
]


@pytest.fixture(autouse=True)
def _emptied(alone: None, settings: Settings) -> Iterator[None]:
    names = ("payments_refund", "payments_payment", "payments_paymentevent", "orders_order", "orders_orderline")
    tables.empty(*names)
    yield
    tables.empty(*names)


@pytest.fixture
def shop(database: None) -> Shop:
    shop = build_shop()
    Batch.objects.filter(pk=shop.tea.pk).update(available=1000)
    shop.slot.available = 1000
    shop.slot.save()
    return shop


def place(shop: Shop, count: int) -> list[str]:
    numbers = [f"ORD-{uuid4().hex[:12]}" for _ in range(count)]
    for order_no in numbers:
        services.place_order(
            order_no=order_no, customer_id=shop.customer.pk, items=[Wanted(shop.tea.code, 1)], slot=shop.slot.pk
        )
    return numbers


def run_ids() -> list[UUID]:
    return list(Order.objects.values_list("run_id", flat=True))


def carry() -> None:
    Carrier().run(list(Run.objects.values_list("pk", flat=True)))


def tell(order_no: str, status: str, number: str = "", **says: object) -> None:
    """A message of the gateway; each repeat is a message of its own."""
    told = {"order_no": order_no, "payment_id": f"pay-{order_no}", "amount": TOTAL, "currency": "CNY", **says}
    if told["payment_id"] == "second":
        told["payment_id"] = f"second-{order_no}"
    if status == "refunded":
        told["refund_id"] = f"re-{order_no}"
    body = json.dumps({**told, "status": status, "number": number})
    message: Message = Message(webhook_id=f"m-{uuid4().hex}", body=body, status=status, **told)  # type: ignore[arg-type]  # as named
    services.receive_payment(message=message)


# -- The states of a run ----------------------------------------------------------------------------------------


def pending(_: Sequence[str]) -> None:
    pass


def executing(_: Sequence[str]) -> None:
    for chain in chains(claim_all()):
        deliver(chain)


def awaiting(_: Sequence[str]) -> None:
    carry()


def confirming(numbers: Sequence[str]) -> None:
    carry()
    for order_no in numbers:
        tell(order_no, "succeeded")


def succeeded(numbers: Sequence[str]) -> None:
    confirming(numbers)
    carry()


def compensating(_: Sequence[str]) -> None:
    for run_id in run_ids():
        sagas.cancel(run_id, by="mei")


def failed(numbers: Sequence[str]) -> None:
    compensating(numbers)
    carry()


def escalated(_: Sequence[str]) -> None:
    Run.objects.filter(pk__in=run_ids()).update(state="EXECUTING", claims=6)
    claim_all(lapsed=True)


def escalated_behind_the_pivot(numbers: Sequence[str]) -> None:
    confirming(numbers)
    Run.objects.filter(pk__in=run_ids()).update(claims=6)
    claim_all(lapsed=True)


def pruned_and_confirmed(numbers: Sequence[str]) -> None:
    succeeded(numbers)
    Run.objects.filter(pk__in=run_ids()).delete()


def pruned_and_undone(numbers: Sequence[str]) -> None:
    failed(numbers)
    Run.objects.filter(pk__in=run_ids()).delete()


def unknown(_: Sequence[str]) -> None:
    Order.objects.all().delete()


STATES: dict[Callable[[Sequence[str]], None], State | None] = {
    pending: State.PENDING,
    executing: None,
    awaiting: None,
    confirming: State.CONFIRMING,
    succeeded: State.SUCCEEDED,
    compensating: State.COMPENSATING,
    failed: State.FAILED,
    escalated: State.ESCALATED,
    escalated_behind_the_pivot: State.ESCALATED,
    pruned_and_confirmed: None,
    pruned_and_undone: None,
    unknown: None,
}


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("bring", STATES, ids=lambda bring: bring.__name__)
def test_all_money_is_accounted_for(shop: Shop, bring: Callable[[Sequence[str]], None], sequence: str) -> None:
    # Given an order for each kind of message
    cases = [(kind, sequence) for kind in EVENTS]
    numbers = place(shop, len(cases))
    bring(numbers)
    if (state := STATES[bring]) is not None:
        assert set(Run.objects.filter(pk__in=run_ids()).values_list("state", flat=True)) == {state}

    # When
    for order_no, (kind, _) in zip(numbers, cases, strict=True):
        status, says = EVENTS[kind]
        for number, what in enumerate(sequence):
            if what == "P":
                tell(order_no, "succeeded", str(number))
            else:
                tell(order_no, status, str(number), **says)

    # Then, at once and when everything has gone its way
    of = dict(zip(numbers, cases, strict=True))
    assert wrong(of, at_rest=False) == []
    carry()
    assert wrong(of, at_rest=True) == []
    # And when a person lets go on what waited, or ends it
    for index, run_id in enumerate(Run.objects.filter(pk__in=run_ids(), state="ESCALATED").order_by("pk")):
        if index % 2 or bring is escalated_behind_the_pivot:
            sagas.resume(run_id.pk, by="mei")
        else:
            sagas.resolve(run_id.pk, outcome=State.FAILED, by="mei", note="by hand")
    carry()
    assert wrong(of, at_rest=True) == []


_KEPT = """
SELECT p.order_no, p.payment_id, p.state, p.reason, p.amount - p.returned_amount - p.returning_amount AS kept,
       COALESCE(run.state, CASE o.status WHEN 'CONFIRMED' THEN 'SUCCEEDED' WHEN 'REJECTED' THEN 'FAILED' END),
       EXISTS (SELECT FROM sagas_run AS review WHERE review.id = p.review_run_id
               AND review.state NOT IN ('SUCCEEDED', 'FAILED'))
FROM payments_payment AS p LEFT JOIN orders_order AS o ON o.order_no = p.order_no
LEFT JOIN sagas_run AS run ON run.id = p.run_id ORDER BY p.id
"""
_UNSEEN = """
SELECT p.order_no, r.amount FROM payments_refund AS r JOIN payments_payment AS p ON p.id = r.payment_id
WHERE r.state = 'REQUESTED' AND NOT EXISTS (
    SELECT FROM sagas_run AS run WHERE run.id = r.id AND run.state NOT IN ('SUCCEEDED', 'FAILED'))
"""


def wrong(of: dict[str, tuple[str, str]], *, at_rest: bool) -> list[object]:
    """What nobody accounts for: money that is kept for nothing, an order that nobody paid, a refund without a run.

    Args:
        of: kind and order of the messages of each order, for the complaint.
        at_rest: whether nothing is on its way, so that no order is being undone.
    """
    with connection.cursor() as cursor:
        cursor.execute(_KEPT)
        rows = cursor.fetchall()
        cursor.execute(_UNSEEN)
        complaints: list[object] = [("a refund that nobody makes", of[number], amount) for number, amount in cursor]
    kept: dict[str, int] = {}
    held_by_a_person: set[str] = set()
    for order_no, payment_id, state, reason, cents, run, reviewed in rows:
        if reviewed or (state == "PARKED" and run == "ESCALATED"):
            held_by_a_person.add(order_no)
        elif cents and (
            reason or run is None or run == "FAILED" or (run == "COMPENSATING" and at_rest) or state == "PARKED"
        ):
            complaints.append(("kept for nothing", of[order_no], payment_id, state, reason, cents, run))
        if not reason and state != "PARKED":
            kept[order_no] = kept.get(order_no, 0) + cents
    for order in Order.objects.filter(status="CONFIRMED").exclude(order_no__in=held_by_a_person):
        total = (order.total_cents or 0) - order.refunded_cents
        if kept.get(order.order_no, 0) != total:
            complaints.append(("confirmed, and not paid so", of[order.order_no], kept.get(order.order_no), total))
    return complaints


def test_the_sums_add_up(shop: Shop) -> None:
    # Given orders that are paid, undone, refunded in part, and paid twice
    paid, undone, parted, twice = place(shop, 4)
    for order_no in (paid, undone, parted, twice):
        tell(order_no, "succeeded")
    tell(twice, "succeeded", payment_id="second")
    carry()
    tell(parted, "refunded", refund_amount=250)
    carry()
    # Then
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(amount - returned_amount - returning_amount) FROM payments_payment")
        (kept,) = cursor.fetchone()
    totals = sum(order.total_cents or 0 for order in Order.objects.filter(status="CONFIRMED"))
    reviewed = Payment.objects.get(order_no=parted)
    assert reviewed.review_run_id is not None
    # A person holds the part that the gateway has returned without being asked
    assert kept == totals - 250
