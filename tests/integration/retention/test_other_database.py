"""Old runs with steps in another database: what is there goes first, and is found again wherever the process dies."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
import uuid_utils.compat
from pytest_django import Settings

import sagas
from sagas import State, store
from sagas.retention import pruning
from sagas.retention.pruning import prune
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab
from tests.loyalty.models import Purse, PurseHold
from tests.loyalty.sagas import Afar
from tests.support import loyalty
from tests.support.carrier import Carrier
from tests.support.retention import age, keep, left_of, old_id, there
from tests.support.runs import state


@pytest.fixture(autouse=True)
def _kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(settings)
    monkeypatch.setattr(uuid_utils.compat, "uuid7", old_id)


def ended(purse: str, *, confirmed: bool = True) -> UUID:
    """A run that has ended long ago, and has holds and barrier rows there."""
    run_id = sagas.start(Afar, Experiment(jar=purse))
    Carrier().run([run_id])
    if confirmed:
        sagas.confirm(run_id, "approval", {})
    else:
        sagas.cancel(run_id)
    Carrier().run([run_id])
    assert state(run_id) is (State.SUCCEEDED if confirmed else State.FAILED)
    assert loyalty.rows(run_id)
    age([run_id])
    return run_id


def assert_gone(ids: list[UUID], purse: str, *, sold: int) -> None:
    """Nothing is left of them in either database but the sum of what was sold."""
    assert left_of(ids) == 0
    assert [loyalty.rows(run_id) for run_id in ids] == [{}] * len(ids)
    assert not PurseHold.objects.filter(run_id__in=ids).exists()
    assert Purse.objects.get(pk=purse).settled == sold


def test_what_is_in_the_other_database_goes_with_its_run(purse: str) -> None:
    ids = [ended(purse), ended(purse, confirmed=False)]
    assert prune(limit=10, rate=1e6).runs == 2
    assert_gone(ids, purse, sold=1)


class Died(BaseException):
    """The process is no more."""


def _before_any_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.barriers, "delete", _die)


def _between_the_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.retention.pruning, "delete", _die)


def _before_the_last_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.retention.pruning, "leave_part", _die)


def _die(*_: object, **__: object) -> None:
    raise Died


@pytest.mark.parametrize("moment", [_before_any_commit, _between_the_commits, _before_the_last_commit])
def test_a_pruning_that_dies_is_finished_by_the_next_one(
    purse: str, moment: Callable[[pytest.MonkeyPatch], None]
) -> None:
    # Given a pruning that dies
    ids = [ended(purse), ended(purse, confirmed=False)]
    with pytest.MonkeyPatch.context() as patched:
        moment(patched)
        with pytest.raises(Died):
            prune(limit=10, rate=1e6)

    # Then the runs are there, and so are found again; and what was sold is counted once
    assert there(ids) == set(ids)
    assert prune(limit=10, rate=1e6).runs == 2
    assert_gone(ids, purse, sold=1)


def test_while_the_other_database_is_away_only_its_runs_stay(purse: str, caplog: pytest.LogCaptureFixture) -> None:
    # Given
    afar = ended(purse)
    here = sagas.start(Lab, Experiment(jar=purse))
    Carrier().run([here])
    sagas.cancel(here)
    Carrier().run([here])
    age([here])

    # When
    with loyalty.away():
        done = prune(limit=10, rate=1e6)

    # Then
    assert (done.runs, done.left, there([afar, here])) == (1, 1, {afar})
    assert "1 old run(s) stay: the database 'loyalty'" in caplog.text
    assert prune(limit=10, rate=1e6).runs == 1
    assert_gone([afar, here], purse, sold=1)


def test_a_run_that_holds_something_there_stays(purse: str) -> None:
    # Given a run that was ended by hand, and nobody has settled what it holds
    run_id = sagas.start(Afar, Experiment(jar=purse, faults={"two.confirm": 99}))
    Carrier().run([run_id])
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])
    sagas.resolve(run_id, outcome=State.SUCCEEDED, by="ada", note="sold by hand")
    age([run_id])

    # When, then
    batch = pruning.prune_batch(pruning.BY_TIME, limit=10)
    assert (batch.runs, batch.left) == (0, 1)
    assert loyalty.rows(run_id)
    assert Jar.objects.filter(pk=purse).exists()
