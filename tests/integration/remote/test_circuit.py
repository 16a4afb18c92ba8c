"""The circuit of a remote participant, in a real Redis: opens, probes, closes; and Redis goes away."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings

import sagas
from sagas import State, runtime
from sagas.decisions import breaker_policy
from sagas.decisions.breaker_policy import Sample
from sagas.models import Log, Run
from sagas.redis import client as redis_client
from sagas.remote import UnexpectedAnswer
from sagas.remote.circuit import Circuit
from tests.lab.sagas import Experiment, Promised, Rewarded, Told
from tests.lab.sagas import points as participant
from tests.support import servers
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier
from tests.support.points import Points, needs_node
from tests.support.runs import make_due, never, state, states, story

SWITCH = Circuit(faults=3, within=30, pause=0.2)
HALF = Circuit(faults=5, within=30, pause=0.2, rate=0.5, minimum=10)


@pytest.fixture
def name(database: None) -> str:
    return f"circuit-{uuid4().hex[:8]}"


def open_it(name: str) -> None:
    for _ in range(SWITCH.faults):
        assert SWITCH.admit(name, 5, 1.0) == (5, 0.0)
        SWITCH.broke(name)


def test_a_circuit_opens_probes_and_closes(name: str) -> None:
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


def test_a_failing_probe_opens_the_circuit_again(name: str) -> None:
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


def test_answers_between_faults_keep_the_circuit_closed(name: str) -> None:
    for _ in range(5):
        SWITCH.broke(name)
        SWITCH.broke(name)
        SWITCH.answered(name)
    assert SWITCH.admit(name, 1, 1.0) == (1, 0.0)


def test_a_participant_that_fails_half_its_calls_is_not_called(name: str) -> None:
    # Given one that breaks and answers in turns: never twice running
    for _ in range(HALF.minimum // 2 - 1):
        HALF.answered(name)
        HALF.broke(name)
    assert HALF.admit(name, 5, 1.0) == (5, 0.0)

    # When so many calls were made that this is no chance
    HALF.answered(name)
    HALF.broke(name)

    # Then nobody calls, and a probe closes it
    assert HALF.admit(name, 5, 1.0)[0] == 0
    eventually(lambda: HALF.admit(name, 1, 1.0)[0], what="a probe")
    HALF.answered(name)
    assert HALF.admit(name, 5, 1.0) == (5, 0.0)

    # And what was counted before is forgotten
    HALF.broke(name)
    assert HALF.admit(name, 5, 1.0) == (5, 0.0)


def test_a_participant_that_fails_few_calls_is_still_called(name: str) -> None:
    for _ in range(10):
        HALF.answered(name)
        HALF.answered(name)
        HALF.broke(name)
    assert HALF.admit(name, 5, 1.0) == (5, 0.0)


def test_a_participant_that_stops_answering_is_not_called_whatever_its_history(name: str) -> None:
    for _ in range(200):
        HALF.answered(name)
    for _ in range(HALF.faults):
        assert HALF.admit(name, 5, 1.0) == (5, 0.0)
        HALF.broke(name)
    assert HALF.admit(name, 5, 1.0)[0] == 0


def test_old_faults_do_not_count(name: str) -> None:
    # Given faults, all but the last of them before the window
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        for _ in range(20):
            HALF.broke(name)
            client.delete(f"sagas:circuit:{name}")
        seconds, _ = client.time()
        aged = [f"{(seconds - 31) * 1000}:0"] * 20
        client.delete(f"sagas:circuit:{name}:calls")
        client.lpush(f"sagas:circuit:{name}:calls", *aged)
    HALF.broke(name)
    assert HALF.admit(name, 5, 1.0) == (5, 0.0)


def test_late_answers_do_not_close_the_circuit(name: str) -> None:
    open_it(name)
    for _ in range(5):
        SWITCH.answered(name)  # of calls that were out when it opened
    assert SWITCH.admit(name, 5, 1.0)[0] == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_circuit_opens_by_the_breaker_policy(name: str, seed: int) -> None:
    """The script in Redis decides as the pure rule does: after each call of a random history."""
    random = Random(seed)
    circuit = Circuit(
        faults=random.randint(2, 6),
        rate=random.choice([0.2, 0.5, 0.75, 1.0]),
        minimum=random.randint(1, 12),
        operations=random.randint(12, 20),
        pause=60,
    )
    share = random.random()
    newest_first: list[Sample] = []
    for _ in range(40):
        failed = random.random() < share
        (circuit.broke if failed else circuit.answered)(name)
        newest_first.insert(0, Sample(0.0, 1 - failed, int(failed)))
        running = [sample.failed for sample in newest_first[: circuit.faults]] == [1] * circuit.faults
        expected = failed and (
            running or breaker_policy.opens(breaker_policy.windows(newest_first, circuit.rule), circuit.rule)
        )
        assert (circuit.admit(name, 1, 1.0)[0] == 0) is expected, newest_first
        if expected:
            return


def test_late_faults_do_not_keep_the_circuit_open(name: str) -> None:
    open_it(name)
    for _ in range(20):
        SWITCH.broke(name)  # of calls that were out when it opened
    eventually(lambda: SWITCH.admit(name, 1, 1.0)[0], what="a probe")


def test_a_participant_without_a_circuit_is_always_called(name: str) -> None:
    for _ in range(10):
        Circuit(faults=0).broke(name)
    assert Circuit(faults=0).admit(name, 7, 1.0) == (7, 0.0)


def test_without_redis_the_circuit_is_closed(name: str) -> None:
    open_it(name)
    servers.kill("redis")
    try:
        assert SWITCH.admit(name, 5, 1.0) == (5, 0.0)
        SWITCH.broke(name)
        SWITCH.answered(name)
        assert SWITCH.admit(name, 5, 1.0) == (5, 0.0)
    finally:
        servers.start("redis")
        runtime.memory.redis_paused_until = 0.0


@pytest.fixture
def memory() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.SAGAS["REDIS_URL"]) as client:
        yield client


STRANGE: dict[str, dict[str, object]] = {
    "far ahead": {"open_until": 10**15},
    "open, and its probe far ahead": {"open_until": 1, "probe_until": 10**15},
    "without end": {"open_until": "inf"},
    "no number": {"open_until": "nan", "probe_until": "nan"},
    "garbage": {"open_until": "tomorrow"},
}


@pytest.mark.parametrize("strange", STRANGE)
def test_any_time_in_redis_keeps_the_circuit_open_for_at_most_its_pause(
    name: str, memory: redis.Redis, strange: str
) -> None:
    # Given what no circuit has noted, or one whose clock has been set back since
    memory.hset(f"sagas:circuit:{name}", mapping=STRANGE[strange])  # type: ignore[arg-type]  # stubs know str keys only

    # When asked how many may call
    admitted, wait = SWITCH.admit(name, 1, 0.2)

    # Then those who may not, may after its pause, or that of its probe
    assert admitted == 1 or 0 < wait <= SWITCH.pause
    eventually(lambda: SWITCH.admit(name, 1, 0.2)[0], what="a call")
    # And what stood there is forgotten with the next answer
    SWITCH.answered(name)
    assert SWITCH.admit(name, 5, 0.2) == (5, 0.0)


@pytest.mark.parametrize("of", ["", ":calls"])
@pytest.mark.parametrize("kind", ["string", "list", "hash", "set"])
def test_a_key_of_any_type_in_redis_does_not_stop_the_circuit(
    name: str, memory: redis.Redis, of: str, kind: str
) -> None:
    key = f"sagas:circuit:{name}{of}"
    match kind:
        case "string":
            memory.set(key, b"\xff")
        case "list":
            memory.lpush(key, "x", "y:z", "99999999999999999999:0")
        case "hash":
            memory.hset(key, "x", "y")
        case _:
            memory.sadd(key, "x")
    open_it(name)
    assert SWITCH.admit(name, 5, 1.0)[0] == 0
    assert not redis_client.is_paused()


@needs_node
def test_runs_wait_for_an_unreachable_participant(node: Points, alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a participant that breaks down
    monkeypatch.setenv("LAB_POINTS_URL", node.url)
    monkeypatch.setattr(participant, "circuit", Circuit(faults=3, within=30, pause=1))
    node.open("mei", 100)
    node.fail(on="POST /debits", do="status", status=503, times=1000)
    first = sagas.start(Rewarded, Experiment(jar="mei"))
    Carrier().run([first])
    # It was asked between its attempts what had become of them, and answered that: which does not help anybody
    assert state(first) is State.COMPENSATING
    assert story(first).count("debit.forward FAULT") == 3

    # When others come
    ids = [sagas.start(Rewarded, Experiment(jar="mei")) for _ in range(10)]
    Carrier().run(ids)

    # Then they wait, without an attempt
    assert {state(run_id) for run_id in ids} == {State.EXECUTING}
    assert not Log.objects.filter(run_id__in=ids, step="debit").exists()
    assert set(Run.objects.filter(pk__in=ids).values_list("attempt", "claims")) == {(0, 0)}

    # And go on when it is there again
    node.recover()

    await_end([first, *ids])
    assert state(first) is State.FAILED
    assert {state(run_id) for run_id in ids} == {State.SUCCEEDED}
    assert node.account("mei") == (90, 0)


@needs_node
def test_runs_wait_for_a_participant_that_fails_half_its_calls(
    node: Points, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a participant of which every debit breaks, and every reservation is fine
    monkeypatch.setenv("LAB_POINTS_URL", node.url)
    monkeypatch.setattr(participant, "circuit", Circuit(faults=5, within=30, pause=1, rate=0.5, minimum=8))
    account = f"half-{uuid4().hex[:8]}"
    node.open(account, 100)
    node.fail(on="POST /debits", do="status", status=503, times=1000)
    never(monkeypatch, Told, UnexpectedAnswer)

    # When it is asked for the one and the other in turns
    for _ in range(4):
        assert participant.circuit.admit("points", 1, 0.0) == (1, 0.0)
        held = sagas.start(Promised, Experiment(jar=account))
        Carrier().run([held])
        assert state(held) is State.AWAITING_CONFIRM
        broken = sagas.start(Told, Experiment(jar=account))
        Carrier().run([broken])
        assert state(broken) is State.FAILED

    # Then nobody is sent there, and no attempt is used up
    waiting = [sagas.start(Rewarded, Experiment(jar=account)) for _ in range(5)]
    Carrier().run(waiting)
    assert not Log.objects.filter(run_id__in=waiting, step="debit").exists()

    # And all goes on when it is mended
    node.recover()
    await_end(waiting)
    assert {state(run_id) for run_id in waiting} == {State.SUCCEEDED}


def await_end(ids: list[UUID]) -> None:
    """Carry runs, whose waits pass at once, until they have ended."""

    def ended() -> bool:
        make_due(ids)
        Carrier().run(ids)
        return set(states(ids)) <= {State.SUCCEEDED, State.FAILED}

    eventually(ended, what="all runs end")
