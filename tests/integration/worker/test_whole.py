"""Forks, pivots, sagas in sagas and reports, carried by real workers, under both carriers."""

from __future__ import annotations

from uuid import UUID

import pytest

import sagas
from sagas import Done, State
from sagas.engine.subsagas import child_run_id
from sagas.models import Run
from tests.integration.conftest import Start
from tests.lab.sagas import Closing, Experiment, Forked, Hopeless, Parent, Pivoted, Reported
from tests.support.awaiting import eventually
from tests.support.runs import await_state, await_states, counts, effects, state, story
from tests.support.workers import Worker

NAMES = ["Forked", "Pivoted", "Reported", "Parent", "Child", "AskedChild", "Closing", "Hopeless"]
pytestmark = pytest.mark.usefixtures("at_work")
#: What is in the jar.
JAR = 100


@pytest.fixture(scope="module", params=["orchestration", "choreography"])
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def at_work(carrier: str, start_worker: Start) -> list[Worker]:
    """Two workers with one process each."""
    carriers = {f"lab.{name}": carrier for name in NAMES}
    return [start_worker(CARRIERS=carriers, LEASE=3) for _ in range(2)]


def test_many_kinds_of_runs_and_faults_at_once_end_correctly(jar: str) -> None:
    """One test, because workers take a while to start; each part is a saga of its own."""
    forked = [sagas.start(Forked, Experiment(jar=jar)) for _ in range(20)]
    refused = [sagas.start(Forked, Experiment(jar=jar, reject=(step,))) for step in ("left", "right", "three", "four")]
    broken = [sagas.start(Forked, Experiment(jar=jar, faults={"three.try": 2})) for _ in range(3)]
    pivoted = [sagas.start(Pivoted, Experiment(jar=jar, faults={"left.forward": 2})) for _ in range(3)]
    reported = sagas.start(Reported, Experiment(jar=jar))
    unreported = sagas.start(Reported, Experiment(jar=jar))
    parents = [sagas.start(Parent, Experiment(jar=jar)), sagas.start(Parent, Experiment(jar=jar, reject=("four",)))]
    poor = sagas.start(Parent, Experiment(jar=jar, quantity=101))
    refunded = sagas.start(Closing, Experiment(reject=("two",)))
    sagas.confirm(refunded, "payment", {})
    hopeless = sagas.start(Hopeless, Experiment(jar=jar, faults={"two.forward": 1}))
    stuck = sagas.start(Hopeless, Experiment(jar=jar, faults={"four.forward": 1}))

    # Forks join, also where a branch had to be tried again; who says no is undone with what was done
    await_states([*forked, *broken, *pivoted], State.AWAITING_CONFIRM)
    await_states([*refused, poor, refunded, hopeless], State.FAILED)
    # What another attempt cannot mend was tried once; behind the pivot it is for a person
    await_state(stuck, State.ESCALATED)
    assert story(hopeless).count("two.forward FAULT") == story(stuck).count("four.forward FAULT") == 1
    for run_id in refused:
        forward = {e.split(".")[0] for e in effects(run_id) if e.endswith((".forward", ".try"))}
        undone = {e.split(".")[0] for e in effects(run_id) if e.endswith((".compensate", ".cancel"))}
        assert forward == undone, story(run_id)
    assert "payment.compensate" in effects(refunded)
    assert state(child_run_id(poor, "child")) is State.FAILED

    # Confirmed runs end, behind the pivot and in their children
    for run_id in [*forked, *broken, *pivoted]:
        sagas.confirm(run_id, "approval", {})
    for parent in parents:
        eventually(lambda parent=parent: held(child_run_id(parent, "asked")), within=20, what="the child asks")  # type: ignore[misc]
        sagas.confirm(child_run_id(parent, "asked"), "approval", {})
    await_state(parents[0], State.AWAITING_CONFIRM)
    sagas.confirm(parents[0], "payment", {})
    await_states([*forked, *broken, *pivoted, parents[0]], State.SUCCEEDED)
    await_state(parents[1], State.FAILED)
    for child in ("child", "asked"):
        assert state(child_run_id(parents[0], child)) is State.SUCCEEDED
        assert state(child_run_id(parents[1], child)) is State.FAILED

    # What is accepted goes on when it is reported; what is cancelled meanwhile is undone after that
    for run_id in (reported, unreported):
        eventually(lambda run_id=run_id: "two.forward ACCEPTED" in story(run_id), what="accepted")  # type: ignore[misc]
    sagas.cancel(unreported)
    for run_id in (reported, unreported):
        sagas.report(run_id, "two", Done({"ref": 1}))
    await_state(unreported, State.FAILED)
    assert "two.compensate" in effects(unreported)
    eventually(lambda: "left.forward ACCEPTED" in story(reported), what="accepted in the fork")
    sagas.report(reported, "left", Done())
    await_state(reported, State.SUCCEEDED)

    # And nothing was done twice: the log's constraint would have refused, the pool would not add up
    sold = 20 + 3 + 3 + 1 + 1 + 1  # the last is stuck behind its pivot
    assert counts(jar) == (100 - sold, 0, sold)


def held(run_id: UUID) -> bool:
    return Run.objects.filter(pk=run_id, state=State.AWAITING_CONFIRM).exists()
