"""What customers may read of why a run is undone, and what is for operators, from one end to the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection

import sagas
from sagas import Call, Confirmation, Rejected, Retry, Saga, State, Step, SubSaga, selectors
from sagas.decisions.reasons import public_reason
from sagas.models import Outbox, Run
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import Carrier
from tests.support.runs import reason, state, story

pytestmark = pytest.mark.usefixtures("alone")

SECRET = "password of 10.0.0.1"


@dataclass(frozen=True)
class Wish:
    how: str = "breaks"


def do(call: Call[Wish]) -> None:
    match call.request.how:
        case "breaks":
            raise KeyError(SECRET)
        case "says no":
            raise Rejected("Sold out.", code="SoldOut", note=SECRET)


class Hurried(Saga[Wish]):
    """Out of time before its next attempt."""

    name = "tests.Hurried"
    publishes = True
    timeout = timedelta(seconds=1)
    one = Step(do, queue="orders", retry=Retry(attempts=3, delay=timedelta(seconds=5)))


class Patient(Saga[Wish]):
    name = "tests.Patient"
    publishes = True
    payment = Confirmation(within=timedelta(seconds=30), needs_compensation=False)
    one = Step(do, queue="orders", retry=Retry(attempts=1))


class Parent(Saga[Wish]):
    name = "tests.ToldParent"
    child = SubSaga(Patient, request=lambda call: call.request, queue="orders")


def failed(saga: type[Saga[Wish]], how: str = "breaks") -> UUID:
    run_id = sagas.start(saga, Wish(how))
    carrier = Carrier()
    children = [run_id]
    for _ in range(4):
        carrier.run(children)
        children = list(Run.objects.values_list("id", flat=True))
    assert state(run_id) is State.FAILED, story(run_id)
    return run_id


@pytest.mark.parametrize(
    ("saga", "how", "told"),
    [
        (Hurried, "breaks", ("timeout", "TimedOut", "the steps took too long")),
        (Patient, "breaks", ("fault", "Fault", "Something broke on our side.")),
        (Patient, "says no", ("rejected", "SoldOut", "Sold out.")),
        (Parent, "breaks", ("rejected", "Fault", "Something broke on our side.")),
        (Parent, "says no", ("rejected", "SoldOut", "Sold out.")),
    ],
)
def test_customers_read_public_reasons_and_operators_read_all(
    saga: type[Saga[Wish]], how: str, told: tuple[str, str, str]
) -> None:
    run_id = failed(saga, how)
    # Operators
    assert SECRET in reason(run_id)["detail"]
    view = selectors.run_view(run_id)
    assert view.reason == reason(run_id)
    # Customers
    assert view.public_reason is not None
    assert (view.public_reason["kind"], view.public_reason["code"], view.public_reason["detail"]) == told
    for step in view.steps:
        assert SECRET not in str(step.public_error)
    # And whoever listens to events
    assert SECRET not in str(list(Outbox.objects.values_list("data", flat=True)))


@pytest.mark.parametrize("end", ["cancel", "refuse"])
@pytest.mark.parametrize(("message", "told"), [("as you wished", "as you wished"), ("", None)])
def test_an_operators_note_is_shown_to_operators_only(end: str, message: str, told: str | None) -> None:
    run_id = sagas.start(Lab, Experiment())
    if end == "cancel":
        sagas.cancel(run_id, reason="a fraud, says Mei", by="mei", message=message)
        told = told or "It was cancelled."
    else:
        sagas.decline(run_id, "approval", reason="a fraud, says Mei", by="mei", message=message)
        told = told or "It was refused."
    assert reason(run_id)["detail"] == "a fraud, says Mei"
    assert public_reason(reason(run_id))["detail"] == told


def test_old_reasons_are_shown_in_the_same_way() -> None:
    run_id = failed(Patient, "says no")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET reason = reason - 'message' WHERE id = %s", [run_id])
    # It has one text, which was written for customers: nothing tells that it was not
    assert public_reason(reason(run_id))["kind"] == "rejected"
