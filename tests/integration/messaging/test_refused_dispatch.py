"""A claim whose messages RabbitMQ refuses is given back whole."""

from __future__ import annotations

import pytest
from django.utils import timezone

import sagas
from sagas import State, store
from sagas.delivery.carrier import CarrierAway
from sagas.delivery.dispatching import dispatch
from sagas.engine import lifecycle
from sagas.messaging.app import app
from sagas.messaging.publisher import Publisher, drop_connections
from sagas.models import Run
from tests.lab.sagas import Experiment, Lab
from tests.support import broker
from tests.support.carrier import Carrier, chains, claim_all, deadlines, deliver_all
from tests.support.runs import make_due, shift_clock, state

pytestmark = pytest.mark.usefixtures("alone")


def test_a_refused_dispatch_leaves_the_runs_unchanged() -> None:
    # Given
    broker.publish_task("orders", "sagas.step")
    ids = [sagas.start(Lab, Experiment()) for _ in range(3)]
    with broker.refusing("orders"):
        # When
        with pytest.raises(CarrierAway):
            dispatch(Publisher)
        drop_connections(app)

        # Then they have not begun, and are due again soon
        for run in Run.objects.filter(pk__in=ids):
            assert (run.claims, run.started_at, run.deadline) == (0, None, None)
            assert run.due_at is not None
            assert (run.due_at - timezone.now()).total_seconds() <= 1
        assert broker.length("orders") == 1

    # And then they begin
    make_due(ids)
    dispatch(Publisher)
    assert broker.length("orders") == 2
    assert {state(run_id) for run_id in ids} == {State.EXECUTING}


@pytest.mark.parametrize("paid", [False, True], ids=["not paid", "paid"])
def test_a_message_without_a_publisher_confirm_that_arrives_still_has_its_deadline(paid: bool, jar: str) -> None:
    # Given runs whose lease was given back, for the broker did not confirm in time that it had their message
    run_id = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    store.claims.release_leases([run_id])
    assert Run.objects.get(pk=run_id).started_at is None

    # When that message comes
    deliver_all(chain)

    # Then the time to pay begins when they wait for it, and not never
    assert state(run_id) is State.AWAITING_CONFIRM
    (deadline,) = deadlines(claim_all())
    assert deadline.ids == (run_id,)
    run = Run.objects.get(pk=run_id)
    assert run.started_at is not None
    assert run.deadline is not None
    assert (run.deadline - run.started_at).total_seconds() == pytest.approx(deadline.within, abs=0.01)
    if paid:
        sagas.confirm(run_id, "approval", {})
    else:
        shift_clock([run_id], deadline.within)
        lifecycle.expire_unconfirmed(deadline.saga, deadline.version, deadline.confirmation, deadline.ids, by="message")
    Carrier().run([run_id])
    assert state(run_id) is (State.SUCCEEDED if paid else State.FAILED)


def test_the_tick_expires_such_a_run_if_the_deadline_message_is_lost(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    store.claims.release_leases([run_id])
    deliver_all(chain)
    assert deadlines(claim_all())
    # When its time is over, and the deadline that went out for it never comes
    make_due([run_id])
    assert chains(claim_all(lapsed=True)) == []
    shift_clock([run_id], 32)
    claim_all()
    assert state(run_id) is State.COMPENSATING
