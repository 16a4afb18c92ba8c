"""The compressed lifecycle on the real database: one commit a phase, with the log and states of the ordinary way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

import sagas
from sagas import Accepted, Call, Done, Outcome, Saga, State, Step, locking, no_lock_keys, set_based, store
from sagas.decisions.messages import Chain
from sagas.decisions.plan import Move
from sagas.definition.participants import Phase
from sagas.engine import cohort, compressed, invocation, results
from sagas.engine.cohort import TimeUp
from sagas.errors import DefinitionError
from sagas.models import Log, Run
from tests.lab import sagas as lab
from tests.lab.sagas import Compressed, Experiment, Lab
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_all
from tests.support.runs import assert_effects_once, counts, effects, marks, new_jar, state, states, story

pytestmark = pytest.mark.usefixtures("alone")

FORWARD = ["one.forward", "two.forward", "three.try", "four.forward"]
CONFIRMED = [*FORWARD, "one.confirm", "three.confirm"]
UNDONE = [*FORWARD, "four.compensate", "three.cancel", "two.compensate", "one.compensate"]


def start(count: int = 1, **experiment: Any) -> list[UUID]:
    return sorted(sagas.start(Compressed, Experiment(**experiment)) for _ in range(count))


def claimed() -> Chain:
    (chain,) = chains(claim_all())
    return chain


def commits_of(ids: Sequence[UUID]) -> int:
    """In how many transactions the effects of these runs were written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT xmin::text) FROM sagas_log WHERE run_id = ANY(%s::uuid[]) AND outcome = 'DONE'",
            [[str(run_id) for run_id in ids]],
        )
        return int(cursor.fetchone()[0])


# -- What it saves, and what it leaves ------------------------------------------------------------------------


def test_all_forward_steps_are_one_commit_and_one_delivery() -> None:
    # Given
    jar = new_jar(10)
    ids = start(3, jar=jar)
    # When
    performed, rest = deliver(claimed())
    # Then
    assert rest is None
    assert performed.survivors == []
    assert states(ids) == {State.AWAITING_CONFIRM: 3}
    assert [effects(run_id) for run_id in ids] == [FORWARD] * 3
    assert commits_of(ids) == 1
    assert counts(jar) == (7, 3, 0)


@pytest.mark.parametrize(("end", "log"), [("confirm", CONFIRMED), ("cancel", UNDONE)])
def test_confirms_and_undos_are_one_commit_each(end: str, log: list[str]) -> None:
    # Given
    jar = new_jar(10)
    ids = start(2, jar=jar)
    deliver(claimed())
    # When
    for run_id in ids:
        _ = sagas.confirm(run_id, "approval") if end == "confirm" else sagas.cancel(run_id, by="test", reason="")
    _, rest = deliver(claimed())
    # Then
    assert rest is None
    assert states(ids) == {State.SUCCEEDED if end == "confirm" else State.FAILED: 2}
    assert [effects(run_id) for run_id in ids] == [log] * 2
    assert commits_of(ids) == 2
    assert counts(jar) == ((8, 0, 2) if end == "confirm" else (10, 0, 0))


def test_its_statements_can_be_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given sessions of the process's own, in which statements of a few runs are prepared
    options = {**connection.settings_dict["OPTIONS"], "prepares": True}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    ids = start(2, jar=new_jar(10))
    # When
    deliver(claimed())
    for run_id in ids:
        sagas.confirm(run_id, "approval")
    deliver(claimed())
    # Then neither transaction broke, after which the ordinary way would have had one for each step
    assert [effects(run_id) for run_id in ids] == [CONFIRMED] * 2
    assert commits_of(ids) == 2


def test_each_step_has_a_log_row_with_a_time_and_a_duration_of_its_own() -> None:
    # Given
    (run_id,) = start()
    # When
    began = time.perf_counter()
    deliver(claimed())
    took = time.perf_counter() - began
    # Then
    rows = list(Log.objects.filter(run_id=run_id, outcome="DONE").order_by("id").values_list("at", "duration_us"))
    times = [at for at, _ in rows]
    assert times == sorted(set(times))
    assert all(duration > 0 for _, duration in rows[:2])
    assert sum(duration for _, duration in rows) <= took * 1e6


def test_it_leaves_what_the_ordinary_way_leaves() -> None:
    # Given
    (mine,) = start()
    theirs = sagas.start(Lab, Experiment())
    # When
    Carrier().run([mine, theirs])
    # Then
    assert story(mine) == story(theirs)
    assert marks(mine) == marks(theirs)
    rows = [
        Run.objects.filter(pk=i).values("state", "cursor", "fork", "attempt", "claims", "results", "pending").get()
        for i in (mine, theirs)
    ]
    # A reserve id has the run's.
    told = [str(row).replace(str(run_id), "run") for row, run_id in zip(rows, (mine, theirs), strict=True)]
    assert told[0] == told[1]


