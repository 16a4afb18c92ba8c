"""Runs that must not be at the same key at once, on the real database, with every message in this test's hand."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

import sagas
from sagas import Locked, State, store
from sagas.decisions.messages import Unlock
from sagas.engine import locks
from sagas.engine.claiming import claim
from sagas.engine.subsagas import child_run_id
from sagas.models import Lock, Run
from sagas.operations.doctor.finding import Severity
from sagas.operations.doctor.runs import backlog
from tests.lab.sagas import Experiment, Impatient, Keyed, KeyedParent, KeyedTillApproved, Lab
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver_all
from tests.support.row_locks import await_lock_waits
from tests.support.runs import assert_effects_once, due_in, make_due, state, states, story

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def order() -> str:
    return f"order:{uuid4().hex[:8]}"


def start(*keys: str, saga: type[sagas.Saga[Any]] = KeyedTillApproved, **experiment: Any) -> UUID:
    return sagas.start(saga, Experiment(keys=keys, **experiment))


def carry(*ids: UUID, **how: Any) -> None:
    Carrier(**how).run(ids)


# -- In line --------------------------------------------------------------------------------------------------


def test_the_second_run_waits_until_the_first_has_ended(order: str) -> None:
    # Given
    first, second, third = start(order), start(order), start(order, saga=Keyed)
    carry(first, second, third)
    assert [state(r) for r in (first, second, third)] == [State.AWAITING_CONFIRM, State.PENDING, State.PENDING]

    # When
    sagas.confirm(first, "approval", {})
    carry(first, second, third)
    # Then
    assert [state(r) for r in (first, second, third)] == [State.SUCCEEDED, State.AWAITING_CONFIRM, State.PENDING]
    assert story(third) == ["start"]

    # And
    sagas.confirm(second, "approval", {})
    carry(first, second, third)
    assert states([first, second, third]) == {State.SUCCEEDED: 3}
    assert not Lock.objects.exists()


def test_runs_with_other_keys_do_not_wait(order: str) -> None:
    first, elsewhere, unlocked = start(order), start(f"{order}-b"), start(saga=Keyed)
    plain = sagas.start(Lab, Experiment())
    carry(first, elsewhere, unlocked, plain)
    assert states([first, elsewhere, plain]) == {State.AWAITING_CONFIRM: 3}
    assert state(unlocked) is State.SUCCEEDED
    assert Lock.objects.count() == 2


def test_a_saga_without_locks_needs_no_more_statements(order: str) -> None:
    from django.test.utils import CaptureQueriesContext

    # Given a process that has recorded the saga
    sagas.start(Lab, Experiment())
    with CaptureQueriesContext(connection) as asked:
        run_id = sagas.start(Lab, Experiment())
    assert len(asked.captured_queries) == 1
    with CaptureQueriesContext(connection) as asked:
        carry(run_id)
    assert not [q for q in asked.captured_queries if "sagas_lock" in q["sql"]]


@pytest.mark.parametrize("how", ["cancelled", "rejected", "expired"])
def test_a_run_that_is_undone_releases_its_lock(order: str, how: str) -> None:
    first, second = start(order, reject=("one",) if how == "rejected" else ()), start(order)
    carry(first, second)
    if how == "cancelled":
        sagas.cancel(first)
    elif how == "expired":
        from tests.support.runs import shift_clock

        shift_clock([first], 40)
    carry(first, second)
    assert (state(first), state(second)) == (State.FAILED, State.AWAITING_CONFIRM)
    assert set(Lock.objects.values_list("run_id", flat=True)) == {second}


def test_a_lock_is_held_while_its_run_is_undone(order: str) -> None:
    first, second = start(order), start(order)
    carry(first, second)
    sagas.cancel(first)
    (chain,) = chains(claim_all())
    make_due([second])
    claim_all()
    assert (state(first), state(second)) == (State.COMPENSATING, State.PENDING)
    deliver_all(chain)
    make_due([second])
    carry(second)
    assert state(second) is State.AWAITING_CONFIRM


def test_a_waiting_run_that_is_cancelled_leaves_the_queue(order: str) -> None:
    first, second, third = start(order), start(order), start(order)
    carry(first, second, third)
    sagas.cancel(second)
    carry(first, second, third)
    assert story(second) == ["start", "cancel"]
    sagas.confirm(first, "approval", {})
    carry(first, second, third)
    assert [state(r) for r in (first, second, third)] == [State.SUCCEEDED, State.FAILED, State.AWAITING_CONFIRM]


def test_an_escalated_run_keeps_its_lock(order: str) -> None:
    # Given a run that cannot be confirmed
    first, second = start(order, faults={"one.confirm": 99}), start(order)
    sagas.confirm(first, "approval", {})
    carry(first, second)
    make_due([second])
    carry(first, second)
    assert (state(first), state(second)) == (State.ESCALATED, State.PENDING)

    # When it is mended and resumed
    Run.objects.filter(pk=first).update(request={"keys": [order]})
    sagas.resume(first, by="ada")
    carry(first, second)
    # Then
    assert (state(first), state(second)) == (State.SUCCEEDED, State.AWAITING_CONFIRM)


def test_a_run_that_is_ended_in_any_way_releases_its_keys(order: str) -> None:
    first, second = start(order), start(order)
    carry(first, second)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET state = 'ESCALATED', due_at = NULL WHERE id = %s", [first])
        cursor.execute("UPDATE sagas_run SET state = 'FAILED' WHERE id = %s", [first])
    # Nobody is told, so the second looks by itself.
    assert 0 < due_in(second) <= locks.RECHECK
    make_due([second])
    carry(second)
    assert state(second) is State.AWAITING_CONFIRM


def test_a_lost_wake_up_is_made_up_for(order: str) -> None:
    # Given a process that dies between the commit in which a run ends and the telling
    ids = [start(order, saga=Keyed) for _ in range(4)]
    carrier = Carrier()
    carrier.wakes = False
    carrier.run(ids)
    assert states(ids) == {State.SUCCEEDED: 1, State.PENDING: 3}
    # Then the next in line looks by itself soon, those behind it later
    assert [round(due_in(run_id) / locks.RECHECK) for run_id in ids[1:]] == [1, 2, 3]
    make_due([ids[1]])
    carry(*ids)
    assert states(ids) == {State.SUCCEEDED: 4}


def test_the_next_run_for_a_lock_is_always_due_soon(order: str) -> None:
    ids = [start(order) for _ in range(5)]
    for run_id in ids[:3]:
        carry(*ids)
        sagas.confirm(run_id, "approval", {})
    carry(*ids)
    assert state(ids[3]) is State.AWAITING_CONFIRM
    assert 0 < due_in(ids[4]) <= locks.RECHECK


def test_a_long_queue_for_a_lock_is_cheap(order: str) -> None:
    # Given hundreds in line
    ids = [start(order) for _ in range(120)]
    carry(*ids)
    # Then they look the more seldom the further they are back, and never after more than five minutes
    now = timezone.now()
    waits = [due_in(run_id, now) for run_id in ids[1:]]
    # (all at the limit are alike, to a moment; measured at one moment, for to ask takes time)
    assert all(further >= nearer - 0.05 for nearer, further in pairwise(waits))
    assert waits[-1] > waits[0]
    assert max(waits) <= locks.RECHECK * store.locks.FAR
    # And nobody begins twice or out of turn when all look at once
    make_due(ids[1:])
    assert claim().messages == []
    assert claim().count == 0


def test_runs_that_wait_for_a_lock_are_no_backlog(order: str, settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "ADMISSION": 120}
    first, second = start(order), start(order)
    carry(first, second)
    Run.objects.filter(pk=second).update(due_at=timezone.now() - timedelta(hours=1))
    assert store.claims.backlog_age() == 0
    # Nor does the doctor call it one
    assert store.claims.backlog() == (0, 0)
    assert [found.severity for found in backlog()] == [Severity.FINE]
    sagas.cancel(first)
    with transaction.atomic():
        # It was started before the other one became due.
        ended = {"state": "FAILED", "due_at": None, "created_at": timezone.now() - timedelta(hours=2)}
        Run.objects.filter(pk=first).update(**ended)
    assert store.claims.backlog_age() > 3500
    assert store.claims.backlog()[0] == 1
    assert [found.severity for found in backlog()] == [Severity.ERROR]


def test_waking_a_run_that_is_not_first_changes_nothing(order: str) -> None:
    ids = [start(order) for _ in range(3)]
    carry(*ids)
    before = [Run.objects.get(pk=run_id).due_at for run_id in ids]
    assert not locks.wake_next([order])
    assert not locks.wake_next(["nobody is here"])
    assert [Run.objects.get(pk=run_id).due_at for run_id in ids] == before


# -- Refused --------------------------------------------------------------------------------------------------


def test_a_run_that_does_not_wait_for_a_lock_is_refused_and_leaves_nothing(order: str) -> None:
    # Given
    first = start(order)
    # When
    with pytest.raises(Locked, match=f"{order} is locked by run {first}") as refused:
        start(order, f"{order}-b", saga=Impatient)
    # Then
    assert (refused.value.key, refused.value.holder) == (order, first)
    assert Run.objects.count() == 1
    assert Lock.objects.count() == 1
    # And the caller's transaction goes on
    with transaction.atomic():
        with pytest.raises(Locked):
            start(order, saga=Impatient)
        other = start(f"{order}-c", saga=Impatient)
    carry(first)
    sagas.cancel(first)
    carry(first)
    carry(other, start(order, saga=Impatient))
    assert states(Run.objects.values_list("pk", flat=True)) == {State.FAILED: 1, State.AWAITING_CONFIRM: 2}


def test_a_run_may_refuse_to_wait_for_one_key_and_wait_for_another(order: str) -> None:
    first = start(order)
    second = start(f"{order}-a", order, saga=Impatient)
    carry(first, second)
    assert (state(first), state(second)) == (State.AWAITING_CONFIRM, State.PENDING)
    with pytest.raises(Locked) as refused:
        start(f"{order}-a", saga=Impatient)
    assert refused.value.holder == second


def test_one_of_many_simultaneous_runs_gets_the_lock(order: str) -> None:
    started: list[UUID] = []
    refused: list[Locked] = []
    together = threading.Barrier(8)

    def come() -> None:
        together.wait()
        try:
            started.append(start(order, saga=Impatient))
        except Locked as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(started) == 1
    assert [error.holder for error in refused] == started * 7


@pytest.mark.parametrize("keys", [("x" * 129,), ("",), ("a\0b",)])
def test_an_invalid_key_is_refused(keys: tuple[str, ...]) -> None:
    with pytest.raises(sagas.InvalidRequest):
        start(*keys)
    assert not Run.objects.exists()


# -- The order of arrival -------------------------------------------------------------------------------------


def test_a_run_that_commits_later_does_not_overtake(order: str) -> None:
    # Given one that came first, and has not committed yet
    ids: list[UUID] = []
    came, go = threading.Event(), threading.Event()

    def come_slowly() -> None:
        with transaction.atomic():
            ids.append(start(order))
            came.set()
            go.wait(30)
        connection.close()

    def come() -> None:
        ids.append(start(order))
        connection.close()

    slow, quick = threading.Thread(target=come_slowly), threading.Thread(target=come)
    slow.start()
    assert came.wait(30)
    # When another comes, it waits to learn whether it is the first
    quick.start()
    await_lock_waits()
    go.set()
    slow.join(30)
    quick.join(30)
    # Then
    carry(*ids)
    assert [state(run_id) for run_id in ids] == [State.AWAITING_CONFIRM, State.PENDING]


def test_runs_that_want_two_keys_in_opposite_order_do_not_deadlock(order: str) -> None:
    a, b = f"{order}-a", f"{order}-b"
    together = threading.Barrier(2)
    ids: list[UUID] = []
    failed: list[Exception] = []

    def come(*keys: str) -> None:
        try:
            for _ in range(15):
                together.wait(30)
                ids.append(start(*keys, saga=Keyed))
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=come, args=keys) for keys in ((a, b), (b, a))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    carry(*ids)
    assert states(ids) == {State.SUCCEEDED: 30}
    assert_alone(ids)


def assert_alone(ids: list[UUID]) -> None:
    """No two of these runs that share a key were at work at the same time; and in the order in which they came."""
    runs = {run.pk: run for run in Run.objects.filter(pk__in=ids)}
    for run_id in ids:
        assert_effects_once(run_id)
    spans: list[tuple[datetime, datetime, set[str]]] = []
    for run in runs.values():
        if run.started_at is not None:
            assert run.finished_at is not None
            spans.append((run.started_at, run.finished_at, set(run.request["keys"])))
    spans.sort(key=lambda span: span[0])
    for number, (_, finished, keys) in enumerate(spans):
        for started, _, others in spans[number + 1 :]:
            assert not keys & others or finished <= started


@pytest.mark.parametrize("seed", range(6))
def test_any_mixture_of_runs_ends_in_order_and_without_overlap(order: str, seed: int) -> None:
    # Given runs of three keys at random, of every fate, whose messages come in any order, twice, and some never
    random = Random(seed)
    keys = [f"{order}-{letter}" for letter in "abc"]
    ids = []
    for _ in range(25):
        fates: list[dict[str, Any]] = [{}, {}, {"reject": ("two",)}, {"faults": {"two.forward": 1}}]
        fate = random.choice(fates)
        ids.append(start(*random.sample(keys, random.choice([1, 1, 2])), saga=Keyed, **fate))
    carrier = Carrier(copies=random.choice([1, 2]), random=random)
    for _ in range(60):
        carrier.wakes = random.random() < 0.7
        carrier.run(ids)
        if set(states(ids)) <= {State.SUCCEEDED, State.FAILED}:
            break
        if random.random() < 0.3:
            waiting = [run_id for run_id in ids if state(run_id) is State.PENDING]
            if waiting:
                sagas.cancel(random.choice(waiting))
        make_due([run_id for run_id in ids if state(run_id) is State.PENDING])
    # Then
    assert set(states(ids)) == {State.SUCCEEDED, State.FAILED}
    assert_alone(ids)
    assert not Lock.objects.exists()
    for key in keys:
        begun = [r for r in Run.objects.filter(pk__in=ids, started_at__isnull=False) if key in r.request["keys"]]
        assert [r.pk for r in sorted(begun, key=lambda r: r.created_at)] == [
            r.pk for r in sorted(begun, key=lambda r: r.started_at or r.created_at)
        ]


# -- Families -------------------------------------------------------------------------------------------------


def family(order: str, *more: str) -> tuple[UUID, UUID, UUID]:
    parent = start(order, *more, saga=KeyedParent)
    return parent, child_run_id(parent, "left"), child_run_id(parent, "right")


def carry_family(*ids: UUID) -> None:
    for _ in range(6):
        carry(*ids)


def test_children_share_the_locks_of_their_family(order: str) -> None:
    # Given a parent and two children at the same key, and the children at another
    ids = family(order, f"{order}-b")
    stranger = start(order)
    carry_family(*ids, stranger)
    other = start(f"{order}-b")
    carry_family(*ids, stranger, other)
    # Then nobody waits for a relative; strangers do
    assert states(ids) == {State.AWAITING_CONFIRM: 3}
    assert states([stranger, other]) == {State.PENDING: 2}
    # When
    sagas.confirm(ids[0], "approval", {})
    carry_family(*ids, stranger, other)
    # Then
    assert states(ids) == {State.SUCCEEDED: 3}
    assert states([stranger, other]) == {State.AWAITING_CONFIRM: 2}


def test_another_run_waits_for_the_last_run_of_a_family(order: str) -> None:
    ids = family(order, f"{order}-b")
    stranger = None
    for _ in range(6):
        carry(*ids)
        if stranger is None and Run.objects.filter(pk=ids[1]).exists():
            stranger = start(f"{order}-b")
    assert stranger is not None
    assert state(stranger) is State.PENDING
    # When one of them has ended, and the other not
    sagas.confirm(ids[0], "approval", {})
    carrier = Carrier()
    carrier.run(
        [*ids, stranger], until=lambda: State.SUCCEEDED in states(ids[1:]) and states(ids[1:])[State.SUCCEEDED] == 1
    )
    assert states(ids[1:])[State.SUCCEEDED] == 1
    make_due([stranger])
    claim_all()
    assert state(stranger) is State.PENDING


def test_a_child_does_not_wait_for_runs_outside_its_family(order: str) -> None:
    # Given a stranger at the key of the children
    stranger = start(f"{order}-b")
    ids = family(order, f"{order}-b")
    carry_family(*ids, stranger)
    # Then the parent has tried, and is undone, rather than to wait with what it holds
    assert state(ids[0]) is State.FAILED
    assert [line for line in story(ids[0]) if "FAULT" in line]
    assert state(stranger) is State.AWAITING_CONFIRM
    assert set(Lock.objects.values_list("run_id", flat=True)) == {stranger}


def test_the_end_of_a_run_names_the_runs_to_wake(order: str) -> None:
    first, _second = start(order, saga=Keyed), start(order, saga=Keyed)
    chain = next(c for c in chains(claim_all()) if first in c.ids)
    assert Unlock((order,)) in deliver_all(chain).messages
    eventually(lambda: state(first) is State.SUCCEEDED)
