"""The circuit of a remote participant, in a real Redis: opens, probes, closes; and Redis goes away."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from django.conf import settings

import sagas
from sagas import State
from sagas.models import Log, Run
from sagas.remote import circuit
from sagas.remote.circuit import Circuit
from tests.lab.sagas import Experiment, Rewarded
from tests.lab.sagas import points as participant
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier
from tests.support.points import Points, needs_node
from tests.support.runs import make_due, state

SWITCH = Circuit(faults=3, within=30, pause=0.2)


@pytest.fixture
def name(database: None) -> str:
    return f"circuit-{uuid4().hex[:8]}"


def open_it(name: str) -> None:
    for _ in range(SWITCH.faults):
        assert SWITCH.admit(name, 5, 1.0) == (5, 0.0)
        SWITCH.broke(name)


def test_it_opens_probes_and_closes(name: str) -> None:
    # Given so many faults with no answer between them
    open_it(name)

    # Then nobody calls, for a while
    admitted, wait = SWITCH.admit(name, 5, 1.0)
    assert admitted == 0
    assert 0 < wait <= SWITCH.pause

    # And then one, as a probe
    assert eventually(lambda: SWITCH.admit(name, 5, 1.0)[0], what="a probe") == 1
    assert SWITCH.admit(name, 5, 1.0)[0] == 0

    # And all, when that is answered
    SWITCH.answered(name)
    assert SWITCH.admit(name, 5, 1.0) == (5, 0.0)


def test_a_probe_that_breaks_opens_it_again(name: str) -> None:
    open_it(name)
    eventually(lambda: SWITCH.admit(name, 1, 5.0)[0], what="a probe")
    SWITCH.broke(name)
    admitted, wait = SWITCH.admit(name, 1, 5.0)
    assert admitted == 0
    assert wait <= SWITCH.pause
    eventually(lambda: SWITCH.admit(name, 1, 5.0)[0], what="the next probe")


def test_a_probe_that_never_returns_is_followed_by_another(name: str) -> None:
    open_it(name)
    eventually(lambda: SWITCH.admit(name, 1, 0.3)[0], what="a probe")
    assert SWITCH.admit(name, 1, 0.3)[0] == 0
    eventually(lambda: SWITCH.admit(name, 1, 0.3)[0], what="another, when it should be back")


def test_answers_between_faults_keep_it_closed(name: str) -> None:
    for _ in range(5):
        SWITCH.broke(name)
        SWITCH.broke(name)
        SWITCH.answered(name)
    assert SWITCH.admit(name, 1, 1.0) == (1, 0.0)


def test_late_faults_do_not_keep_it_open(name: str) -> None:
    open_it(name)
    for _ in range(20):
        SWITCH.broke(name)  # of calls that were out when it opened
    eventually(lambda: SWITCH.admit(name, 1, 1.0)[0], within=2 * SWITCH.pause + 1, what="a probe")


def test_none_never_opens(name: str) -> None:
    for _ in range(10):
        Circuit(faults=0).broke(name)
    assert Circuit(faults=0).admit(name, 7, 1.0) == (7, 0.0)


def test_without_redis_everybody_calls(name: str) -> None:
    open_it(name)
    servers.kill("redis")
    try:
        assert SWITCH.admit(name, 5, 1.0) == (5, 0.0)
        SWITCH.broke(name)
        SWITCH.answered(name)
        assert SWITCH.admit(name, 5, 1.0) == (5, 0.0)
    finally:
        servers.start("redis")
        circuit._away.until = 0.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Points]:
    points = Points(tmp_path_factory.mktemp("points"))
    points.start()
    yield points
    points.stop()


@needs_node
def test_runs_wait_for_a_participant_that_is_away(node: Points, alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a participant that breaks down
    monkeypatch.setenv("LAB_POINTS_URL", node.url)
    monkeypatch.setattr(participant, "circuit", Circuit(faults=3, within=30, pause=1))
    node.open("mei", 100)
    node.fail(on="POST /debits", do="status", status=503, times=1000)
    first = sagas.start(Rewarded, Experiment(jar="mei"))
    Carrier().run([first])
    assert state(first) is State.FAILED

    # When others come
    ids = [sagas.start(Rewarded, Experiment(jar="mei")) for _ in range(10)]
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        # The undo of the first was answered, which closed it: open it again.
        for _ in range(3):
            participant.circuit.broke("points")
        assert client.hget("sagas:circuit:points", "open_until")
    Carrier().run(ids)

    # Then they wait, without an attempt
    assert {state(run_id) for run_id in ids} == {State.EXECUTING}
    assert not Log.objects.filter(run_id__in=ids, step="debit").exists()
    assert set(Run.objects.filter(pk__in=ids).values_list("attempt", "claims")) == {(0, 0)}

    # And go on when it is there again
    node.recover()

    def all_done() -> bool:
        make_due(ids)
        Carrier().run(ids)
        return {state(run_id) for run_id in ids} == {State.SUCCEEDED}

    eventually(all_done, what="all runs end")
    assert node.account("mei") == (90, 0)
