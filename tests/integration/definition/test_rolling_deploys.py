"""A rolling deploy: workers of the old code and of the new side by side, with runs of both on their way."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

import sagas
from sagas import Confirmation, State
from tests.integration.conftest import Start
from tests.lab.sagas import Experiment
from tests.support import broker, servers
from tests.support.awaiting import eventually
from tests.support.deploys import deploy, deploying, step
from tests.support.runs import assert_effects_once, await_states, effects, marks
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("alone")

OLD = '''
"""The sagas of the app "rolling", before the deploy."""

from datetime import timedelta

from sagas import Confirmation, Saga, Step
from tests.lab.sagas import QUICK, Experiment, mark


def step(queue):
    return Step(mark, compensate=mark, queue=queue, retry=QUICK, finish_retry=QUICK)


class PlaceOrder(Saga[Experiment]):
    name = "lab.Changing"

    approval = Confirmation(within=timedelta(minutes=5), needs_compensation=False)

    one = step("orders")
    two = step("coupons")
    last = step("delivery")
'''

#: As it should be done: the new steps are a new version, and the old class stays until its runs are done.
NEXT_VERSION = (
    OLD.replace("class PlaceOrder(", "class PlaceOrderV1(")
    + """

class PlaceOrder(Saga[Experiment]):
    name = "lab.Changing"
    version = 2

    approval = Confirmation(within=timedelta(minutes=5), needs_compensation=False)

    zero = step("inventory")
    one = step("orders")
    extra = step("delivery")
    two = step("coupons")
"""
)

#: As it should not be done, but will be: other steps under the same version.
SAME_VERSION = OLD.replace(
    '    one = step("orders")\n', '    zero = step("inventory")\n    one = step("orders")\n'
).replace('    last = step("delivery")\n', '    extra = step("delivery")\n    last = step("delivery")\n')

DEPLOYS = [
    pytest.param(NEXT_VERSION, 2, ["zero", "one", "extra", "two"], id="the next version"),
    pytest.param(
        SAME_VERSION, 1, ["zero", "one", "two", "extra", "last"], id="the same version", marks=pytest.mark.slow
    ),
]


@pytest.fixture(autouse=True)
def _deploys() -> Iterator[None]:
    with deploying():
        yield


def write(folder: Path, text: str) -> dict[str, str]:
    """Write an app of that text; what the environment of a worker that has it must hold."""
    app = folder / "rolling"
    app.mkdir(parents=True)
    (app / "__init__.py").write_text("")
    (app / "sagas.py").write_text(text)
    return {"LAB_APPS": "rolling", "PYTHONPATH": os.pathsep.join([str(folder), str(servers.ROOT)])}


def start(names: list[str], version: int, count: int) -> list[UUID]:
    """Runs of a web process that has this code."""
    from datetime import timedelta

    saga = deploy(
        {
            "approval": Confirmation(within=timedelta(minutes=5), needs_compensation=False),
            **{name: step() for name in names},
        },
        version=version,
        beside=True,
    )
    return [sagas.start(saga, Experiment()) for _ in range(count)]


@pytest.mark.parametrize(("code", "version", "steps"), DEPLOYS)
def test_a_rolling_deploy_loses_no_run_and_repeats_no_effect(
    start_worker: Start, tmp_path: Path, code: str, version: int, steps: list[str]
) -> None:
    # Given a worker of the old code, and runs on their way
    before = start_worker(environment=write(tmp_path / "old", OLD), TICK=0.2)
    old = start(["one", "two", "last"], 1, 15)

    # When the new code is started beside it, and both web processes take orders
    after = start_worker(environment=write(tmp_path / "new", code), TICK=0.2)
    old += start(["one", "two", "last"], 1, 15)
    new: list[UUID] = []

    def met() -> bool:
        # Who claims them is chance; and a worker that stands still for a while claims none.
        new.extend(start(steps, version, 3))
        return len(new) >= 15 and passed_on(before) + left(before) > 0

    eventually(met, what="the old worker has met runs of the new code")

    # Then all come as far as they should, each by its own steps
    await_states([*old, *new], State.AWAITING_CONFIRM)
    assert {tuple(effects(run_id)) for run_id in old} == {("one.forward", "two.forward", "last.forward")}
    assert {tuple(effects(run_id)) for run_id in new} == {tuple(f"{name}.forward" for name in steps)}
    # And to their ends, while the old worker still runs and after it is gone
    for run_id in [*old[::2], *new[::2]]:
        sagas.confirm(run_id, "approval")
    for run_id in [*old[1:10:2], *new[1::2]]:
        sagas.cancel(run_id)
    before.stop()
    for run_id in old[11::2]:
        sagas.cancel(run_id)
    ended = await_states([*old, *new], State.SUCCEEDED, State.FAILED)
    assert ended == Counter({State.SUCCEEDED: 15 + len(new[::2]), State.FAILED: 15 + len(new[1::2])})
    for run_id in [*old, *new]:
        assert_effects_once(run_id)
        assert set(marks(run_id).values()) == {1}
    # And nobody has thrown a message away, or died
    assert broker.length("sagas.dead") == 0
    assert after.process.poll() is None
    assert "poison" not in before.text() + after.text()


def passed_on(worker: Worker) -> int:
    return worker.text().count("passed on to another worker")


def left(worker: Worker) -> int:
    return worker.text().count("left to other workers")
