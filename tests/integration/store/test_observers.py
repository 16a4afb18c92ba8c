"""Observers are told, after each commit, what was logged of runs and where they went, and nothing that is undone."""

from __future__ import annotations

import logging

import pytest
from django.db import transaction

import sagas
from sagas import State, runtime
from sagas.store import observers
from sagas.store.observers import Written
from tests.lab.models import Jar
from tests.lab.sagas import Compressed, Experiment, Lab, Unconfirmed
from tests.support.carrier import Carrier
from tests.support.runs import state, story

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    """What an observer has been told."""
    told: list[Written] = []
    monkeypatch.setattr(runtime.declared, "observers", [])
    observers.observe(told.append)
    return told


def logged(seen: list[Written]) -> list[str]:
    """As ``tests.support.runs.story``."""
    entries = [written.entry for written in seen if written.entry]
    return [e.operation if e.outcome == "EVENT" else f"{e.step}.{e.operation} {e.outcome}" for e in entries]


def test_an_observer_is_told_all_that_the_log_has_behind_the_start(seen: list[Written]) -> None:
    # Given
    Jar.objects.create(name="seen", available=5)
    run_id = sagas.start(Lab, Experiment(jar="seen"))

    # When
    Carrier().run([run_id])
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])

    # Then
    assert logged(seen) == story(run_id)[1:]
    assert {row.id for written in seen for row in written.rows} == {run_id}
    assert [written.at for written in seen] == sorted(written.at for written in seen)
    assert [w.change.after.state for w in seen if w.change][-1] is State.SUCCEEDED


@pytest.mark.parametrize("saga", [Unconfirmed, Compressed])
def test_an_observer_is_told_of_an_undo_in_the_order_of_the_log(
    seen: list[Written], saga: type[sagas.Saga[Experiment]]
) -> None:
    run_id = sagas.start(saga, Experiment(reject=("two",)))
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    assert logged(seen) == story(run_id)[1:]


def test_a_cohort_is_told_once_for_each_operation_with_all_its_runs(seen: list[Written]) -> None:
    ids = [sagas.start(Unconfirmed, Experiment()) for _ in range(3)]
    Carrier().run(ids)
    assert [sorted(row.id for row in written.rows) for written in seen if written.entry] == [sorted(ids)] * 2


def test_nothing_is_told_of_a_transaction_that_is_rolled_back(seen: list[Written]) -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    with pytest.raises(RuntimeError), transaction.atomic():
        sagas.cancel(run_id)
        raise RuntimeError
    assert seen == []


def test_an_observer_that_fails_is_logged_and_the_next_one_is_told(
    seen: list[Written], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(written: Written) -> None:
        raise ValueError(written.at)

    monkeypatch.setattr(runtime.declared, "observers", [broken, *runtime.declared.observers])
    run_id = sagas.start(Unconfirmed, Experiment())
    with caplog.at_level(logging.ERROR):
        sagas.cancel(run_id)
    assert logged(seen) == ["cancel"]
    assert "the observer" in caplog.text
    assert state(run_id) is State.COMPENSATING
