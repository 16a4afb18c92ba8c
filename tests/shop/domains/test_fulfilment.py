"""What a store does for a confirmed order: once for each, forward only, by somebody who has seen how it stands."""

from __future__ import annotations

from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from delivery import selectors, services
from delivery.errors import IllegalMove, NotInQueue, ReasonMissing, StaleVersion
from delivery.models import NEXT, Fulfilment, FulfilmentMove, FulfilmentState
from delivery.participants import slots
from orders.models import Order
from sagas.testing import given_run
from tests.shop.conftest import Api, Shop
from tests.shop.domains.test_participants import ask

pytestmark = pytest.mark.django_db


@pytest.fixture
def work(shop: Shop) -> Fulfilment:
    call = ask(shop)
    slots.try_.many([call])
    slots.confirm.many([call])
    return Fulfilment.objects.get(run_id=call.run_id)


def move(work: Fulfilment, *states: FulfilmentState) -> Fulfilment:
    for state in states:
        work = services.move(order_no=work.order_no, to=state, version=work.version, by="mei", reason="a reason")
    return work


#: A way to each state.
WAYS = {
    FulfilmentState.ACCEPTED: (),
    FulfilmentState.MAKING: (FulfilmentState.MAKING,),
    FulfilmentState.READY: (FulfilmentState.MAKING, FulfilmentState.READY),
    FulfilmentState.HANDED_OVER: (FulfilmentState.MAKING, FulfilmentState.READY, FulfilmentState.HANDED_OVER),
    FulfilmentState.NOT_COLLECTED: (FulfilmentState.MAKING, FulfilmentState.READY, FulfilmentState.NOT_COLLECTED),
    FulfilmentState.REFUSED: (FulfilmentState.REFUSED,),
}


def test_a_paid_order_is_in_its_stores_queue_once(api: Api, shop: Shop) -> None:
    # Given an order that is placed and paid
    order_no = api.order(shop).body["order_no"]
    run_id = Order.objects.get(order_no=order_no).run_id
    # Then the store has nothing to do before it is confirmed
    given_run(run_id).then_waits()
    assert not Fulfilment.objects.filter(run_id=run_id).exists()
    # When it is, although the answer of the confirm is lost
    given_run(run_id).when_confirmed().when_times_out(
        "schedule_delivery", operation="confirm", attempts=2
    ).then_succeeded()
    # Then there is one piece of work, of the store and the time of its slot
    work = Fulfilment.objects.get(run_id=run_id)
    assert (work.order_no, work.store_id, work.slot, work.due_at) == (order_no, 1, shop.slot.pk, shop.slot.starts_at)
    assert (work.state, work.version, work.kind, work.lines, work.cups) == (
        "ACCEPTED",
        1,
        "SLOT",
        [[shop.tea.code, 2]],
        2,
    )
    assert work in selectors.queue(store=1)


def test_an_order_that_is_undone_is_never_in_a_queue(api: Api, shop: Shop) -> None:
    order_no = api.order(shop).body["order_no"]
    run_id = Order.objects.get(order_no=order_no).run_id
    assert api.post(f"/api/v1/orders/{order_no}/cancel/").status == 202
    given_run(run_id).then_failed()
    assert not Fulfilment.objects.filter(run_id=run_id).exists()


@pytest.mark.parametrize(("source", "target"), list(product(FulfilmentState, FulfilmentState)))
def test_an_order_goes_only_where_the_states_lead(
    work: Fulfilment, source: FulfilmentState, target: FulfilmentState
) -> None:
    work = move(work, *WAYS[source])
    if target in NEXT[source]:
        after = move(work, target)
        assert (after.state, after.version) == (target, work.version + 1)
        return
    with pytest.raises(IllegalMove):
        move(work, target)
    if target is not source:
        # The table refuses it, too
        with pytest.raises(IntegrityError, match="cannot become"), transaction.atomic():
            Fulfilment.objects.filter(pk=work.pk).update(state=target, changed_by="somebody", reason="x")


def test_each_move_is_on_record_and_stays_there(work: Fulfilment) -> None:
    move(work, FulfilmentState.MAKING)
    services.move(order_no=work.order_no, to=FulfilmentState.REFUSED, version=2, by="bo", reason="no milk")
    rows = FulfilmentMove.objects.filter(fulfilment=work)
    told = list(rows.values_list("version", "source", "target", "by", "reason"))
    assert told == [(2, "ACCEPTED", "MAKING", "mei", "a reason"), (3, "MAKING", "REFUSED", "bo", "no milk")]
    for change in (lambda: rows.update(by="somebody else"), rows.delete):
        with pytest.raises(DatabaseError, match="stays on record"), transaction.atomic():
            change()


def test_who_has_not_seen_the_last_move_is_refused(work: Fulfilment) -> None:
    move(work, FulfilmentState.MAKING)
    with pytest.raises(StaleVersion, match="is MAKING by now"):
        services.move(order_no=work.order_no, to=FulfilmentState.MAKING, version=1, by="bo")


def test_a_refusal_needs_a_reason_and_an_order_a_store(work: Fulfilment) -> None:
    with pytest.raises(ReasonMissing):
        services.move(order_no=work.order_no, to=FulfilmentState.REFUSED, version=1, by="bo")
    with pytest.raises(NotInQueue):
        services.move(order_no="NO-SUCH", to=FulfilmentState.MAKING, version=1, by="bo")


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 7},
        {"state": "MAKING"},
        {"state": "REFUSED", "changed_by": "bo"},
        {"state": "LOST", "changed_by": "bo"},
        {"kind": "DRONE"},
    ],
    ids=["a version of its own", "nobody", "no reason", "an unknown state", "an unknown kind"],
)
def test_the_table_refuses_what_no_code_would_write(work: Fulfilment, changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Fulfilment.objects.filter(pk=work.pk).update(**changes)


def test_a_cohort_gives_its_stores_their_work_by_one_statement(shop: Shop, django_assert_num_queries: Any) -> None:
    calls = [ask(shop) for _ in range(20)]
    slots.try_.many(calls)
    with django_assert_num_queries(2):  # the places, and the work
        slots.confirm.many(calls)
    assert Fulfilment.objects.filter(run_id__in=[call.run_id for call in calls]).count() == 20


def test_work_begins_at_the_beginning(shop: Shop) -> None:
    insert = (
        "INSERT INTO delivery_fulfilment (run_id, order_no, store_id, slot, due_at, kind, lines, state, changed_by) "
        "VALUES (%s, 'X', 1, 1, now(), 'SLOT', '[]', 'READY', 'bo')"
    )
    with pytest.raises(IntegrityError, match="begins as READY"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(insert, [uuid4()])
