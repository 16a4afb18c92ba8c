"""Events have names that can be meant, and say in plain JSON what happened."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from orders.sagas import PlaceOrder
from sagas import Event, Events, Saga, Tcc
from sagas.definition.events import EventData, EventDraft, EventNames, camel_case
from sagas.errors import DefinitionError
from sagas.states import State
from tests.unit.definition.test_definition import Resource, make, step


def names(saga: type[Saga[Any]], name: str) -> tuple[str, str, str, str, str]:
    events = saga.definition.event_names.steps[name]
    return events.done, events.rejected, events.failed, events.undone, events.confirmed


def test_a_step_is_called_by_its_name_unless_it_says_otherwise() -> None:
    made: Any = make(
        "Named",
        {
            "reserve_inventory": step(),
            "book_car": Tcc(Resource(), queue="orders", events=Events(done="CarBooked", undone="CarReturned")),
        },
    )
    assert names(made, "reserve_inventory") == (
        "ReserveInventoryDone",
        "ReserveInventoryRejected",
        "ReserveInventoryFailed",
        "ReserveInventoryUndone",
        "ReserveInventoryConfirmed",
    )
    assert names(made, "book_car") == (
        "CarBooked",
        "BookCarRejected",
        "BookCarFailed",
        "CarReturned",
        "BookCarConfirmed",
    )
    assert made.definition.publishes is False


def test_the_event_names_of_an_order() -> None:
    assert names(PlaceOrder, "create_order") == (
        "OrderCreated",
        "OrderRefused",
        "OrderNotCreated",
        "OrderRejected",
        "OrderConfirmed",
    )
    assert names(PlaceOrder, "reserve_inventory") == (
        "InventoryReserved",
        "InventoryRejected",
        "InventoryNotReserved",
        "InventoryReleased",
        "InventoryTaken",
    )
    assert names(PlaceOrder, "apply_coupon")[:4] == (
        "CouponRedeemed",
        "CouponRejected",
        "CouponNotRedeemed",
        "CouponRefunded",
    )
    assert names(PlaceOrder, "schedule_delivery")[0] == "DeliveryScheduled"
    assert PlaceOrder.definition.event_names.started == "PlaceOrderStarted"


@pytest.mark.parametrize(
    "name", ["inventoryReserved", "Inventory_Reserved", "Inventory.Reserved", "1st", "A b", "A" * 121]
)
def test_invalid_event_names_are_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match=r"no name of an event|at most 120"):
        Events(done=name)


def test_private_members_must_be_a_list() -> None:
    mistake: Any = "phone"
    with pytest.raises(DefinitionError, match="list names of members"):
        Events(private=mistake)


def test_no_two_events_of_a_saga_have_one_name() -> None:
    with pytest.raises(DefinitionError, match="two events are called Booked"):
        make("Double", {"a": step(events=Events(done="Booked")), "b": step(events=Events(done="Booked"))})
    with pytest.raises(DefinitionError, match="two events are called DoubleFailed"):
        make("Double", {"a": step(events=Events(rejected="DoubleFailed"))})
    with pytest.raises(DefinitionError, match="two events are called ABDone"):
        make("Double", {"a_b": step(), "aB": step()})


def test_what_is_published_can_be_routed() -> None:
    with pytest.raises(DefinitionError, match="cannot be in a routing key"):
        make("Routed", {"publishes": True, "name": "two words", "a": step()})
    with pytest.raises(DefinitionError, match="at most 255 bytes"):
        make("Routed", {"publishes": True, "name": "订" * 80, "a": step()})
    # What is not published may be called as it likes.
    make("Routed", {"name": "two words", "a": step()})


def test_publishes_must_be_a_boolean() -> None:
    with pytest.raises(DefinitionError, match="give True or False"):
        make("Perhaps", {"publishes": "yes", "a": step()})
    with pytest.raises(DefinitionError, match="the class Saga has this attribute"):
        make("Perhaps", {"publishes": step()})


@pytest.mark.parametrize(
    ("name", "said"),
    [("reserve_inventory", "ReserveInventory"), ("a__b_", "AB"), ("payURL", "PayURL"), ("订货", "订货")],
)
def test_names_are_converted_to_camel_case(name: str, said: str) -> None:
    assert camel_case(name) == said


TRIP = EventNames("trips.BookTrip", {"car": Events(done="CarBooked", private=("phone",))})


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (
            ("car", "forward", "DONE", "EXECUTING", "EXECUTING"),
            [EventDraft("CarBooked", "car", EventData.RESULT, ("phone",))],
        ),
        (("car", "try", "DONE", "EXECUTING", "AWAITING_CONFIRM"), ["CarBooked", "BookTripAwaiting"]),
        (("car", "forward", "DONE", "EXECUTING", "SUCCEEDED"), ["CarBooked", "BookTripSucceeded"]),
        (("car", "forward", "DONE", "EXECUTING", "CONFIRMING"), ["CarBooked", "BookTripConfirmed"]),
        (("car", "confirm", "DONE", "CONFIRMING", "SUCCEEDED"), ["CarConfirmed", "BookTripSucceeded"]),
        (("car", "cancel", "DONE", "COMPENSATING", "FAILED"), ["CarUndone", "BookTripFailed"]),
        (("car", "compensate", "DONE", "COMPENSATING", "COMPENSATING"), ["CarUndone"]),
        (("car", "forward", "REJECTED", "EXECUTING", "COMPENSATING"), ["CarRejected", "BookTripTurnedBack"]),
        (("car", "forward", "FAULT", "EXECUTING", "EXECUTING"), []),
        (
            ("car", "forward", "FAULT", "EXECUTING", "COMPENSATING"),
            [EventDraft("CarFailed", "car", EventData.ERROR), EventDraft("BookTripTurnedBack", "", EventData.REASON)],
        ),
        (("car", "timeout", "EVENT", "EXECUTING", "COMPENSATING"), ["CarFailed", "BookTripTurnedBack"]),
        # All steps together took too long, or it is no step that was too late
        (("", "timeout", "EVENT", "EXECUTING", "COMPENSATING"), ["BookTripTurnedBack"]),
        (("car", "expire", "EVENT", "EXECUTING", "COMPENSATING"), ["BookTripTurnedBack"]),
        # Not for good: a person may have it tried again
        (("car", "cancel", "FAULT", "COMPENSATING", "ESCALATED"), ["BookTripEscalated"]),
        # An attempt of a run that was turned back meanwhile
        (("car", "forward", "FAULT", "COMPENSATING", "COMPENSATING"), []),
        (("car", "confirm", "FAULT", "CONFIRMING", "ESCALATED"), ["BookTripEscalated"]),
        (("", "", "", "PENDING", "EXECUTING"), []),
        (("", "cancel", "EVENT", "PENDING", "COMPENSATING"), ["BookTripTurnedBack"]),
        (("", "", "", "AWAITING_CONFIRM", "CONFIRMING"), ["BookTripConfirmed"]),
        (("", "resume", "EVENT", "ESCALATED", "COMPENSATING"), ["BookTripResumed"]),
        (("", "resolve", "EVENT", "ESCALATED", "FAILED"), ["BookTripFailed"]),
        # A step that this definition does not know, such as what takes a confirmation back.
        (("pay_back", "compensate", "DONE", "COMPENSATING", "COMPENSATING"), ["PayBackUndone"]),
    ],
)
def test_events_follow_from_log_rows(record: tuple[str, str, str, str, str], told: list[Any]) -> None:
    step, operation, outcome, before, after = record
    found = TRIP.drafts(step=step, operation=operation, outcome=outcome, before=State(before), after=State(after))
    assert [event.name for event in found] == [t.name if isinstance(t, EventDraft) else t for t in told]
    assert all(event == t for event, t in zip(found, told, strict=True) if isinstance(t, EventDraft))


EVENT = Event(
    run_id=UUID("01930000-0000-7000-8000-000000000001"),
    position=3,
    name="CarBooked",
    saga="trips.BookTrip",
    version=2,
    step="car",
    business_key="T-7",
    trace_id=UUID(int=255),
    occurred_at=datetime(2026, 11, 23, 6, 0, 0, 5, tzinfo=UTC),
    data={"plate": "沪A·12345"},
    trace_parent="00f067aa0ba902b7-01;vendor=1",
)


def test_an_event_is_encoded_as_a_cloudevent() -> None:
    assert json.loads(EVENT.to_json()) == {
        "specversion": "1.0",
        "id": "01930000-0000-7000-8000-000000000001:3",
        "source": "/sagas/trips.BookTrip",
        "type": "trips.BookTrip.CarBooked",
        "subject": "T-7",
        "time": "2026-11-23T06:00:00.000005+00:00",
        "datacontenttype": "application/json",
        "runid": "01930000-0000-7000-8000-000000000001",
        "position": 3,
        "sagaversion": 2,
        "step": "car",
        "traceid": "000000000000000000000000000000ff",
        "traceparent": "00-000000000000000000000000000000ff-00f067aa0ba902b7-01",
        "tracestate": "vendor=1",
        "data": {"plate": "沪A·12345"},
    }


@pytest.mark.parametrize(
    "changes", [{}, {"data": None, "step": "", "business_key": ""}, {"trace_parent": None, "data": [1, "two", None]}]
)
def test_an_encoded_event_can_be_decoded(changes: dict[str, Any]) -> None:
    from dataclasses import replace

    event = replace(EVENT, **changes)
    assert Event.from_json(event.to_json()) == event


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"5", b"{}", b'{"type": 5}', b"\xff", b'{"type": "a.B", "runid": "x"}']
)
def test_a_message_that_is_no_event_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Event.from_json(text)