def test_a_step_reads_the_results_of_the_steps_before_as_they_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a result that JSON changes: a tuple
    seen: list[Any] = []

    @locking(no_lock_keys)
    @set_based
    def tell(calls: Sequence[Call[Any]]) -> list[Outcome]:
        return [Done({"pair": (1, 2)}) for _ in calls]

    @locking(no_lock_keys)
    @set_based
    def hear(calls: Sequence[Call[Any]]) -> list[Outcome]:
        seen.extend(call.results["one"] for call in calls)
        return [Done() for _ in calls]

    with participants(monkeypatch, one=tell, two=hear):
        start()
        # When
        deliver(claimed())
    # Then
    assert seen == [{"pair": [1, 2]}]


def test_results_that_are_handed_on_as_they_were_given_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an engine with a mistake
    given: dict[UUID, dict[str, Any]] = {}
    honest_collect, honest_make = invocation.collect, cohort.make_calls

    def collect(participant: Any, calls: Sequence[Call[Any]], *args: Any, **more: Any) -> Any:
        answers = honest_collect(participant, calls, *args, **more)
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, Done):
                given.setdefault(call.run_id, {})[call.step] = answer.result
        return answers

    def make(*args: Any) -> list[Call[Any]]:
        return [replace(call, results={**call.results, **given.get(call.run_id, {})}) for call in honest_make(*args)]

    monkeypatch.setattr(invocation, "collect", collect)
    monkeypatch.setattr(compressed, "make_calls", make)
    # When / Then
    with pytest.raises(AssertionError):
        test_a_step_reads_the_results_of_the_steps_before_as_they_are_stored(monkeypatch)


