"""Old runs are deleted by the ticks of real workers, while new runs take from the same pool."""

from __future__ import annotations

from uuid import UUID

import pytest
import uuid_utils.compat
from pytest_django import Settings

import sagas
from sagas import State
from sagas.retention import pruning
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment, Lab
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier
from tests.support.retention import KEPT, age, keep, left_of, old_id, there
from tests.support.runs import await_states, counts

pytestmark = [pytest.mark.usefixtures("alone", "jar"), pytest.mark.slow]
OLD, NEW = 200, 200


def test_new_runs_and_the_deletion_of_old_ones_do_not_disturb_each_other(
    jar: str, start_worker: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given many runs of long ago, half of them sold
    with monkeypatch.context() as patched:
        patched.setattr(uuid_utils.compat, "uuid7", old_id)
        old = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(OLD)]
    Carrier().run(old)
    for number, run_id in enumerate(old):
        if number % 2:
            sagas.confirm(run_id, "approval", {})
        else:
            sagas.cancel(run_id)
    Carrier().run(old)
    age(old)

    # When two workers delete them by their ticks, a command does so too, and new runs come
    keep(settings)
    for _ in range(2):
        start_worker(RETENTION={"*": KEPT}, PRUNE=10, TICK=0.1)
    new: list[UUID] = []
    for number in range(NEW):
        new.append(sagas.start(Lab, Experiment(jar=jar, reject=("four",) if number % 10 == 0 else ())))
        if number % 10:
            sagas.confirm(new[-1], "approval", {})
        if number % 20 == 0:
            pruning.prune_batch(pruning.BY_TIME, limit=5)

    # Then all new runs end as they must, and all old ones are gone
    ended = await_states(new, State.SUCCEEDED, State.FAILED)
    assert ended == {State.SUCCEEDED: NEW * 9 // 10, State.FAILED: NEW // 10}
    eventually(lambda: not there(old), within=60, what="all old runs are gone")
    assert left_of(old) == 0
    assert there(new) == set(new)
    # And the pool has what was sold, then and now.
    assert counts(jar)[1:] == (0, OLD // 2 + NEW * 9 // 10)
