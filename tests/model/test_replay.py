"""The model is the engine: its paths, walked on the real engine and PostgreSQL, are in the same state at each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from operator import itemgetter
from random import Random
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from sagas import Retry, Saga
from tests.lab.sagas import Charged, Compressed, Forked, Grouped, ShortLab, Unconfirmed
from tests.model.explorer import Kind
from tests.model.life import Life, is_at_rest
from tests.model.replay import IN_A_PROCESS, LONG, Participants, Replay
from tests.model.rules import RIGHT, Rules
from tests.model.world import describe

pytestmark = pytest.mark.usefixtures("alone")

#: Of their workers some compress, and some, which are older, do not.
COMPRESSED: list[type[Saga[Any]]] = [Compressed]
SAGAS: list[type[Saga[Any]]] = [ShortLab, Unconfirmed, Charged, Forked, Grouped, *COMPRESSED]
WALKS = 8
MANY = 150
STEPS = 40
LIMIT = 2
#: Lapsed leases for which a process without a broker gives an operation up; and those for which a person is called.
DEATHS, LONGER = 2, 4
#: How much more often a walk takes what brings the run on.
WEIGHTS = {Kind.ENGINE: 6.0, Kind.CHOICE: 3.0, Kind.FAULT: 1.0, Kind.PERSON: 4.0}
#: Of those that turn it back there would be too many.
SELDOM = {"the customer: cancels": 0.2, "a person: resolves it as FAILED": 1.0, "time: the deadline is over": 1.0}
#: Twice, and nothing is over before the walk says so.
PATIENT = Retry(attempts=2, delay=timedelta(seconds=LONG), max_delay=timedelta(seconds=LONG), jitter=0)


@pytest.fixture
def participants(monkeypatch: pytest.MonkeyPatch) -> Iterator[Participants]:
    found = Participants()
    monkeypatch.setattr("tests.lab.sagas.judge", found.judge)
    for saga in SAGAS:
        for step in saga.definition.all_steps:
            for phase, action in step.actions.items():
                monkeypatch.setitem(step.actions, phase, replace(action, retry=PATIENT))
    with override_settings(SAGAS={**settings.SAGAS, "LEASE": LONG, "TICK": LONG, "LEASE_LIMIT": LIMIT}):
        yield found


@pytest.fixture
def without_broker(participants: Participants) -> Iterator[Participants]:
    own = {"LEASE": LONG, "TICK": LONG, "LEASE_LIMIT": LONGER, "DELIVERIES": DEATHS}
    with override_settings(SAGAS={**settings.SAGAS, **own}):
        yield participants


def walk(saga: type[Saga[Any]], seed: int, participants: Participants) -> Counter[str]:
    """Take one path, in both; count what was done. Every other one may take the engine's short path."""
    compresses = saga in COMPRESSED
    short_path = seed % 2 == 1 and not compresses
    life = Life(
        saga.definition,
        lease_limit=LIMIT,
        refuses=True,
        compresses=compresses,
        short_path=short_path,
        # One session has no start that is not committed.
        hidden=False,
    )
    return follow(saga, life, seed, Replay(saga, participants, marks=short_path))


def walk_without_broker(
    saga: type[Saga[Any]], seed: int, participants: Participants, rules: Rules = RIGHT
) -> Counter[str]:
    """The same of processes that claim and perform. On every other path there are Celery workers beside them."""
    broker = seed % 2 == 1
    life = Life(saga.definition, rules, lease_limit=LONGER, works=True, broker=broker, deliveries=DEATHS)
    return follow(saga, life, seed, Replay(saga, participants, marks=True), deadly=seed % 4 < 2)


def follow(saga: type[Saga[Any]], life: Life, seed: int, replay: Replay, *, deadly: bool = False) -> Counter[str]:
    """Take one path, in both.

    ``deadly``: most of what processes without a broker begin ends them.
    """
    random = Random(seed)
    here = life.first
    told: list[str] = []
    done = Counter[str]()
    for _ in range(STEPS):
        # Messages come out of a set in another order in each process, and a seed is to take the same path again.
        steps = sorted(life.successors(here), key=itemgetter(0))
        if not steps:
            break
        weights = [weight(label, kind) * (grim(label) if deadly else 1) for label, kind, _ in steps]
        label, _, there = random.choices(steps, weights)[0]
        done[label.partition(": ")[2] or label] += 1
        told.append(f"{label:60} {describe(saga.definition, there)}")
        try:
            replay.step(label, here, there)
            replay.compare(there)
        except Exception as error:
            error.add_note("\n".join([f"{saga.__name__}, seed {seed}:", *told]))
            raise
        here = there
    replay.leave()
    done[f"ends {here.row.place.state}"] += is_at_rest(here)
    return done


