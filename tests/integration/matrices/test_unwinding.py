"""Every saga of this project ends wholly confirmed or wholly undone, whatever goes wrong at whichever operation.

Those with data in another database are in ``test_unwinding_other_database``, those with a part in another system in
``test_unwinding_remote``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from orders.sagas import JoinCampaign, PlaceOrder, PlaceShortLivedOrder, RefundOrder
from sagas.states import ORCHESTRATION
from sagas.testing.matrix.cases import Case
from tests.lab.large_data import Carry, Luggage
from tests.lab.personal_data import Host, Ride, Visit
from tests.lab.sagas import (
    AskedChild,
    AskedGuardian,
    Charged,
    Child,
    Choosy,
    ChoosyCompressed,
    ChoosyParent,
    Closing,
    Compressed,
    CompressedGroup,
    Experiment,
    Forked,
    Grouped,
    GroupGuardian,
    Guardian,
    Hopeless,
    Hurried,
    Impatient,
    Keyed,
    KeyedParent,
    KeyedTillApproved,
    Lab,
    Labelled,
    PaidGroup,
    Parent,
    Pivoted,
    Reported,
    ShortLab,
    Telling,
    Twice,
    TwoJars,
    Unconfirmed,
    Ward,
)
from tests.support.unwinding import (
    a_member_has_all_or_nothing,
    a_membership_is_back_or_nothing,
    all_of_it_is_back_or_nothing,
    an_experiment,
    an_order_has_all_or_nothing,
    join,
    of_a_confirmed_order,
    of_a_member,
    place,
    unwinds,
    wipe,
)

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


def in_a_group() -> Experiment:
    """Of which nobody else is: its decision is made by the case."""
    experiment = an_experiment()
    return replace(experiment, group=experiment.jar)


def of_two_jars() -> Experiment:
    first, second = an_experiment(), an_experiment()
    return replace(first, jar=f"{first.jar}+{second.jar}")


def a_visit() -> Visit:
    return Visit(phone="+49 30 1234")


def skipping(*steps: str) -> Callable[[], Experiment]:
    return lambda: replace(an_experiment(), skip=steps)


#: An order that came to nothing is kept, with what was ordered, and with its coupon's grants: the refunded one, and the
#: one that replaces it, which its customer has. So that unit stays granted.
RECORDS = (
    "orders_order.status",
    "orders_orderline",
    "coupons_grant",
    "coupons_coupon.available",
    "coupons_coupon.sold",
    "coupons_coupon.settled",
    # Its payment is due back, because of what, how much, and by which run.
    "payments_payment.reason",
    "payments_payment.returning_amount",
    "payments_refund",
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

# Its steps are those of PlaceOrder.
test_place_short_lived_order = unwinds(
    PlaceShortLivedOrder,
    partial(place, shelf_life=60),
    invariant=an_order_has_all_or_nothing,
    leaves=RECORDS,
    ignore=["payments_payment.state"],
    mark=lambda _case: [pytest.mark.slow],
    carriers=[ORCHESTRATION],
)

# What it does at each step, the laboratory's and the order's matrices say every day.
test_join_campaign = unwinds(
    JoinCampaign,
    join,
    invariant=a_member_has_all_or_nothing,
    leaves=(*RECORDS, "campaigns_member"),
    ignore=["payments_payment.state"],
    mark=lambda _case: [pytest.mark.slow],
)
# Its money goes back by a run of its own, which calls a person here: this gateway has no API.
test_refund_order = unwinds(
    RefundOrder,
    of_a_confirmed_order,
    invariant=all_of_it_is_back_or_nothing,
    skips=["leave_campaign"],
    ignore=["payments_payment.state"],
)
test_refund_order_of_a_member = unwinds(
    RefundOrder,
    of_a_member,
    invariant=a_membership_is_back_or_nothing,
    ignore=["payments_payment.state"],
    mark=lambda case: [] if case.step == "leave_campaign" and case.carrier == ORCHESTRATION else [pytest.mark.slow],
)

test_asked_child = unwinds(AskedChild)
test_carry = unwinds(Carry, lambda: Luggage(results={"one": 3, "two": 5}))
test_charged = unwinds(Charged)
test_child = unwinds(Child)
test_closing = unwinds(Closing)
test_choosy = unwinds(Choosy)
test_choosy_without_a_branch = unwinds(Choosy, skipping("two"), skips=["two"])
test_choosy_without_its_fork = unwinds(Choosy, skipping("two", "three"), skips=["two", "three"])
test_choosy_without_its_ends = unwinds(Choosy, skipping("one", "four"), skips=["one", "four"])
test_choosy_with_what_is_behind_the_pivot = unwinds(
    Choosy, skipping("one", "two", "three"), skips=["one", "two", "three"]
)
test_choosy_parent = unwinds(ChoosyParent)
test_choosy_parent_without_its_child = unwinds(ChoosyParent, skipping("child"), skips=["child"])
test_choosy_compressed = unwinds(ChoosyCompressed, carriers=[ORCHESTRATION])
test_choosy_compressed_without_a_step = unwinds(
    ChoosyCompressed, skipping("one"), skips=["one"], carriers=[ORCHESTRATION]
)
# Choreographed, they are performed in the ordinary way, as ``Lab`` is.
test_compressed = unwinds(Compressed, carriers=[ORCHESTRATION])
test_grouped = unwinds(Grouped, in_a_group)
test_compressed_group = unwinds(CompressedGroup, in_a_group, carriers=[ORCHESTRATION])
test_paid_group = unwinds(PaidGroup, in_a_group)
test_group_guardian = unwinds(
    GroupGuardian, in_a_group, prepare=lambda scenario: scenario.when_child_confirmed("child")
)
test_two_jars = unwinds(TwoJars, of_two_jars, carriers=[ORCHESTRATION])
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
