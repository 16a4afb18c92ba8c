"""A saga that knows people: what is personal in its request and its results, and participants that tell too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from sagas import Call, Confirmation, Done, Outcome, Personal, Rejected, Retry, Saga, Step, SubSaga, set_based
from tests.lab.models import Mark


@dataclass(frozen=True)
class Guest:
    """One who comes along."""

    name: Annotated[str, Personal]
    cups: int = 1


@dataclass(frozen=True)
class Visit:
    """Who comes, and how they are reached.

    Attributes:
        phone: in the text of whatever goes wrong.
        fail: the step that breaks, always.
        refuse: the step that says no.
        clumsy: the operation that breaks for ever, so that a person is called.
    """

    phone: Annotated[str, Personal]
    place: str = "Hall 3"
    guests: tuple[Guest, ...] = ()
    fail: str = ""
    refuse: str = ""
    clumsy: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def welcome(call: Call[Visit]) -> dict[str, Any]:
    """One call: return personal things and others; tell the phone number to whoever reads errors."""
    visit = call.request
    if call.step == visit.fail or f"{call.step}.{call.operation}" == visit.clumsy:
        raise RuntimeError(f"cannot reach {visit.phone} ({visit.guests!r})")
    if call.step == visit.refuse and call.operation == "forward":
        raise Rejected(f"{visit.phone} is on the list already")
    Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    return {"seat": 7, "card": {"holder": f"Ms {visit.phone[-4:]}", "kind": "gold"}}


@set_based
def write_down(calls: Sequence[Call[Visit]]) -> list[Outcome]:
    """Set-based: what the step before returned is readable here, whole."""
    for call in calls:
        assert call.request.phone != "[personal]"
    return [Done(f"letter to {call.results['greet']['card']['holder']}") for call in calls]


QUICK = Retry(attempts=1, delay=timedelta(0), jitter=0)


class Host(Saga[Visit]):
    """Greets, and writes a letter that is personal as a whole."""

    name = "lab.Host"

    payment = Confirmation(within=timedelta(seconds=30), needs_compensation=False, personal=("payer.name",))

    greet = Step(
        welcome,
        compensate=welcome,
        confirm=welcome,
        queue="orders",
        retry=QUICK,
        finish_retry=QUICK,
        personal=("card.holder",),
    )
    note = Step(write_down, queue="coupons", retry=QUICK, personal=True)
    seat = Step(welcome, queue="delivery", retry=QUICK, personal=("card.holder",))


def repeat(call: Call[Visit]) -> dict[str, Any]:
    """One call: return what a customer has written, which nobody has marked."""
    if call.step == call.request.refuse:
        raise Rejected("no")
    return {"remark": call.request.extra.get("remark")}


def pay_back(call: Call[Visit]) -> None:
    """One call: break, and name who had paid."""
    raise RuntimeError(f"{call.results['payment']['payer']['name']} has no account")


class Ride(Saga[Visit]):
    """A step of ``Party``'s."""

    name = "lab.Ride"

    greet = Step(
        welcome, compensate=welcome, queue="orders", retry=QUICK, finish_retry=QUICK, personal=("card.holder",)
    )


class Party(Saga[Visit]):
    """Publishes what it does; one of its steps is a saga; its payment cannot be taken back."""

    name = "lab.Party"
    publishes = True

    payment = Confirmation(
        within=timedelta(seconds=30), personal=("payer.name",), compensate=pay_back, queue="orders", finish_retry=QUICK
    )

    greet = Step(welcome, queue="orders", retry=QUICK, personal=("card.holder",))
    note = Step(write_down, queue="coupons", retry=QUICK, personal=True)
    ride = SubSaga(Ride, request=lambda call: call.request, queue="delivery")
    wish = Step(repeat, queue="delivery", retry=QUICK)
