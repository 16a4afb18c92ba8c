"""Every kind of race can be lost: with its lock patched away, its own test fails, and not only for want of a wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from sagas import store
from sagas.engine.outside import barrier
from sagas.pool import PoolResource
from tests.races import racing, test_barrier, test_cohorts, test_decisions, test_lines
from tests.races.racing import Race
from tests.support.carrier import deliver
from tests.support.runs import new_jar, shift_clock

Patch = pytest.MonkeyPatch


@pytest.fixture
def blind(race: Race) -> Race:
    """A race in which nobody is asked who waits for whom."""
    race.blind = True
    return race


@pytest.fixture
def no_lock_on_runs(alone: None, monkeypatch: Patch) -> None:
    """``store.runs.lock`` and ``lock_one`` only read."""
    monkeypatch.setattr(store.runs, "lock", lambda ids, **_: store.runs.read(ids))
    monkeypatch.setattr(store.runs, "lock_one", lambda run_id: store.runs.read([run_id])[0])


@pytest.fixture(params=["under way", "all done"])
def run(request: pytest.FixtureRequest, alone: None) -> tuple[str, tuple[Any, Any]]:
    """As in ``test_decisions``, with a jar of its own: what is wrong in the end is what is asked for."""
    jar = new_jar(1000)
    run_id, chain = test_decisions.begun(jar, "four")
    if request.param == "all done":
        deliver(chain)
    shift_clock([run_id], 40)
    return jar, (run_id, chain if request.param == "under way" else None)


@pytest.mark.parametrize(
    "race_of_two",
    [
        test_decisions.test_the_confirmation_comes_before_the_deadline,
        test_decisions.test_the_deadline_comes_before_the_confirmation,
        test_decisions.test_the_confirmation_comes_before_the_cancel,
        test_decisions.test_the_cancel_comes_before_the_confirmation,
        test_decisions.test_the_deadline_comes_twice,
    ],
    ids=lambda test: test.__name__.removeprefix("test_"),
)
@pytest.mark.usefixtures("no_lock_on_runs")
def test_without_the_lock_on_runs_both_decide(blind: Race, run: tuple[str, tuple[Any, Any]], race_of_two: Any) -> None:
    jar, place = run
    with pytest.raises(AssertionError):
        race_of_two(blind, place, jar)


@pytest.mark.usefixtures("no_lock_on_runs")
def test_without_the_lock_on_runs_a_confirmation_that_comes_twice_is_recorded_once(
    blind: Race, run: tuple[str, tuple[Any, Any]]
) -> None:
    # The unique constraint of confirmations is a second line
    jar, place = run
    test_decisions.test_the_confirmation_comes_twice(blind, place, jar)


@pytest.mark.usefixtures("no_lock_on_runs")
def test_without_the_lock_on_runs_a_duplicate_is_performed_and_rolled_back(race: Race) -> None:
    double = test_cohorts.test_a_cohort_is_delivered_twice_at_once
    # It comes as far as the log, whose key is a second line
    with pytest.raises(AssertionError, match="sagas_log"):
        double(race, new_jar(1000), "two")
    race.end()
    # Which holds
    race.blind = True
    double(race, new_jar(1000), "two")


@pytest.mark.parametrize("left_out", [" SKIP LOCKED", "FOR NO KEY UPDATE SKIP LOCKED"])
def test_without_skip_locked_claims_wait_for_each_other(race: Race, monkeypatch: Patch, left_out: str) -> None:
    def rows_of(sql: str, params: Sequence[Any]) -> list[store.runs.Row]:
        assert left_out in sql
        return store.runs.rows_of(sql.replace(left_out, ""), params)

    monkeypatch.setattr(store.claims, "rows_of", rows_of)
    monkeypatch.setattr(store.claims, "lease_few", lambda *_, **__: None)
    # It is waited for in vain, so not for long.
    monkeypatch.setattr(racing, "PATIENCE", 0.5)
    with pytest.raises(AssertionError):
        test_cohorts.test_two_claims_take_different_runs(race, new_jar(1000), lapsed=False)


def test_without_the_lock_on_a_pool_the_last_piece_is_held_twice(blind: Race, monkeypatch: Patch) -> None:
    execute = PoolResource._execute

    def unlocked(
        self: PoolResource[Any], sql: str, params: Sequence[Any], *, rows: int | None = None
    ) -> list[tuple[Any, ...]]:
        return execute(self, sql.replace("FOR NO KEY UPDATE", ""), params, rows=rows)

    monkeypatch.setattr(PoolResource, "_execute", unlocked)
    with pytest.raises(AssertionError):
        test_cohorts.test_two_cohorts_want_the_last_piece(blind, 0)


def test_a_pool_locked_in_the_order_of_calls_holds_what_others_need(race: Race, monkeypatch: Patch) -> None:
    execute = PoolResource._execute

    def turned(
        self: PoolResource[Any], sql: str, params: Sequence[Any], *, rows: int | None = None
    ) -> list[tuple[Any, ...]]:
        assert sql.count('ORDER BY "id" FOR NO KEY UPDATE') == 1
        return execute(self, sql.replace('ORDER BY "id" FOR', 'ORDER BY "id" DESC FOR'), params, rows=rows)

    monkeypatch.setattr(PoolResource, "_execute", turned)
    first, second = sorted((new_jar(10), new_jar(10)))
    with pytest.raises(AssertionError):
        test_cohorts.test_a_cohort_that_waits_for_a_jar_holds_no_later_jar(race, (first, second), turned=False)


def test_without_the_lock_on_a_key_two_runs_hold_it(blind: Race, monkeypatch: Patch) -> None:
    monkeypatch.setattr(store.locks, "lock_keys", lambda _: None)
    with pytest.raises(AssertionError):
        test_lines.test_the_second_run_does_not_begin_before_the_first_commits(blind, f"order:{uuid4().hex[:8]}")


def test_an_undo_that_takes_no_row_of_the_forward_operation_is_too_early(
    blind: Race, purse: str, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(barrier, "_enter_to_undo", barrier._enter)
    with pytest.raises(AssertionError):
        test_barrier.test_the_undo_comes_before_its_forward_operation(blind, purse)