def test_a_step_that_changes_its_request_changes_no_other_step_s(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a request that has a dict
    seen: list[Any] = []

    @locking(no_lock_keys)
    @set_based
    def change(calls: Sequence[Call[Any]]) -> list[Outcome]:
        for call in calls:
            call.request.faults["four.forward"] = 1
        return [Done() for _ in calls]

    @locking(no_lock_keys)
    @set_based
    def look(calls: Sequence[Call[Any]]) -> list[Outcome]:
        seen.extend(dict(call.request.faults) for call in calls)
        return [Done() for _ in calls]

    with participants(monkeypatch, one=change, two=look):
        (run_id,) = start(faults={"none": 0})
        # When
        deliver(claimed())
    # Then
    assert seen == [{"none": 0}]
    assert effects(run_id) == FORWARD


def test_confirmations_that_came_before_the_steps_are_found_with_the_locks() -> None:
    # Given
    (early,), (late,) = start(), start()
    chain = claimed()
    sagas.confirm(early, "approval")
    # When
    deliver(chain)
    # Then
    assert (state(early), state(late)) == (State.CONFIRMING, State.AWAITING_CONFIRM)
    assert commits_of([early, late]) == 1


def test_a_participant_that_confirms_its_own_run_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    @locking(no_lock_keys)
    @set_based
    def approve(calls: Sequence[Call[Any]]) -> list[Outcome]:
        for call in calls:
            sagas.confirm(call.run_id, "approval")
        return [Done() for _ in calls]

    with participants(monkeypatch, two=approve):
        (run_id,) = start()
        # When
        deliver_all(claimed())
    # Then the run does not wait for what has come
    assert state(run_id) is State.CONFIRMING
    assert effects(run_id) == FORWARD


# -- Runs that leave it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["one", "two", "three", "four"])
def test_a_rejected_run_leaves_the_later_steps_and_is_undone_in_a_later_transaction(step: str) -> None:
    # Given
    jar = new_jar(10)
    (good,), (bad,) = start(jar=jar), start(jar=jar, reject=(step,))
    # When
    deliver_all(claimed())
    # Then
    before = FORWARD[: ["one", "two", "three", "four"].index(step)]
    assert effects(good) == FORWARD
    assert commits_of([good, bad]) == 1
    assert effects(bad) == before
    assert state(bad) is State.COMPENSATING
    # When
    Carrier().run([bad])
    # Then
    assert state(bad) is State.FAILED
    assert_effects_once(bad)
    assert state(good) is State.AWAITING_CONFIRM
    assert counts(jar) == (9, 1, 0)


def test_a_fault_of_one_call_is_recorded_and_the_run_goes_on_from_there() -> None:
    # Given
    (good,), (bad,) = start(), start(faults={"four.forward": 1})
    # When
    deliver_all(claimed())
    # Then
    assert state(good) is State.AWAITING_CONFIRM
    assert effects(bad) == FORWARD[:3]
    assert Run.objects.get(pk=bad).attempt == 1
    assert commits_of([good, bad]) == 1
    # When its next attempt comes, which is not compressed
    Carrier().run([bad])
    # Then
    assert state(bad) is State.AWAITING_CONFIRM
    assert_effects_once(bad)


def test_each_step_counts_its_own_attempts() -> None:
    # Given a run that fails at its first step, where all others of its phase would follow in the same transaction
    (run_id,) = start(faults={"one.forward": 1})
    # When
    deliver_all(claimed())
    Carrier().run([run_id])
    # Then
    rows = Log.objects.filter(run_id=run_id).exclude(step="").order_by("id").values_list("step", "outcome", "attempt")
    assert list(rows) == [
        ("one", "FAULT", 1),
        ("one", "DONE", 2),
        ("two", "DONE", 1),
        ("three", "DONE", 1),
        ("four", "DONE", 1),
    ]
    assert Run.objects.get(pk=run_id).attempt == 0


def test_miscounted_attempts_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = store.moves.advance_through

    def carry_over(change: Move, *args: Any, **more: Any) -> None:
        honest(replace(change, attempt=1), *args, **more)

    # Given an engine with one mistake, or with another
    for module, name, mistake in (
        (compressed, "_has_past", lambda _: False),
        (store.moves, "advance_through", carry_over),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, mistake)
            # When / Then
            with pytest.raises(AssertionError):
                test_each_step_counts_its_own_attempts()


def test_a_fault_of_a_set_rolls_all_back_and_the_same_cohort_goes_the_ordinary_way() -> None:
    # Given
    jar = new_jar(10)
    ids = start(2, jar=jar) + start(jar=jar, faults={"three.try": 99})
    chain = claimed()
    # When
    performed, rest = deliver(chain)
    # Then nothing of it was kept but what the ordinary way has done: the first step
    assert rest is not None
    assert performed.survivors == sorted(ids)
    assert {tuple(effects(run_id)) for run_id in ids} == {("one.forward",)}
    assert not Log.objects.filter(run_id__in=ids, outcome="FAULT").exists()
    # When
    carrier = Carrier()
    carrier.post([rest])
    carrier.run(ids)
    # Then only the one that breaks is undone
    assert states(ids) == {State.AWAITING_CONFIRM: 2, State.FAILED: 1}
    for run_id in ids:
        assert_effects_once(run_id)


def test_accepted_ends_it_for_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    (slow,), (quick,) = start(reject=()), start()

    @locking(no_lock_keys)
    @set_based
    def later(calls: Sequence[Call[Any]]) -> list[Outcome]:
        return [Accepted(timedelta(minutes=5)) if call.run_id == slow else Done() for call in calls]

    with participants(monkeypatch, two=later):
        # When
        deliver_all(claimed())
        # Then
        assert state(quick) is State.AWAITING_CONFIRM
        assert effects(slow) == ["one.forward"]
        # When
        sagas.report(slow, "two", Done({"at": "last"}))
        Carrier().run([slow])
    # Then
    assert state(slow) is State.AWAITING_CONFIRM
    assert effects(slow) == FORWARD


def test_a_rejected_run_that_went_on_would_be_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an engine with a mistake: who is rejected takes part in the later steps
    honest = results.record_answers

    def forget(delivery: Any, rows: Any, *more: Any) -> Any:
        _, messages = honest(delivery, rows, *more)
        return list(rows), messages

    monkeypatch.setattr(compressed, "record_answers", forget)
    (good,), (bad,) = start(), start(reject=("two",))
    # When
    deliver_all(claimed())
    # Then the transaction broke, and the ordinary way did it right
    assert commits_of([good, bad]) > 1
    assert effects(good) == FORWARD
    assert effects(bad) == FORWARD[:1]


def test_a_transaction_that_logged_too_few_steps_would_be_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an engine with a mistake: only the last step is logged
    honest = store.moves.advance_through

    def log_last(change: Move, rows: Any, passed: Sequence[Any], **more: Any) -> None:
        honest(change, rows, passed[-1:], **more)

    monkeypatch.setattr(store.moves, "advance_through", log_last)
    (run_id,) = start()
    # When
    deliver_all(claimed())
    # Then the guard of the cursor has refused it, and the ordinary way did it right
    assert effects(run_id) == FORWARD
    assert commits_of([run_id]) == len(FORWARD)


# -- Where it does not apply ----------------------------------------------------------------------------------


def test_a_delivery_that_comes_again_is_ordinary() -> None:
    # Given
    ids = start(2)
    chain = claimed()
    # When
    performed, _ = deliver(Chain(chain.links, chain.ids, token=1))
    # Then
    assert performed.survivors == ids
    assert {tuple(effects(run_id)) for run_id in ids} == {("one.forward",)}


def test_a_double_of_a_compressed_delivery_does_nothing() -> None:
    # Given
    ids = start(2)
    chain = claimed()
    deliver(chain)
    # When
    performed, rest = deliver(chain)
    # Then
    assert (performed.survivors, rest) == ([], None)
    for run_id in ids:
        assert_effects_once(run_id)


@pytest.mark.parametrize("old", [1, 2, 3])
def test_old_workers_and_new_ones_share_a_run(old: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given workers whose code says nothing of the lifecycle, which perform so many steps
    ids = start(2)
    chain: Chain | None = claimed()
    with monkeypatch.context() as before:
        before.setattr(compressed, "links_of", lambda _: ())
        for _ in range(old):
            assert chain is not None
            _, chain = deliver(chain)
    # When a new one takes the next message
    assert chain is not None
    _, rest = deliver(chain)
    # Then
    assert rest is None
    assert states(ids) == {State.AWAITING_CONFIRM: 2}
    for run_id in ids:
        assert effects(run_id) == FORWARD


def test_one_call_participants_share_the_savepoints_of_a_transaction() -> None:
    # Given two steps of one call
    links = claimed_links()
    # When / Then
    assert compressed.part_size(links, "") == 25


def test_a_time_limit_commits_nothing_and_the_delivery_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    @locking(no_lock_keys)
    @set_based
    def slow(_calls: Sequence[Call[Any]]) -> list[Outcome]:
        raise SoftTimeLimitExceeded

    with participants(monkeypatch, two=slow):
        (run_id,) = start()
        # When
        with pytest.raises(TimeUp):
            deliver(claimed())
    # Then
    assert effects(run_id) == []


# -- Declarations ---------------------------------------------------------------------------------------------


def silent(_call: Call[Any]) -> None:
    """Says nothing of the rows that it locks."""


def test_a_participant_must_say_which_rows_it_locks() -> None:
    with pytest.raises(DefinitionError, match=r"one\.forward: .*silent does not say which rows it locks"):

        class Unsaid(Saga[Experiment]):
            lifecycle = "compressed"
            one = Step(silent, queue="orders")


def test_the_lifecycle_is_one_of_two() -> None:
    with pytest.raises(DefinitionError, match="lifecycle is 'quick'; give ordinary or compressed"):

        class Quick(Saga[Experiment]):
            lifecycle = "quick"
            one = Step(lab.mark, queue="orders")


def test_a_choreographed_saga_is_refused() -> None:
    with pytest.raises(DefinitionError, match="a choreographed saga"):

        class Told(Saga[Experiment]):
            lifecycle = "compressed"
            carrier = "choreography"
            one = Step(lab.mark, queue="orders")


def test_a_fork_is_refused() -> None:
    with pytest.raises(DefinitionError, match="a Parallel, whose branches"):

        class Split(Saga[Experiment]):
            lifecycle = "compressed"
            both = sagas.Parallel(left=Step(lab.mark, queue="orders"), right=Step(lab.mark, queue="orders"))


def test_a_child_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"child\.forward, which is a saga of its own"):

        class WithChild(Saga[Experiment]):
            lifecycle = "compressed"
            child = sagas.SubSaga(lab.Unconfirmed, request=lambda call: call.request, queue="orders")


def test_a_step_in_another_database_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"one\.forward, which is in another database"):

        class Distant(Saga[Experiment]):
            lifecycle = "compressed"
            one = Step(lab.mark, queue="orders", database="loyalty")


def test_the_lifecycle_is_no_part_of_the_shape() -> None:
    assert Compressed.definition.shape.number == Lab.definition.shape.number


# -- Helpers --------------------------------------------------------------------------------------------------


def claimed_links() -> Any:
    start()
    return claimed().links


@contextmanager
def participants(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Iterator[None]:
    """Put other participants in place of the forward ones."""
    with monkeypatch.context() as patch:
        for step in Compressed.definition.steps:
            if step.name in given:
                action = replace(step.actions[Phase.FORWARD], participant=given[step.name])
                patch.setitem(step.actions, Phase.FORWARD, action)
        yield
