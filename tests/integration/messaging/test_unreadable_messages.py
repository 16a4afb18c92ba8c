"""Messages that no worker can make sense of: set aside where a person can see them, and the worker lives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

import sagas
from sagas import State
from sagas.decisions.messages import Chain
from sagas.messaging.topology import DEAD
from tests.conftest import SharedWorkers
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.carrier import chains, claim_all, deliver
from tests.support.runs import assert_effects_once, await_state
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("nothing_due", "database")

STEP = {"saga": "lab.Lab", "version": 1, "step": "one", "phase": "forward"}
DEADLINE = {"saga": "lab.Lab", "version": 1, "confirmation": "approval", "ids": []}
NOTICE = {"escalations": [[2**70, 1]], "notice": {}}


class Bad:
    """A way in which a message is bad."""

    def __init__(self, name: str, queue: str = "orders", *, lines: int = 1, **what: Any) -> None:
        self.name = name
        self.lines = lines
        self.queue = queue
        self.what = what

    def publish(self) -> None:
        if "task" in self.what:
            broker.publish_task(self.queue, **self.what)
        else:
            broker.publish_raw(self.queue, **self.what)


HEADERS = {"lang": "py", "task": "sagas.step", "id": "poison-1", "root_id": "poison-1"}
BAD = [
    Bad("no JSON and no headers", body="{nonsense"),
    Bad("JSON that is no task", body='{"hello": "world"}'),
    Bad("JSON that is a number", body="5"),
    Bad("nothing", body=b""),
    Bad("no JSON in a task's body", body="{nonsense", headers=HEADERS),
    Bad("not UTF-8 in a task's body", body=b"\xff\xfe\xfd", headers=HEADERS),
    Bad("a task's body that is no list", body='"hello"', headers=HEADERS),
    Bad("pickled", body=b"\x80\x04N.", content_type="application/x-python-serialize", content_encoding="binary"),
    Bad(
        "a pickled task",
        body=b"\x80\x04N.",
        content_type="application/x-python-serialize",
        content_encoding="binary",
        headers=HEADERS,
    ),
    Bad("an unknown content type", body="hello", content_type="application/x-odd"),
    Bad("an unknown content type of a task", body="hello", content_type="application/x-odd", headers=HEADERS),
    Bad("an unknown encoding", body=b"[]", content_encoding="odd", headers=HEADERS),
    Bad("a task without an id", body="[[], {}, {}]", headers={"lang": "py", "task": "sagas.step"}),
    Bad("an unknown task", task="sagas.nothing"),
    # Celery says that it does not know the task, and then trips over the missing id.
    Bad("an unknown task without an id", lines=2, body="{nonsense", headers={"lang": "py", "task": "sagas.nothing"}),
    Bad("no arguments", task="sagas.step"),
    Bad("an argument too many", task="sagas.step", args=[[]], kwargs={**STEP, "more": 5}),
    Bad("ids that are none", task="sagas.step", args=[["x"]], kwargs=STEP),
    Bad("ids that are numbers", task="sagas.step", args=[[5]], kwargs=STEP),
    Bad("ids that are no list", task="sagas.step", args=[5], kwargs=STEP),
    Bad("an unknown saga", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "saga": "lab.Nothing"}),
    Bad("a saga that is a list", task="sagas.step", args=[[]], kwargs={**STEP, "saga": []}),
    Bad("an unknown version", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "version": 9}),
    Bad("an unknown step", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "step": "nine"}),
    Bad("an unknown phase", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "phase": "sideways"}),
    Bad(
        "nothing to confirm",
        task="sagas.step",
        args=[[str(uuid4())]],
        kwargs={**STEP, "step": "two", "phase": "confirm"},
    ),
    Bad("a deadline of an unknown saga", "sagas.cancel", task="sagas.cancel", kwargs={**DEADLINE, "saga": "lab.No"}),
    Bad("an unknown deadline", "sagas.cancel", task="sagas.cancel", kwargs={**DEADLINE, "confirmation": "none"}),
    Bad("a deadline of ids that are none", "sagas.cancel", task="sagas.cancel", kwargs={**DEADLINE, "ids": ["x"]}),
    Bad("a deadline of numbers", "sagas.cancel", task="sagas.cancel", kwargs={**DEADLINE, "ids": [5]}),
    Bad("a deadline without ids", "sagas.cancel", task="sagas.cancel", kwargs={"saga": "lab.Lab"}),
    Bad("a deadline of no list", "sagas.cancel", task="sagas.cancel", kwargs={**DEADLINE, "ids": str(uuid4())}),
    Bad("a huge version of a deadline", "sagas.cancel", task="sagas.cancel", kwargs={**DEADLINE, "version": 2**70}),
    Bad("a huge version", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "version": 2**70}),
    Bad("a huge shape", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "shape": 2**70}),
    Bad("a count of no number", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "step": "no", "passed": "x"}),
    Bad("a saga with a NUL", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "saga": "a\x00b", "shape": 1}),
    Bad("an unknown saga with a NUL", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "saga": "a\x00b"}),
    Bad("half a character", task="sagas.step", args=[[str(uuid4())]], kwargs={**STEP, "saga": "a\ud800"}),
    Bad("ids in 900 lists", body="[" * 900 + "]" * 900, headers=HEADERS),
    Bad("ids in 100,000 lists", body="[" * 100_000 + "]" * 100_000, headers=HEADERS),
    Bad("arguments in 900 lists", body="[[" + "[" * 900 + "]" * 900 + "], {}, {}]", headers=HEADERS),
    Bad("a notice of no escalation", "sagas.escalation", task="sagas.notify", kwargs=NOTICE),
    Bad("a dispatch with odd arguments", "sagas.dispatch", task="sagas.dispatch", kwargs={"odd": True}),
    Bad("no JSON on the dispatch queue", "sagas.dispatch", body="{nonsense"),
]


@pytest.fixture(autouse=True)
def clean(topology: None, shared_workers: SharedWorkers) -> Iterator[None]:
    """What one test left must not poison the next."""
    broker.purge(DEAD)
    yield
    if not shared_workers.alive():
        broker.purge()
    broker.purge(DEAD)


def complaints(text: str) -> list[str]:
    """What a worker's log says that is amiss; Celery's note that a task was rejected follows our own."""
    # (the last line may be half written)
    records = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
    return [
        record["event"]
        for record in records
        if record["level"] in {"warning", "error", "critical"} and record["logger"] != "celery.app.trace"
    ]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_an_unreadable_message_is_dead_lettered_once_and_the_worker_goes_on(shared_worker: Worker, bad: Bad) -> None:
    # Given
    logged = len(shared_worker.text())
    process = shared_worker.process.pid

    # When
    bad.publish()

    # Then it lies on the dead-letter queue
    eventually(lambda: broker.length(DEAD) == 1, within=15, what="one message set aside")
    # And the worker goes on to serve
    run_id = sagas.start(Lab, Experiment())
    await_state(run_id, State.AWAITING_CONFIRM)
    assert shared_worker.process.poll() is None
    assert shared_worker.process.pid == process
    assert broker.length(DEAD) == 1
    # And it was said once
    said = complaints(shared_worker.text()[logged:])
    assert len(said) == bad.lines, said


def test_runs_that_do_not_exist_are_noted_and_their_neighbours_proceed(shared_workers: SharedWorkers) -> None:
    # Given a run that stands at its last step, and a message of it that comes with strangers
    shared_workers.stop()
    broker.purge()
    run_id = sagas.start(Unconfirmed, Experiment())
    (chain,) = (chain for chain in chains(claim_all()) if run_id in chain.ids)
    deliver(Chain(chain.links, (run_id,)))
    strangers = sorted(str(uuid4()) for _ in range(2))
    broker.publish_task(
        "coupons",
        "sagas.step",
        [[strangers[0], str(run_id), strangers[1]]],
        {**STEP, "saga": "lab.Unconfirmed", "step": "two"},
    )

    # When
    worker = shared_workers.running()

    # Then
    await_state(run_id, State.SUCCEEDED)
    assert_effects_once(run_id)
    eventually(lambda: broker.length(DEAD) == 1, what="a note")
    note = json.loads(broker.take(DEAD).body)
    assert note == {"what": "lab.Unconfirmed.two.forward", "ids": strangers, "why": "2 run(s) that do not exist"}
    assert worker.text().count("2 run(s) that do not exist") == 1