def weight(label: str, kind: Kind) -> float:
    """How often a walk takes this, beside the others."""
    return 0.2 if "says no" in label else SELDOM.get(label, WEIGHTS[kind])


def grim(label: str) -> float:
    """How much more often such a walk takes this."""
    if label.endswith(": dies"):
        return 10.0
    return 0.2 if IN_A_PROCESS in label and "is given up" not in label else 1.0


def walk_all(saga: type[Saga[Any]], seeds: range, participants: Participants) -> Counter[str]:
    """Take many paths."""
    done = Counter[str]()
    for seed in seeds:
        done += walk(saga, seed, participants)
    print(done)
    return done


def test_the_engine_behaves_as_the_model(participants: Participants) -> None:
    # When
    done = Counter[str]()
    for saga in SAGAS:
        done += walk_all(saga, range(WALKS), participants)
    # Then, and it was more than the ordinary
    assert_not_trivial(done)
    assert_short_path_taken(done)
    assert done["together: done"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("saga", SAGAS, ids=lambda saga: saga.__name__)
def test_the_engine_behaves_as_the_model_on_many_paths(saga: type[Saga[Any]], participants: Participants) -> None:
    done = walk_all(saga, range(WALKS, WALKS + MANY), participants)
    assert_not_trivial(done)
    if saga not in COMPRESSED:
        assert_short_path_taken(done)


def test_the_engine_behaves_as_the_model_without_a_broker(without_broker: Participants) -> None:
    # When
    done = Counter[str]()
    for saga in (Unconfirmed, Forked):
        for seed in range(2 * WALKS):
            done += walk_without_broker(saga, seed, without_broker)
    # Then, and processes died, came back, and were given up for it
    assert_worked(done)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("saga", [saga for saga in SAGAS if saga not in COMPRESSED], ids=lambda saga: saga.__name__)
def test_the_engine_behaves_as_the_model_without_a_broker_on_many_paths(
    saga: type[Saga[Any]], without_broker: Participants
) -> None:
    done = Counter[str]()
    for seed in range(2 * WALKS, MANY):
        done += walk_without_broker(saga, seed, without_broker)
    assert_worked(done)


def assert_worked(done: Counter[str]) -> None:
    print(done)
    for wanted in ("takes it up", "dies", "is given up", "done, goes on", "the lease, or the wait, is over"):
        assert [label for label in done if wanted in label], wanted
    assert done["ends SUCCEEDED"] > 1 < done["ends FAILED"]


def assert_not_trivial(done: Counter[str]) -> None:
    """The paths had faults of every kind, and ended in both ways."""
    for wanted in ("breaks", "comes again", "dies before it publishes", "is lost", "is refused by the broker, which"):
        assert [label for label in done if wanted in label], wanted
    assert done["ends SUCCEEDED"] > 1 < done["ends FAILED"]


def assert_short_path_taken(done: Counter[str]) -> None:
    """Processes went on without messages, and died on the way."""
    for wanted in (
        "goes on with it",
        "done, goes on",
        "dies between two commits",
        "is ahead, delivered where it stands",
    ):
        assert [label for label in done if wanted in label], wanted


def test_a_model_that_differs_from_the_engine_is_found(participants: Participants) -> None:
    life = Life(Unconfirmed.definition, replace(RIGHT, reads_cursor=False), lease_limit=LIMIT)
    replay, here = Replay(Unconfirmed, participants), life.first
    for wanted in ("claim: sends it on", "one.forward two.forward: done, and comes again"):
        there = next(world for label, _, world in life.successors(here) if label == wanted)
        replay.step(wanted, here, there)
        replay.compare(there)
        here = there
    label = "one.forward two.forward: done"
    wrong = next(world for found, _, world in life.successors(here) if found == label)
    replay.step(label, here, wrong)
    with pytest.raises(AssertionError):
        replay.compare(wrong)
