"""What the domains do for a saga: each effect once, each undo once, a whole cohort at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db.models import Model

from delivery.models import SlotHold
from delivery.participants import SlotFull, SlotPast, slots
from inventory.participants import OutOfStock, stock
from orders import participants as orders
from orders.models import Order, OrderLine, OrderStatus
from orders.requests import Item, OrderRequest
from sagas import Call, Done, Operation
from sagas.definition.participants import SetBasedFunction
from tests.shop.conftest import Shop


def ask(shop: Shop, *, coupon: str | None = None, slot: int = 0, quantity: int = 2) -> Call[OrderRequest]:
    items = (Item(shop.tea.code, quantity, 1250), Item("CAKE", 1, 800))
    discount = 500 if coupon else 0
    request = OrderRequest(f"ORD-{uuid4().hex[:8]}", shop.customer.pk, items, slot or shop.slot.pk, coupon, discount)
    return Call(uuid4(), "step", Operation.FORWARD, 1, request)


def outcomes(participant: SetBasedFunction[Any], calls: Sequence[Call[Any]]) -> list[Any]:
    """Classes of the refusals, results of the others; ``None`` of a try whose reserve id is that of its call."""
    answers = participant.many(calls)
    results = [answer.result if isinstance(answer, Done) else type(answer) for answer in answers]
    ids = [{"reserve_id": f"{call.run_id}:{call.step}"} for call in calls]
    return [None if result == own else result for result, own in zip(results, ids, strict=True)]


def runs(model: type[Model], calls: Sequence[Call[Any]]) -> set[UUID]:
    """Which of the calls' runs have rows there. Other tests leave rows, too."""
    return set(
        model._default_manager.filter(run_id__in=[call.run_id for call in calls]).values_list("run_id", flat=True)
    )


def received(call: Call[OrderRequest], discount_cents: int = 0) -> UUID:
    """An order as POST leaves it."""
    request = call.request
    Order.objects.create(
        order_no=request.order_no,
        run_id=call.run_id,
        customer_id=request.customer_id,
        slot=request.slot,
        discount_cents=discount_cents,
    )
    return call.run_id


class TestDelivery:
    def test_a_slot_accepts_orders_up_to_its_capacity(self, shop: Shop) -> None:
        shop.slot.available = 2
        shop.slot.save()
        calls = [ask(shop) for _ in range(3)]
        assert outcomes(slots.try_, calls) == [None, None, SlotFull]
        assert runs(SlotHold, calls) == {calls[0].run_id, calls[1].run_id}

    def test_only_the_orders_for_a_past_slot_are_rejected(self, shop: Shop) -> None:
        calls = [ask(shop), ask(shop, slot=shop.past.pk), ask(shop)]
        assert outcomes(slots.try_, calls) == [None, SlotPast, None]
        assert runs(SlotHold, calls) == {calls[0].run_id, calls[2].run_id}
        shop.slot.refresh_from_db()
        assert (shop.slot.available, shop.slot.held) == (48, 2)

    def test_a_cancel_releases_the_place(self, shop: Shop) -> None:
        calls = [ask(shop), ask(shop)]
        slots.try_.many(calls)
        slots.confirm.many(calls[:1])
        slots.cancel.many(calls[1:])
        shop.slot.refresh_from_db()
        assert (shop.slot.available, shop.slot.held, shop.slot.sold) == (49, 0, 1)


class TestInventory:
    def test_quantities_of_a_repeated_sku_are_added_up(self, shop: Shop) -> None:
        item = Item(shop.tea.code, 3, 1250)
        request = OrderRequest("ORD", shop.customer.pk, (item, item), shop.slot.pk)
        assert outcomes(stock.try_, [Call(uuid4(), "step", Operation.TRY, 1, request)]) == [None]
        assert (shop.cups.available, shop.cups.held) == (94, 6)

    def test_an_order_holds_all_its_items_or_none(self, shop: Shop) -> None:
        # There is no CAKE
        assert outcomes(stock.try_, [ask(shop)]) == [OutOfStock]
        assert (shop.cups.available, shop.cups.held) == (100, 0)


class TestOrders:
    def test_placing_prices_the_order_and_writes_its_lines(self, shop: Shop) -> None:
        calls = [ask(shop, quantity=2), ask(shop, quantity=1)]
        received(calls[0], discount_cents=500)
        # A discount above the price gives nothing back
        received(calls[1], discount_cents=99_999)
        assert outcomes(orders.create_order, calls) == [None, None]
        first, second = (Order.objects.get(run_id=call.run_id) for call in calls)
        assert (first.status, first.total_cents) == (OrderStatus.PLACED, 2 * 1250 + 800 - 500)
        assert second.total_cents == 0
        assert list(first.lines.values_list("sku", "quantity", "unit_price_cents")) == [
            (shop.tea.code, 2, 1250),
            ("CAKE", 1, 800),
        ]

    def test_a_run_without_an_order_is_rejected(self, shop: Shop) -> None:
        there, missing = ask(shop), ask(shop)
        received(there)
        assert outcomes(orders.create_order, [missing, there]) == [orders.NoSuchOrder, None]

    def test_an_order_is_placed_once(self, shop: Shop) -> None:
        call = ask(shop)
        received(call)
        orders.create_order.many([call])
        assert outcomes(orders.create_order, [call]) == [orders.NoSuchOrder]

    @pytest.mark.parametrize(
        ("participant", "status"),
        [(orders.confirm_order, OrderStatus.CONFIRMED), (orders.reject_order, OrderStatus.REJECTED)],
    )
    def test_an_order_gets_its_final_status(
        self, shop: Shop, participant: SetBasedFunction[Any], status: OrderStatus
    ) -> None:
        call = ask(shop)
        received(call)
        orders.create_order.many([call])
        participant.many([call])
        assert Order.objects.get(run_id=call.run_id).status == status

    def test_ending_an_order_twice_does_nothing(self, shop: Shop) -> None:
        calls = [ask(shop), ask(shop)]
        for call in calls:
            received(call)
        orders.create_order.many(calls)
        for _ in range(2):
            assert outcomes(orders.confirm_order, calls[:1]) == [None]
            assert outcomes(orders.reject_order, calls[1:]) == [None]
        # Nor to undo what was never placed, or is no more
        assert outcomes(orders.reject_order, [ask(shop)]) == [None]

    @pytest.mark.parametrize(
        ("participant", "stands"),
        [
            (orders.confirm_order, None),
            (orders.confirm_order, OrderStatus.RECEIVED),
            (orders.confirm_order, OrderStatus.REJECTED),
            (orders.reject_order, OrderStatus.CONFIRMED),
        ],
    )
    def test_an_order_with_another_final_status_is_a_fault(
        self, shop: Shop, participant: SetBasedFunction[Any], stands: OrderStatus | None
    ) -> None:
        call = ask(shop)
        received(call)
        orders.create_order.many([call])
        if stands is None:
            OrderLine.objects.filter(order__run_id=call.run_id).delete()
            Order.objects.filter(run_id=call.run_id).delete()
        else:
            Order.objects.filter(run_id=call.run_id).update(status=stands)
        with pytest.raises(orders.OrderMissing):
            participant.many([call])

    def test_a_cohort_costs_one_statement(self, shop: Shop, django_assert_num_queries: Any) -> None:
        calls = [ask(shop) for _ in range(100)]
        for call in calls:
            received(call)
        for participant in (orders.create_order, orders.confirm_order):
            with django_assert_num_queries(1):
                participant.many(calls)
        assert OrderLine.objects.filter(order__run_id__in=[call.run_id for call in calls]).count() == 200
