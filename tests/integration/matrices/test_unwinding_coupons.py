"""A coupon is issued to its customer, or its budget is as it was, whatever goes wrong at whichever operation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db.models.functions import Now
from pytest_django import DjangoDbBlocker, Settings

from coupons.issuing import IssueRequest
from coupons.models import Coupon, Grant
from coupons.sagas import IssueCoupon
from sagas.models import Run
from sagas.testing import Ended
from sagas.testing.matrix.cases import Case
from tests.support.unwinding import unwinds, wipe

# As the module begins, before any test's transaction.
pytestmark = pytest.mark.usefixtures("empty", "lasting_lock")


@pytest.fixture(scope="module")
def empty(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        wipe()


@pytest.fixture
def lasting_lock(settings: Settings) -> None:
    # The matrix lets leases lapse. That a lock lapses is test_claiming's.
    settings.COUPON_LOCK_SECONDS = 3600


def a_claim() -> IssueRequest:
    """Of a coupon of which there is one more, by a customer of its own."""
    code = f"C-{uuid4().hex[:8]}"
    customer = get_user_model()._default_manager.create(username=f"customer-{code}")
    Coupon.objects.create(code=code, discount_cents=500, expires_at=Now() + timedelta(days=1), available=2)
    return IssueRequest(code, customer.pk)


def issued_or_not(ended: Ended) -> None:
    """The invariant: the customer has one unit more, or the budget has it."""
    code = Run.objects.get(pk=ended.run_id).request["coupon"]
    counts = Coupon.objects.values_list("available", "held", "sold").get(code=code)
    states = list(Grant.objects.filter(coupon=code).values_list("state", "issued_by_run"))
    if ended.succeeded:
        assert (counts, states) == ((1, 0, 1), [("ISSUED", ended.run_id)])
    else:
        assert (counts, states) == ((2, 0, 0), [])


def killed(case: Case) -> list[Any]:
    return [pytest.mark.slow] if case.kills_process or case.carrier == "choreography" else []


test_issue_coupon = unwinds(IssueCoupon, a_claim, invariant=issued_or_not, leaves=(), mark=killed)
