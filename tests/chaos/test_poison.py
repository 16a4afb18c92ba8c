"""One poisonous run travels in a cohort of a hundred: its ninety-nine neighbours are unharmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings

from sagas.models import Escalation, Run
from tests.lab.points import POISON
from tests.support.awaiting import eventually
from tests.support.platform_fixtures import WorkerGroup
from tests.support.shop import TEA, Shop, run_of
from tests.support.shop_invariants import assert_shop_invariants, await_all_ended
from tests.support.web import Caller

pytestmark = pytest.mark.chaos

NEIGHBOURS = 99
Poisoning = Callable[[Run], None]


@pytest.fixture(autouse=True)
def _antidote(shop: Shop) -> Iterator[None]:
    yield
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.delete(POISON)


def breaks_the_statement(run: Run) -> None:
    """More cups than the column takes: the one statement for all raises."""
    run.request["items"][0]["quantity"] = 2**31
    run.save(update_fields=["request"])


def cannot_be_read(run: Run) -> None:
    """A request that is none, as from another version."""
    run.request = {"nonsense": True}
    run.save(update_fields=["request"])


def kills_its_worker(run: Run) -> None:
    """Whoever performs a step of it dies by SIGKILL."""
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        client.set(POISON, str(run.pk))


@pytest.mark.parametrize(
    ("poisoning", "ends"),
    [
        (breaks_the_statement, "FAILED"),
        # Its payment was taken, and what gives it back breaks as well: a person is called.
        pytest.param(cannot_be_read, "ESCALATED", marks=pytest.mark.slow),
        # As without a broker, which is tested by default: it takes a minute until the worker's deaths are told apart.
        pytest.param(kills_its_worker, "ESCALATED", marks=pytest.mark.slow),
    ],
)
def test_runs_in_one_cohort_with_a_poisonous_run_are_unharmed(
    poisoning: Poisoning, ends: str, worker_group: WorkerGroup, customer: Caller, shop: Shop
) -> None:
    # Given a hundred paid orders that begin together, one of them poisonous
    worker_group.start(LEASE=1)
    with worker_group.suspended():
        numbers = [str(customer.place([(TEA, 1)], slot=shop.slot).body["order_no"]) for _ in range(NEIGHBOURS + 1)]
        assert {customer.pay(order_no).status for order_no in numbers} == {200}
        poison = numbers[len(numbers) // 2]
        poisoning(Run.objects.get(pk=run_of(poison)))

    # Then the others succeed, and soon
    neighbours = Run.objects.exclude(business_key=poison)
    eventually(lambda: neighbours.filter(state="SUCCEEDED").count() == NEIGHBOURS, within=30, what="neighbours done")

    # And it alone is given up
    await_all_ended()
    run = Run.objects.get(business_key=poison)
    assert (run.state, run.reason and run.reason["kind"]) == (ends, "fault")
    if ends == "FAILED":
        # The invariants compare the order with what was asked for.
        run.request["items"][0]["quantity"] = 1
        run.save(update_fields=["request"])
        assert_shop_invariants(shop.before)
    else:
        assert Escalation.objects.get(resolved_at=None).step == "payment"
