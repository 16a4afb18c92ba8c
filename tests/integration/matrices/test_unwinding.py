"""Every saga of this project ends wholly confirmed or wholly undone, whatever goes wrong at whichever operation.

Those with data in another database are in ``test_unwinding_other_database``, those with a part in another system in
``test_unwinding_remote``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from orders.sagas import PlaceOrder
from sagas.testing.matrix.cases import Case
from tests.lab.large_data import Carry, Luggage
from tests.lab.personal_data import Host, Ride, Visit
from tests.lab.sagas import (
    AskedChild,
    AskedGuardian,
    Charged,
    Child,
    Closing,
    Experiment,
    Forked,
    Guardian,
    Hopeless,
    Hurried,
    Impatient,
    Keyed,
    KeyedParent,
    KeyedTillApproved,
    Lab,
    Labelled,
    Parent,
    Pivoted,
    Reported,
    ShortLab,
    Telling,
    Twice,
    Unconfirmed,
    Ward,
)
from tests.support.unwinding import an_experiment, an_order_has_all_or_nothing, place, unwinds, wipe

# As the module begins, before any test's transaction.
pytestmark = pytest.mark.usefixtures("empty")


@pytest.fixture(scope="module")
def empty(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        wipe()


def killed_under_one_carrier(case: Case) -> list[Any]:
    return [pytest.mark.slow] if case.kills_process and case.carrier == "choreography" else []


def with_keys() -> Experiment:
    """Of keys that nobody else wants."""
    experiment = an_experiment()
    return replace(experiment, keys=(f"{experiment.jar}-a", f"{experiment.jar}-b"))


def a_visit() -> Visit:
    return Visit(phone="+49 30 1234")


#: An order that came to nothing is kept, with what was ordered, and with its coupon's redemption and refund.
RECORDS = (
    "orders_order.status",
    "orders_orderline",
    "coupons_redemption",
    # Its payment is due back, because of what, and by which run.
    "payments_payment.reason",
    "payments_payment.return_run_id",
)

test_place_order = unwinds(
    PlaceOrder,
    place,
    invariant=an_order_has_all_or_nothing,
    leaves=RECORDS,
    # The run that returns it is not this one, and may have begun.
    ignore=["payments_payment.state"],
    mark=killed_under_one_carrier,
)

test_asked_child = unwinds(AskedChild)
test_carry = unwinds(Carry, lambda: Luggage(results={"one": 3, "two": 5}))
test_charged = unwinds(Charged)
test_child = unwinds(Child)
test_closing = unwinds(Closing)
test_forked = unwinds(Forked)
test_hopeless = unwinds(Hopeless)
test_host = unwinds(Host, a_visit)
test_hurried = unwinds(Hurried)
test_impatient = unwinds(Impatient, with_keys)
test_keyed = unwinds(Keyed, with_keys)
test_keyed_parent = unwinds(KeyedParent, with_keys)
test_keyed_till_approved = unwinds(KeyedTillApproved, with_keys)
test_lab = unwinds(Lab)
test_labelled = unwinds(Labelled)
test_parent = unwinds(Parent, prepare=lambda scenario: scenario.when_child_confirmed("asked"))
test_pivoted = unwinds(Pivoted)
test_reported = unwinds(Reported, prepare=lambda scenario: scenario.when_reported("two").when_reported("left"))
test_ward = unwinds(Ward)
test_guardian = unwinds(Guardian)
test_asked_guardian = unwinds(AskedGuardian, prepare=lambda scenario: scenario.when_child_confirmed("child"))
test_ride = unwinds(Ride, a_visit)
test_short_lab = unwinds(ShortLab)
test_telling = unwinds(Telling)
test_twice = unwinds(Twice)
test_unconfirmed = unwinds(Unconfirmed)
