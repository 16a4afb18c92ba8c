"""The sagas of the runs in ``before``. Do not change them: those runs were begun with exactly these definitions.

They use only what both versions of the engine have.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from django.db import connections, transaction

from sagas import Accepted, Call, Confirmation, Done, Lock, Parallel, Personal, Rejected, Saga, Step, SubSaga
from sagas.remote import HttpParticipant

#: Whether the runs are being made: participants break on demand, and ``Changed`` has its first shape.
MAKING = bool(os.environ.get("UPGRADE_MAKING"))

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Wish:
    """What a run is asked for.

    Attributes:
        customer: who wishes it.
        rejects: the steps that say no.
        breaks: ``step.operation`` that fail while the runs are being made.
        dies: the operation in the other database after whose commit the worker is killed.
        key: the business key that the run locks.
    """

    customer: Annotated[str, Personal] = "Lin"
    rejects: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    dies: str = ""
    key: str = ""


class Broken(Exception):
    """Something fails while the runs are being made."""


class Died(BaseException):
    """Stands for a worker that is killed: nothing catches it."""


def effect(call: Call[Wish], alias: str = "default") -> dict[str, str]:
    """Record that the operation took effect; or reject it, or break."""
    name = f"{call.step}.{call.operation}"
    if call.step in call.request.rejects and call.operation in {"forward", "try"}:
        raise Rejected(f"{call.step} says no", code="SoldOut")
    if MAKING and name in call.request.breaks:
        raise Broken(f"{name} is broken")
    with connections[alias].cursor() as cursor:
        cursor.execute("INSERT INTO upgrade_effect (run_id, name) VALUES (%s, %s)", [call.run_id, name])
    return {"by": call.step}


def effect_there(call: Call[Wish]) -> dict[str, str]:
    """Do the same in the other database; the worker may be killed after the commit there."""
    if MAKING and call.request.dies == f"{call.step}.{call.operation}":
        transaction.on_commit(_die, using="loyalty")
    return effect(call, "loyalty")


def _die() -> None:
    raise Died


def begin(call: Call[Wish]) -> Accepted:
    """Accept an operation that another system is to report."""
    effect(call)
    return Accepted(timedelta(days=1))


class Order(Saga[Wish]):
    """Has two confirmations, one of them with a compensation; publishes events."""

    name = "upgrade.Order"
    publishes = True

    approval = Confirmation(within=HOUR, needs_compensation=False)
    payment = Confirmation(within=2 * HOUR, compensate=effect, queue="coupons")

    one = Step(effect, confirm=effect, compensate=effect, queue="orders")
    two = Step(effect, compensate=effect, queue="coupons")
    three = Step(effect, confirm=effect, compensate=effect, queue="delivery")


class Forked(Saga[Wish]):
    """Has two branches, one of which is accepted and reported later; no confirmation."""

    name = "upgrade.Forked"

    one = Step(effect, compensate=effect, queue="orders")
    both = Parallel(
        left=Step(effect, compensate=effect, queue="delivery"),
        right=Step(begin, compensate=effect, queue="coupons"),
    )
    four = Step(effect, compensate=effect, queue="orders")


class Pivoted(Saga[Wish]):
    """Only goes forward after its second step."""

    name = "upgrade.Pivoted"

    one = Step(effect, compensate=effect, queue="orders")
    two = Step(effect, queue="coupons", pivot=True)
    three = Step(effect, queue="delivery")


class Child(Saga[Wish]):
    """A step of ``Parent``, with a confirmation of its own."""

    name = "upgrade.Child"

    approval = Confirmation(within=HOUR, needs_compensation=False)

    inner = Step(effect, confirm=effect, compensate=effect, queue="coupons")


class Parent(Saga[Wish]):
    """Has a saga as a step."""

    name = "upgrade.Parent"

    one = Step(effect, compensate=effect, queue="orders")
    child = SubSaga(Child, request=lambda call: call.request, queue="orders")
    four = Step(effect, compensate=effect, queue="delivery")


class Keyed(Saga[Wish]):
    """Locks its business key until it is approved."""

    name = "upgrade.Keyed"

    locks = (Lock(lambda wish: wish.key or None),)
    approval = Confirmation(within=HOUR, needs_compensation=False)

    one = Step(effect, compensate=effect, queue="orders")


class Travelling(Saga[Wish]):
    """Travels by events."""

    name = "upgrade.Travelling"
    carrier = "choreography"

    approval = Confirmation(within=HOUR, needs_compensation=False)

    one = Step(effect, confirm=effect, compensate=effect, queue="orders")
    two = Step(effect, compensate=effect, queue="coupons")


class Changed(Saga[Wish]):
    """Has one step more now than when its run was begun, under the same version."""

    name = "upgrade.Changed"

    one = Step(effect, compensate=effect, queue="orders")
    if not MAKING:
        added = Step(effect, compensate=effect, queue="delivery")
    two = Step(effect, compensate=effect, queue="coupons")


points = HttpParticipant("upgrade-points", lambda: os.environ["UPGRADE_POINTS_URL"], timeout=20)


def _wanted(call: Call[Any]) -> object:
    return {"customer": call.request.customer}


class Remote(Saga[Wish]):
    """Has its second step in another system."""

    name = "upgrade.Remote"

    one = Step(effect, compensate=effect, queue="orders")
    debit = Step(points.post("/debits", _wanted), compensate=points.delete("/debits"), queue="coupons")


class Afar(Saga[Wish]):
    """Has two steps in another database."""

    name = "upgrade.Afar"

    approval = Confirmation(within=HOUR, needs_compensation=False)

    one = Step(effect, compensate=effect, queue="orders")
    two = Step(effect_there, confirm=effect_there, compensate=effect_there, queue="coupons", database="loyalty")
    three = Step(effect_there, compensate=effect_there, queue="delivery", database="loyalty")


class Breaking(Saga[Wish]):
    """Has a confirm that breaks until the breaker of its participant opens."""

    name = "upgrade.Breaking"

    approval = Confirmation(within=HOUR, needs_compensation=False)

    one = Step(effect, confirm=effect, compensate=effect, queue="orders")


#: The report of the step that was accepted.
REPORT = Done({"by": "somebody"})
