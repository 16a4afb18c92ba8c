"""What is found calls a person, by a run that is escalated until it is resolved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from orders.models import Order
from orders.reconciliation.models import Finding
from orders.reconciliation.sagas import ReviewFindings
from sagas import State
from sagas.models import Run
from tests.shop.reconciliation.conftest import Scene, carry, reconcile


@pytest.fixture
def kept(scene: Scene, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Whatever the test writes is committed, for the runs that are carried; the scene is right again afterwards."""
    with django_db_blocker.unblock():
        before = dict(Order.objects.values_list("pk", "status"))
        yield
        for pk, status in before.items():
            Order.objects.filter(pk=pk).update(status=status)
        reconcile()
        carry()
        Finding.objects.all().delete()


def test_what_is_found_calls_a_person_once_until_it_is_resolved(scene: Scene, kept: None) -> None:
    # Given two rows at which one invariant does not hold
    both = Order.objects.filter(order_no__in=[scene.paid, scene.moved])
    both.update(status="REJECTED")
    # When it is found, twice
    reconcile()
    carry()
    reconcile()
    # Then one incident is open, and names both
    incident = Run.objects.get(saga=ReviewFindings.name)
    assert incident.state == State.ESCALATED
    told = str(incident.escalations.get().error)
    assert scene.paid in told
    assert str(scene.run(scene.moved)) in told
    # When all is repaired, then it ends by itself
    both.update(status="CONFIRMED")
    reconcile()
    carry()
    incident.refresh_from_db()
    assert incident.state == State.SUCCEEDED
    # And another time it is another one
    both.update(status="REJECTED")
    reconcile()
    assert Run.objects.filter(saga=ReviewFindings.name).count() == 2
    assert Finding.objects.filter(resolved_at=None).count() == 2
