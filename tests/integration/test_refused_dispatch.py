"""A claim whose messages RabbitMQ refuses is given back whole."""

from __future__ import annotations

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

import sagas
from sagas import State
from sagas.dispatch import dispatch, drop_connections
from sagas.models import Run
from tests.lab.celery import app
from tests.lab.sagas import Experiment, Lab
from tests.support import broker
from tests.support.runs import make_due, state

pytestmark = pytest.mark.usefixtures("alone")


def test_a_dispatch_that_is_refused_leaves_the_runs_as_they_were() -> None:
    # Given
    broker.publish_task("orders", "sagas.step")
    ids = [sagas.start(Lab, Experiment()) for _ in range(3)]
    with broker.refusing("orders"):
        # When
        with pytest.raises(OperationalError):
            dispatch()
        drop_connections(app)

        # Then they have not begun, and are due again soon
        for run in Run.objects.filter(pk__in=ids):
            assert (run.claims, run.started_at, run.deadline) == (0, None, None)
            assert run.due_at is not None
            assert (run.due_at - timezone.now()).total_seconds() <= 1
        assert broker.length("orders") == 1

    # And then they begin
    make_due(ids)
    dispatch()
    assert broker.length("orders") == 2
    assert {state(run_id) for run_id in ids} == {State.EXECUTING}
