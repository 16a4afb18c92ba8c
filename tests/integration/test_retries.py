"""Between two attempts a run waits, whatever the network delivers meanwhile."""

from __future__ import annotations

import pytest

import sagas
from sagas import State
from sagas.models import Run
from tests.lab.sagas import Experiment, Unconfirmed
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import assert_effects_once, state, story

pytestmark = pytest.mark.usefixtures("alone")


@pytest.mark.parametrize("step", ["one", "two"])
def test_a_second_copy_of_a_message_is_no_second_attempt(step: str) -> None:
    # Given a run whose step breaks, one attempt before the last
    run_id = sagas.start(Unconfirmed, Experiment(faults={f"{step}.forward": 1}))
    carrier = Carrier()
    carrier.run([run_id], until=lambda: Run.objects.get(pk=run_id).attempt == 1)
    (broken,) = carrier.delivered[-1:]
    assert story(run_id)[-1] == f"{step}.forward FAULT"
    before = story(run_id)

    # When the message comes again, and again
    for _ in range(2):
        deliver(broken)

    # Then the run still waits for its second attempt
    assert story(run_id) == before
    assert Run.objects.get(pk=run_id).attempt == 1

    # And has it when its time has come
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert_effects_once(run_id)


def test_a_retry_that_is_delivered_twice_is_one() -> None:
    run_id = sagas.start(Unconfirmed, Experiment(faults={"two.forward": 1}))
    Carrier(copies=1).run([run_id], until=lambda: Run.objects.get(pk=run_id).attempt == 1)
    Run.objects.filter(pk=run_id).update(due_at="2000-01-01T00:00:00Z")
    (retry,) = chains(claim_all())
    for _ in range(2):
        deliver(retry)
    assert state(run_id) is State.SUCCEEDED
    assert_effects_once(run_id)
