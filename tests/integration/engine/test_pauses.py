"""What a person has paused waits, however its cohorts travel, and goes on when it is unpaused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from pytest_django import Settings

import sagas
from sagas import Saga, State, store
from sagas.engine import lifecycle, locks, pauses
from sagas.engine.claiming import claim
from sagas.engine.performing import perform
from sagas.errors import InvalidArgument, NotApplicable
from sagas.models import Pause, Run
from sagas.operations import actions
from sagas.operations.actions import Target
from sagas.states import CARRIERS
from tests.integration.conftest import Start
from tests.lab.sagas import Closing, Compressed, Experiment, Forked, Hurried, Keyed, Lab, Unconfirmed
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_all
from tests.support.runs import assert_effects_once, await_states, effects, state, states, story

pytestmark = pytest.mark.usefixtures("alone")

RUN = Target("saga", Lab.definition.name)


@contextmanager
def paused(target: Target) -> Iterator[None]:
    actions.pause(target, by="ada", reason="the ledger moves")
    yield
    actions.unpause(target, by="ada", reason="it has moved")


def pass_time(run_id: UUID, seconds: float) -> None:
    """Let time pass for a run, and for what is paused: all that was, was so much earlier."""
    past = timedelta(seconds=seconds)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_pause DISABLE TRIGGER sagas_pause_guard")
        cursor.execute("UPDATE sagas_pause SET since = since - %s * interval '1 second'", [seconds])
        cursor.execute("ALTER TABLE sagas_pause ENABLE TRIGGER sagas_pause_guard")
    moved: dict[str, Any] = {
        column: F(column) - past for column in ("due_at", "created_at", "started_at", "deadline", "held_until")
    }
    Run.objects.filter(pk=run_id).update(**moved)


def is_held(run_id: UUID) -> bool:
    return Run.objects.filter(pk=run_id, due_at=F("held_until"), claims=0).exists()


def carry_out(run_id: UUID, action: actions.Action) -> None:
    actions.carry_out(action, run_id, by="ada", reason="to look at it")


# Every carrier --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("saga", [Lab, Compressed])
def test_a_participant_that_is_paused_is_not_called_and_its_runs_go_on_later(
    settings: Settings, saga: type[Saga[Any]], carrier: str
) -> None:
    # Given runs that come to a step which is paused
    settings.SAGAS = {**settings.SAGAS, "CARRIERS": {saga.definition.name: carrier}}
    ids = [sagas.start(saga, Experiment()) for _ in range(3)]
    with paused(Target("step", saga.definition.name, "two")):
        # When
        Carrier(copies=2).run(ids)
        # Then they have come so far, and wait
        assert [effects(run_id) for run_id in ids] == [["one.forward"]] * 3
        assert all(map(is_held, ids))
    # And when it is unpaused, they go on
    Carrier(copies=2).run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 3}
    for run_id in ids:
        assert_effects_once(run_id)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("saga", [Lab, Compressed])
def test_an_undo_waits_for_its_participant_too(settings: Settings, saga: type[Saga[Any]], carrier: str) -> None:
    settings.SAGAS = {**settings.SAGAS, "CARRIERS": {saga.definition.name: carrier}}
    run_id = sagas.start(saga, Experiment())
    Carrier().run([run_id])
    sagas.cancel(run_id)
    with paused(Target("step", saga.definition.name, "three")):
        Carrier().run([run_id])
        assert effects(run_id)[4:] == ["four.compensate"]
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED
    assert_effects_once(run_id)


def test_what_is_on_its_way_when_a_saga_is_paused_is_held_where_it_arrives() -> None:
    # Given a chain that was published, and its first link delivered
    run_id = sagas.start(Lab, Experiment())
    (chain,) = chains(claim_all())
    _, rest = deliver(chain)
    assert rest is not None
    with paused(RUN):
        # When the next link is delivered, and again
        for _ in range(2):
            assert deliver_all(rest).survivors == []
        # Then
        assert effects(run_id) == ["one.forward"]
        assert is_held(run_id)
    Carrier().run([run_id])
    assert_effects_once(run_id)


def test_a_process_that_goes_on_itself_sees_a_pause_between_two_links() -> None:
    # Given a process that holds a run as it has left it
    run_id = sagas.start(Lab, Experiment())
    (chain,) = chains(claim_all())
    performed = perform(chain.links[0], chain.ids, held=True)
    assert performed.left
    # When
    with paused(RUN):
        again = perform(chain.links[1], performed.survivors, held=True, left=performed.left)
        # Then
        assert again.survivors == []
        assert is_held(run_id)


def test_the_branches_of_a_fork_wait_for_one_that_is_paused() -> None:
    run_id = sagas.start(Forked, Experiment())
    branches = list(Forked.definition.declared_steps)
    with paused(Target("step", Forked.definition.name, branches[1])):
        Carrier().run([run_id])
        assert is_held(run_id)
        assert f"{branches[1]}.forward" not in effects(run_id)
    Carrier().run([run_id])
    assert state(run_id) in {State.AWAITING_CONFIRM, State.SUCCEEDED}
    assert len(effects(run_id)) == len(set(effects(run_id)))


# A run, a saga, new starts --------------------------------------------------------------------------------------------


def test_a_paused_run_waits_and_its_neighbour_does_not() -> None:
    run_id, other = (sagas.start(Lab, Experiment()) for _ in range(2))
    carry_out(run_id, actions.Pause())
    Carrier().run([run_id, other])
    assert (state(run_id), state(other)) == (State.PENDING, State.AWAITING_CONFIRM)
    carry_out(run_id, actions.Unpause())
    Carrier().run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM
    assert [line for line in story(run_id) if "pause" in line] == ["pause", "unpause"]


def test_a_paused_saga_holds_its_own_runs_only() -> None:
    run_id, other = sagas.start(Lab, Experiment()), sagas.start(Unconfirmed, Experiment())
    with paused(RUN):
        Carrier().run([run_id, other])
        assert (state(run_id), state(other)) == (State.PENDING, State.SUCCEEDED)


@pytest.mark.parametrize("target", [Target("starts"), Target("starts", "lab.Lab")])
def test_new_runs_are_accepted_and_do_not_begin(target: Target) -> None:
    begun = sagas.start(Lab, Experiment())
    (chain,) = chains(claim_all())
    with paused(target):
        new = sagas.start(Lab, Experiment())
        deliver_all(chain)
        Carrier().run([new])
        assert (state(begun), state(new)) == (State.AWAITING_CONFIRM, State.PENDING)
        assert Run.objects.get(pk=new).started_at is None
    Carrier().run([new])
    assert state(new) is State.AWAITING_CONFIRM


def test_a_run_under_two_pauses_waits_for_both() -> None:
    run_id = sagas.start(Lab, Experiment())
    with paused(Target("step", "lab.Lab", "one")):
        with paused(RUN):
            Carrier().run([run_id])
        Carrier().run([run_id])
        assert is_held(run_id)
    Carrier().run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM


def test_a_held_run_is_no_lapsed_lease_however_often_it_is_looked_at(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "LEASE_LIMIT": 2}
    run_id = sagas.start(Lab, Experiment())
    with paused(RUN):
        for _ in range(5):
            claim_all()
            claim_all(lapsed=True)
            pass_time(run_id, 400)
        assert state(run_id) is State.PENDING
    assert Run.objects.get(pk=run_id).claims == 0


def test_a_run_in_line_at_a_key_keeps_its_place() -> None:
    first, second = (sagas.start(Keyed, Experiment(keys=("k",))) for _ in range(2))
    with paused(Target("saga", Keyed.definition.name)):
        claim_all()
    Carrier().run([first, second])
    assert state(first) is not State.PENDING


# Time -----------------------------------------------------------------------------------------------------------------


def awaiting() -> UUID:
    run_id = sagas.start(Lab, Experiment())
    Carrier().run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM
    return run_id


def expire_by_message(run_id: UUID) -> None:
    lifecycle.expire_unconfirmed("lab.Lab", 1, "approval", [run_id], by="message")


def expire_by_tick(run_id: UUID) -> None:
    Run.objects.filter(pk=run_id, due_at__gt=F("deadline")).update(due_at=F("deadline"))
    claim_all()


@pytest.mark.parametrize("expire", [expire_by_message, expire_by_tick])
def test_no_deadline_turns_back_what_is_paused_and_it_is_later_by_the_pause(expire: Callable[[UUID], None]) -> None:
    # Given a run that has waited for 10 of 30 seconds when its saga is paused for an hour
    run_id = awaiting()
    pass_time(run_id, 10)
    with paused(RUN):
        pass_time(run_id, 3600)
        expire(run_id)
        assert state(run_id) is State.AWAITING_CONFIRM
    # Then 20 seconds are left
    run = Run.objects.get(pk=run_id)
    assert run.started_at is not None
    assert run.paused_for is not None
    left = run.started_at + timedelta(seconds=30) + run.paused_for - store.runs.clock()
    assert 15 < left.total_seconds() <= 20.5
    expire(run_id)
    assert state(run_id) is State.AWAITING_CONFIRM
    # And no more
    pass_time(run_id, 21)
    Run.objects.filter(pk=run_id).update(due_at=store.runs.clock())
    expire(run_id)
    assert state(run_id) is State.COMPENSATING


def test_the_time_of_a_run_is_counted_once_however_often_it_was_looked_at() -> None:
    run_id = awaiting()
    with paused(RUN):
        for _ in range(6):
            pass_time(run_id, 100)
            expire_by_tick(run_id)
            expire_by_message(run_id)
    run = Run.objects.get(pk=run_id)
    assert run.paused_for is not None
    assert 599 < run.paused_for.total_seconds() < 605


def test_a_time_out_of_the_steps_is_later_by_the_pause() -> None:
    # Given a saga whose steps may take so long, and a run that is held for longer
    run_id = sagas.start(Hurried, Experiment())
    (chain,) = chains(claim_all())
    deliver(chain)
    target = Target("saga", Hurried.definition.name)
    with paused(target):
        pass_time(run_id, 3600)
        Run.objects.filter(pk=run_id).update(due_at=store.runs.clock(), claims=0)
        claim_all()
        assert state(run_id) is State.EXECUTING
    Carrier().run([run_id])
    assert "timeout" not in story(run_id)


def test_an_hour_of_the_day_is_not_later_for_a_pause() -> None:
    # Given a run that may be approved until a time of the day
    now = store.runs.clock()
    run_id = sagas.start(Closing, Experiment(closes_at=now + timedelta(minutes=5)))
    Carrier().run([run_id])
    target = Target("saga", Closing.definition.name)
    with paused(target):
        Run.objects.filter(pk=run_id).update(due_at=now, deadline=now)
        claim_all()
        assert is_held(run_id)
    run = Run.objects.get(pk=run_id)
    assert run.deadline is not None
    assert run.deadline <= now + timedelta(minutes=5)


def test_a_confirmation_is_taken_while_its_run_is_paused_and_confirmed_behind_it() -> None:
    run_id = awaiting()
    with paused(RUN):
        sagas.confirm(run_id, "approval")
        Carrier().run([run_id])
        assert state(run_id) is State.CONFIRMING
        assert len(effects(run_id)) == 4
    Carrier().run([run_id])
    assert state(run_id) is State.SUCCEEDED


def test_a_cancellation_is_taken_while_its_run_is_paused_and_undone_behind_it() -> None:
    run_id = awaiting()
    with paused(RUN):
        sagas.cancel(run_id)
        Carrier().run([run_id])
        assert (state(run_id), len(effects(run_id))) == (State.COMPENSATING, 4)
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED


# The record, and what does not apply ----------------------------------------------------------------------------------


def test_what_is_paused_is_paused_once_and_ended_once() -> None:
    actions.pause(RUN, by="ada", reason="why")
    with pytest.raises(NotApplicable, match="paused already"):
        actions.pause(RUN, by="bo", reason="why")
    actions.unpause(RUN, by="bo", reason="over")
    with pytest.raises(NotApplicable, match="not paused"):
        actions.unpause(RUN, by="bo", reason="over")
    pause = Pause.objects.get()
    assert (pause.paused_by, pause.reason, pause.ended_by, pause.end_reason) == ("ada", "why", "bo", "over")


@pytest.mark.parametrize(
    "statement",
    ["UPDATE sagas_pause SET reason = 'x'", "UPDATE sagas_pause SET ended_by = 'x'", "DELETE FROM sagas_pause"],
)
def test_nobody_edits_the_record_of_a_pause(statement: str) -> None:
    actions.pause(RUN, by="ada", reason="why")
    actions.unpause(RUN, by="ada", reason="over")
    with pytest.raises(DatabaseError, match="is a record"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Target("saga", "lab.Nothing"), "there is no saga"),
        (Target("step", "lab.Lab", "nine"), "has no step"),
        (Target("step", "lab.Lab"), "give a saga"),
        (Target("all"), "give a saga"),
    ],
)
def test_what_is_not_there_cannot_be_paused(target: Target, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        actions.pause(target, by="ada", reason="why")


def test_a_run_that_has_ended_cannot_be_paused() -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    Carrier().run([run_id])
    with pytest.raises(NotApplicable, match="it has ended"):
        carry_out(run_id, actions.Pause())


def test_who_ends_a_pause_waits_for_who_holds_runs_back_by_it_and_finds_them() -> None:
    # Given a claim that has held a run back and has not committed
    run_id = sagas.start(Lab, Experiment())
    actions.pause(RUN, by="ada", reason="why")
    ended = threading.Event()

    def end() -> None:
        try:
            actions.unpause(RUN, by="ada", reason="over")
        finally:
            connection.close()
            ended.set()

    thread = threading.Thread(target=end)
    with transaction.atomic():
        pauses.hold_rows(store.claims.lock_due(10, lapsed=False, begin=True))
        thread.start()
        eventually(_somebody_waits)
        assert not ended.is_set()
    thread.join()
    # Then the run is due, and not only at the next look
    (chain,) = chains(claim_all())
    assert chain.ids == (run_id,)


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


# Deaths ---------------------------------------------------------------------------------------------------------------


def test_a_process_that_dies_while_it_holds_runs_back_leaves_them_due(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = sagas.start(Lab, Experiment())
    with paused(RUN):
        with monkeypatch.context() as patch:
            real = store.pauses.hold

            def dies(*args: Any, **kwargs: Any) -> None:
                real(*args, **kwargs)
                raise KeyboardInterrupt

            patch.setattr(store.pauses, "hold", dies)
            with pytest.raises(KeyboardInterrupt):
                claim()
        assert not is_held(run_id)
        claim_all()
        assert is_held(run_id)


def test_a_process_that_dies_behind_the_end_of_a_pause_leaves_runs_to_their_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = sagas.start(Lab, Experiment())
    actions.pause(RUN, by="ada", reason="why")
    claim_all()
    with monkeypatch.context() as patch:

        def dies(*_: Any, **__: Any) -> int:
            raise KeyboardInterrupt

        patch.setattr(store.pauses, "release", dies)
        with pytest.raises(KeyboardInterrupt):
            actions.unpause(RUN, by="ada", reason="over")
    assert chains(claim_all()) == []
    pass_time(run_id, 301)
    assert [chain.ids for chain in chains(claim_all())] == [(run_id,)]


def test_a_run_whose_worker_died_before_the_pause_is_held_when_its_lease_lapses() -> None:
    run_id = sagas.start(Lab, Experiment())
    claim_all()
    with paused(RUN):
        pass_time(run_id, 1000)
        claim_all(lapsed=True)
        assert is_held(run_id)
    Carrier().run([run_id])
    assert_effects_once(run_id)


def test_orders_wait_for_a_paused_participant_on_real_workers_and_finish(start_worker: Start) -> None:
    start_worker()
    target = Target("step", "lab.Lab", "two")
    actions.pause(target, by="ada", reason="the ledger moves")
    ids = [sagas.start(Lab, Experiment()) for _ in range(5)]
    eventually(lambda: all(map(is_held, ids)))
    actions.unpause(target, by="ada", reason="it has moved")
    await_states(ids, State.AWAITING_CONFIRM)
    for run_id in ids:
        assert_effects_once(run_id)


def test_who_holds_a_key_and_is_paused_is_not_woken_by_the_line() -> None:
    # Given the first in line at a key, held back by a pause of its step
    run_id = sagas.start(Keyed, Experiment(keys=("l",)))
    with paused(Target("step", Keyed.definition.name, "one")):
        claim_all()
        assert is_held(run_id)
        # When the line is told that its first may begin
        assert locks.wake_next(["l"])
        # Then it is held back as before: it would be claimed, and wake itself, without end
        assert is_held(run_id)
        assert claim_all() == []
    # And the end of the pause makes it due
    assert claim_all() != []
