"""One run of each fate, end to end on real servers."""

from __future__ import annotations

import pytest

import sagas
from sagas import State, selectors
from sagas.models import Log
from tests.lab.models import Jar, Mark
from tests.lab.sagas import Experiment, Lab, ShortLab, Unconfirmed
from tests.support.awaiting import eventually

pytestmark = [pytest.mark.usefixtures("database", "shared_worker")]


def await_state(run_id, *states, within=20):
    eventually(lambda: selectors.run_view(run_id).state in states, within=within, what=f"{run_id} in {states}")


def test_happy_path():
    jar = Jar.objects.create(name="happy", available=5)
    run_id = sagas.start(Lab, Experiment(jar="happy", quantity=2), business_key="K1")
    await_state(run_id, State.AWAITING_CONFIRM)
    sagas.confirm(run_id, "approval", {"by": "me"})
    await_state(run_id, State.SUCCEEDED)
    jar.refresh_from_db()
    assert (jar.available, jar.held, jar.sold) == (3, 0, 2)
    for e in selectors.timeline(run_id):
        print(e.at, e.step, e.operation, e.outcome, e.worker, e.compensate, e.data)


def test_reject():
    Jar.objects.create(name="rej", available=5)
    run_id = sagas.start(Lab, Experiment(jar="rej", quantity=2, reject=("four",)))
    await_state(run_id, State.FAILED)
    for e in selectors.timeline(run_id):
        print(e.at, e.step, e.operation, e.outcome, e.worker, e.compensate, e.data)
    assert Jar.objects.get(name="rej").available == 5


def test_fault_then_ok():
    run_id = sagas.start(Unconfirmed, Experiment(faults={"one.forward": 2, "two.forward": 1}))
    await_state(run_id, State.SUCCEEDED)
    print(selectors.run_view(run_id))


def test_timeout():
    run_id = sagas.start(ShortLab, Experiment())
    await_state(run_id, State.FAILED)
    print(selectors.run_view(run_id))
    assert Log.objects.get(run_id=run_id, operation="expire").data["by"] == "message"
