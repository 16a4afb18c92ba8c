"""Which event leads to which operation, over definitions of every shape."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.sagas import PlaceOrder
from sagas.decisions import choreography
from sagas.decisions.choreography import bindings, done, reactions, rejected, trigger
from sagas.decisions.plan import Place, operations_at, place_to_undo
from sagas.decisions.plan import place_after as after
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.states import LIVE, UNDECIDED, State
from tests.unit.decisions.test_plan import definitions, deliveries, one_further, randoms, refunds, standing


def test_domain_events_move_an_order() -> None:
    domains = {"orders", "inventory", "coupons", "delivery", "payments"}
    assert {queue for queue, _ in bindings(PlaceOrder.definition)} == domains
    names = ["create_order", "reserve_inventory", "apply_coupon", "schedule_delivery", "payment"]
    led = {
        event: [(names[index], phase.value) for index, phase in operations]
        for event, operations in reactions(PlaceOrder.definition).items()
    }
    # Forward, by what was done
    assert led["PlaceOrderStarted"] == [("create_order", "forward")]
    assert led["OrderCreated"] == [("reserve_inventory", "forward")]
    assert led["InventoryReserved"] == [("apply_coupon", "forward")]
    assert led["CouponRedeemed"] == [("schedule_delivery", "forward")]
    assert "DeliveryScheduled" not in led  # the payment comes from outside
    # Back, by who said no and what was undone
    # (who said no is undone as well, where it was begun and may have had an effect)
    assert led["CouponRejected"] == [("reserve_inventory", "undo"), ("apply_coupon", "undo"), ("payment", "undo")]
    assert led["CouponRefunded"] == [("reserve_inventory", "undo")]
    # And on, when it is paid
    assert led["PlaceOrderConfirmed"] == [("create_order", "confirm")]
    assert led["OrderConfirmed"] == [("reserve_inventory", "confirm")]
    # Whom a cancel or a deadline concerns, it reaches
    assert {step for step, phase in led["PlaceOrderTurnedBack"] if phase == "undo"} == set(names)


@given(definitions())
def test_every_operation_has_an_event_that_triggers_it(definition: Definition) -> None:
    for index, phase in deliveries(definition):
        assert (index, phase) in reactions(definition)[trigger(definition, index, phase)]


@given(st.data(), randoms)
def test_a_done_operation_triggers_the_next(data: st.DataObject, random: Random) -> None:
    definition = data.draw(definitions())
    place = data.draw(standing(definition))
    for index, phase in operations_at(definition, place):
        if place.state is State.PENDING:
            continue
        following, _ = after(definition, place, index, phase, confirmed=False)
        if following.state is place.state:
            told = reactions(definition).get(done(definition, index, phase), [])
            # Of a fork that is not whole yet, nothing follows.
            new = set(operations_at(definition, following)) - set(operations_at(definition, place))
            assert new <= set(told), (place, index, phase)


@given(st.data())
def test_a_rejection_triggers_the_first_undo(data: st.DataObject) -> None:
    definition = data.draw(definitions())
    place = data.draw(standing(definition).filter(lambda place: place.state is State.EXECUTING))
    came = data.draw(st.sampled_from([0, refunds(definition, 0.0), refunds(definition, 0.6)]))
    for index, _ in operations_at(definition, place):
        begun = 1 << index if definition.has_operation(index, Phase.UNDO) and data.draw(st.booleans()) else 0
        back, _ = place_to_undo(definition, place, came | begun)
        assert set(operations_at(definition, back)) <= set(reactions(definition).get(rejected(definition, index), []))


@pytest.mark.parametrize("seed", range(3))
def test_events_alone_bring_an_order_to_its_end(seed: int) -> None:
    """Only the events of the domains and of the customer: nobody asks what comes next."""
    definition, random = PlaceOrder.definition, Random(seed)
    place, event, seen = Place(State.PENDING, 0), definition.event_names.started, []
    while place.state in LIVE:
        if place.state is State.AWAITING_CONFIRM:
            place, event = Place(State.CONFIRMING, 0), definition.event_names.confirmed
            continue
        (index, phase) = random.choice(reactions(definition)[event])
        assert (index, phase) in operations_at(definition, place)
        seen.append(definition.all_steps[index].name)
        place = one_further(definition, place, confirmed=False, choose=random.choice)
        event = done(definition, index, phase)
        assert place.state in UNDECIDED | {State.CONFIRMING, State.SUCCEEDED}
    assert len(seen) == 7


def test_routing_keys_distinguish_versions() -> None:
    assert choreography.binding_key(PlaceOrder.definition, "OrderCreated") == "orders.PlaceOrder.1.OrderCreated"
