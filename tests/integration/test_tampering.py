"""What somebody has changed by SQL: refused by the schema where it can be, else a fault, else found by the doctor."""

from __future__ import annotations

import pytest

import sagas
from sagas import State
from tests.lab.models import JarHold
from tests.lab.sagas import Experiment, Lab
from tests.support.carrier import Carrier
from tests.support.runs import assert_jar_adds_up, escalation, new_jar, state

pytestmark = pytest.mark.usefixtures("alone")


# -- Counts that are read, not assumed ------------------------------------------------------------------------


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_run_without_its_hold_calls_a_person_and_its_neighbours_go_on(confirmed: bool) -> None:
    # Given three runs that hold, and the hold of one deleted by hand
    jar = new_jar(10)
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(3)]
    Carrier().run(ids)
    JarHold.objects.filter(run_id=ids[1]).delete()

    # When they are confirmed, or cancelled
    for run_id in ids:
        if confirmed:
            sagas.confirm(run_id, "approval", {})
        else:
            sagas.cancel(run_id)
    Carrier().run(ids)

    # Then the one neither succeeds with nothing sold nor fails with stock held
    ended = State.SUCCEEDED if confirmed else State.FAILED
    assert [state(run_id) for run_id in ids] == [ended, State.ESCALATED, ended]
    assert escalation(ids[1]).error["code"] == "PoolInconsistent"
    # And once the hold is put back, it goes on where it stood
    JarHold.objects.create(run_id=ids[1], step="three", pool_key=jar, quantity=1)
    sagas.resume(ids[1], by="ada")
    Carrier().run(ids)
    assert state(ids[1]) is ended
    assert_jar_adds_up(jar, 10)
