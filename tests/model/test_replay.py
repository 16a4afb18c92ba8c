"""The model is the engine: its paths, walked on the real engine and PostgreSQL, are in the same state at each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from sagas import Retry, Saga
from tests.lab.sagas import Charged, Forked, ShortLab, Unconfirmed
from tests.model.explorer import Kind
from tests.model.life import Life, is_at_rest
from tests.model.replay import LONG, Participants, Replay
from tests.model.rules import RIGHT
from tests.model.world import describe

pytestmark = pytest.mark.usefixtures("alone")

SAGAS: list[type[Saga[Any]]] = [ShortLab, Unconfirmed, Charged, Forked]
WALKS = 8
MANY = 150
STEPS = 40
LIMIT = 2
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


def walk(saga: type[Saga[Any]], seed: int, participants: Participants) -> Counter[str]:
    """Take one path, in both; count what was done."""
    random = Random(seed)
    life = Life(saga.definition, lease_limit=LIMIT, refuses=True)
    here, replay = life.first, Replay(saga, participants)
    told: list[str] = []
    done = Counter[str]()
    for _ in range(STEPS):
        steps = list(life.successors(here))
        if not steps:
            break
        label, _, there = random.choices(steps, [weight(label, kind) for label, kind, _ in steps])[0]
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
    return 0.2 if ": says no" in label else SELDOM.get(label, WEIGHTS[kind])


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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("saga", SAGAS, ids=lambda saga: saga.__name__)
def test_the_engine_behaves_as_the_model_on_many_paths(saga: type[Saga[Any]], participants: Participants) -> None:
    assert_not_trivial(walk_all(saga, range(WALKS, WALKS + MANY), participants))


def assert_not_trivial(done: Counter[str]) -> None:
    """The paths had faults of every kind, and ended in both ways."""
    for wanted in ("breaks", "comes again", "dies before it publishes", "is lost", "is refused by the broker, which"):
        assert [label for label in done if wanted in label], wanted
    assert done["ends SUCCEEDED"] > 1 < done["ends FAILED"]


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
