"""A run keeps the definition it began with, whatever is deployed while it is on its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery.states import REJECTED, SUCCESS
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import connection, transaction

import sagas
from sagas import Confirmation, Parallel, Retry, Saga, State, Step, runtime, store, tasks
from sagas.checks import check_runs
from sagas.decisions.messages import Kick, Link
from sagas.definition.participants import Phase
from sagas.definition.steps import FINISH_RETRY, FORWARD_RETRY
from sagas.engine import shared_decisions
from sagas.engine.claiming import claim
from sagas.engine.lifecycle import expire_unconfirmed as expire_runs
from sagas.engine.performing import perform
from sagas.errors import InvalidArgument, UnknownSaga, UnknownStep
from sagas.models import Definition, Run
from sagas.selectors import run_view
from sagas.tasks import QUEUE_HEADER
from tests.lab.sagas import Experiment, mark
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.deploys import NAME, deploy, deploying, step
from tests.support.runs import assert_effects_once, effects, make_due, marks, shift_clock, state

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _deploys() -> Iterator[None]:
    with deploying():
        yield


def approval() -> Confirmation:
    return Confirmation(within=timedelta(seconds=30))


def abc(**others: Any) -> dict[str, Any]:
    return {"approval": approval(), "a": step(), "b": step(confirm=None), "c": step(), **others}


def run_to(saga: type[Saga[Any]], done: int) -> UUID:
    """A run of which so many steps are done."""
    run_id = sagas.start(saga, Experiment())
    if done:
        chain = next(chain for chain in chains(claim_all()) if run_id in chain.ids)
        following: Any = replace(chain, ids=(run_id,))
        for _ in range(done):
            _, following = deliver(following)
        make_due([run_id], since=20)
    return run_id


def carry(run_id: UUID) -> None:
    """Let everything happen that happens by itself, lapsed leases too."""
    make_due([run_id])
    carrier = Carrier()
    carrier.post(claim_all(lapsed=True))
    carrier.run([run_id])


# -- What goes on ---------------------------------------------------------------------------------------------

FOLLOWED = {
    "a step inserted first": lambda: {"approval": approval(), "z": step(), **abc()},
    "a step inserted between": lambda: {"approval": approval(), "a": step(), "z": step(), "b": step(), "c": step()},
    "a step appended": lambda: {**abc(), "z": step()},
    "another order": lambda: {"approval": approval(), "c": step(), "a": step(), "b": step()},
}


@pytest.mark.parametrize("changed", FOLLOWED.values(), ids=FOLLOWED)
@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_run_continues_with_its_own_list_of_steps(changed: Any, done: int) -> None:
    # Given a run, and a deploy of changed steps while it is on its way
    old = run_to(deploy(abc()), done)
    new = sagas.start(deploy(changed()), Experiment())

    # When
    carry(old)
    carry(new)

    # Then each has done its own
    assert state(old) is state(new) is State.AWAITING_CONFIRM
    assert effects(old) == ["a.forward", "b.forward", "c.forward"]
    assert effects(new) == [f"{name}.forward" for name in changed() if name != "approval"]
    assert [s.name for s in run_view(old).steps] == ["a", "b", "c"]
    assert store.definitions.problems() == []
    # And is undone by its own
    for run_id in (old, new):
        sagas.cancel(run_id)
        carry(run_id)
        assert state(run_id) is State.FAILED
        assert_effects_once(run_id)


def test_a_changed_fork_is_noticed_and_a_run_inside_a_fork_continues_with_its_own() -> None:
    # Given a run in the middle of a fork: one of two branches is done
    forked = deploy({"approval": approval(), "a": step(), "both": Parallel(b=step(), c=step()), "d": step()})
    old = run_to(forked, 1)
    make_due([old])
    left, right = chains(claim_all())
    deliver(right)
    make_due([old], since=20)
    assert effects(old) == ["a.forward", "c.forward"]

    # When the steps stand one behind the other, under the same version: the same names, in the same order
    new = sagas.start(deploy(abc(d=step())), Experiment())
    assert Run.objects.get(pk=old).shape != Run.objects.get(pk=new).shape
    assert check_runs(databases=["default"]) == []

    # Then a late message of the fork finds it, and none that counts otherwise
    perform(Link(NAME, 1, "c", Phase.FORWARD, "orders", "forward"), [old])
    assert marks(old) == {"a.forward": 1, "c.forward": 1}
    deliver(left)
    # And each goes its own way to its end
    carry(old)
    carry(new)
    assert effects(old) == ["a.forward", "c.forward", "b.forward", "d.forward"]
    assert effects(new) == ["a.forward", "b.forward", "c.forward", "d.forward"]
    for run_id in (old, new):
        sagas.cancel(run_id)
        carry(run_id)
        assert state(run_id) is State.FAILED
    # Branches are undone from the last to the first, in whatever order they were done
    undone = ["d.compensate", "c.compensate", "b.compensate", "a.compensate"]
    assert effects(old)[4:] == effects(new)[4:] == undone


def test_a_changed_pivot_is_noticed_and_a_run_continues_with_its_own() -> None:
    def last(*, pivoted: bool) -> dict[str, Any]:
        before: dict[str, Any] = {"a": step()}
        middle, behind = {"approval": approval()}, {"z": step(compensate=None)}
        return {**before, **middle, **behind} if pivoted else {**middle, **before, **behind}

    # Given a run that waits for its approval, with a step behind it
    old = run_to(deploy(last(pivoted=True)), 1)
    assert (state(old), effects(old)) == (State.AWAITING_CONFIRM, ["a.forward"])

    # When the approval is to come after all steps, of the same names in the same order
    new = sagas.start(deploy(last(pivoted=False)), Experiment())
    carry(new)

    # Then
    assert Run.objects.get(pk=old).shape != Run.objects.get(pk=new).shape
    assert effects(new) == ["a.forward", "z.forward"]
    carry(old)
    assert effects(old) == ["a.forward"]
    for run_id in (old, new):
        sagas.confirm(run_id, "approval")
        carry(run_id)
        assert (state(run_id), effects(run_id)) == (State.SUCCEEDED, ["a.forward", "z.forward"])


def test_a_step_that_moved_before_the_pivot_keeps_its_retry_for_a_run_past_the_pivot() -> None:
    once = Retry(attempts=1, delay=timedelta(0), jitter=0)
    saga = deploy({"a": step(), "approval": approval(), "z": step(compensate=None, retry=once)})
    run_id = run_to(saga, 1)
    # Given code for which it is an ordinary step, with the ordinary number of attempts
    ordinary = Step(mark, queue="orders")
    deploy({"approval": approval(), "a": step(), "z": ordinary})
    definition = store.definitions.find(NAME, 1, Run.objects.get(pk=run_id).shape)
    assert definition.action(1, Phase.FORWARD).retry is FINISH_RETRY
    # And the code's own step stays as it is
    assert ordinary.actions[Phase.FORWARD].retry is FORWARD_RETRY


def closing(until: Any) -> Confirmation:
    return Confirmation(until=until, compensate=mark, queue="orders")


def test_a_run_keeps_a_computed_deadline_that_the_code_has_dropped() -> None:
    """Whoever takes another confirmation meanwhile cannot compute it, and does not forget it."""
    at = datetime.now(UTC) + timedelta(hours=1)
    steps: dict[str, Step | Confirmation | Parallel] = {"approval": approval(), "a": step()}
    run_id = run_to(deploy({"closed": closing(lambda _: at), **steps}), 1)
    Run.objects.filter(pk=run_id).update(deadline=at)
    deploy(steps)

    sagas.confirm(run_id, "approval")

    assert Run.objects.get(pk=run_id).deadline == at
    # And whoever can, goes on
    deploy({"closed": closing(lambda _: at), **steps})
    runtime.memory.foreign.clear()
    sagas.confirm(run_id, "closed")
    carry(run_id)
    assert state(run_id) is State.SUCCEEDED


def test_a_run_of_another_shape_is_refunded_by_the_present_code() -> None:
    # Given a run of which one confirmation came, which can be taken back
    def payment() -> Confirmation:
        return Confirmation(within=timedelta(seconds=30), compensate=mark, queue="orders")

    run_id = run_to(deploy({"payment": payment(), **abc()}), 3)
    sagas.confirm(run_id, "payment")
    # When a step is put before all others: what takes it back has another position in the code
    deploy({"payment": payment(), "approval": approval(), "z": step(), **abc()})
    sagas.cancel(run_id)
    carry(run_id)
    # Then
    assert state(run_id) is State.FAILED
    undone = ["payment.compensate", "c.compensate", "b.compensate", "a.compensate"]
    assert [effect for effect in effects(run_id) if effect.endswith("compensate")] == undone
    assert marks(run_id) == Counter(effects(run_id))


def test_two_versions_of_a_saga_run_side_by_side() -> None:
    old = run_to(deploy(abc()), 1)
    newer = sagas.start(deploy({"x": step(), "a": step()}, version=2, beside=True), Experiment())
    carry(old)
    carry(newer)
    sagas.confirm(old, "approval")
    carry(old)
    assert (state(old), effects(old)) == (State.SUCCEEDED, ["a.forward", "b.forward", "c.forward"])
    assert (state(newer), effects(newer)) == (State.SUCCEEDED, ["x.forward", "a.forward"])


def test_a_run_without_a_recorded_definition_follows_the_code() -> None:
    run_id = sagas.start(deploy(abc()), Experiment())
    Run.objects.filter(pk=run_id).update(shape=0)
    carry(run_id)
    sagas.confirm(run_id, "approval")
    carry(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert_effects_once(run_id)


# -- What is left to others -----------------------------------------------------------------------------------


#: Processes that cannot serve a run which has still to do with b. One of them would undo it where it is not.
WITHOUT_B = {
    "gone": lambda: {"approval": approval(), "a": step(), "c": step()},
    "in another database": lambda: abc(b=step(database="loyalty")),
}


@pytest.mark.parametrize("changed", WITHOUT_B.values(), ids=WITHOUT_B)
@pytest.mark.parametrize(("done", "undone"), [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)])
def test_a_run_that_needs_a_removed_step_is_left_to_a_process_that_has_it(done: int, undone: int, changed: Any) -> None:
    # Given a run that has still to do with b, and a process without that b
    run_id = run_to(deploy(abc()), done)
    if undone:
        sagas.cancel(run_id)
        (chain,) = chains(claim_all())
        deliver(chain)
        make_due([run_id], since=20)
    before = effects(run_id), state(run_id)
    deploy(changed())
    (problem,) = store.definitions.problems()
    assert "step b " in str(problem)

    # When, then it is left where it stands, and nothing is written to it
    for lapsed in (False, True):
        assert chains(claim_all(lapsed=lapsed)) == []
    assert (effects(run_id), state(run_id)) == before

    # And whoever has b brings it to its end
    deploy(abc())
    runtime.memory.foreign.clear()
    carry(run_id)
    if not undone:
        assert state(run_id) is State.AWAITING_CONFIRM
        sagas.cancel(run_id)
        carry(run_id)
    assert state(run_id) is State.FAILED
    assert_effects_once(run_id)


def test_a_removed_step_is_not_missed_by_a_run_that_has_passed_it() -> None:
    # Given a run whose step b is done and undone
    run_id = run_to(deploy(abc()), 3)
    sagas.cancel(run_id)
    carrier = Carrier()
    carrier.post(claim_all())
    carrier.deliver(carrier.waiting.pop())
    carrier.deliver(carrier.waiting.pop())
    assert effects(run_id)[-1] == "b.compensate"

    # When b is gone
    deploy({"approval": approval(), "a": step(), "c": step()})

    # Then
    assert store.definitions.problems() == []
    carry(run_id)
    assert state(run_id) is State.FAILED
    assert_effects_once(run_id)


@pytest.mark.parametrize("changed", WITHOUT_B.values(), ids=WITHOUT_B)
def test_a_message_is_not_performed_by_code_of_another_shape(changed: Any) -> None:
    # Given a message for b, which this process does not know
    run_id = run_to(deploy(abc()), 1)
    shape = Run.objects.get(pk=run_id).shape
    deploy(changed())

    # When, then it says so
    link = Link(NAME, 1, "b", Phase.FORWARD, "orders", "forward", shape)
    with pytest.raises(UnknownStep, match=r"Changing\.b is not known here with something to forward"):
        perform(link, [run_id])
    # And one that was made by the new code, for a run of the old: it stands at b, not at c
    perform(Link(NAME, 1, "c", Phase.FORWARD, "orders", "forward"), [run_id])
    assert marks(run_id) == {"a.forward": 1}


def hear(event: str, run_id: UUID, shape: int) -> None:
    """Have this process react to an event, as a message on the queue of orders."""
    which = {"saga": NAME, "version": 1, "event": event, "shape": shape}
    tasks.event.apply(([str(run_id)],), which, headers={QUEUE_HEADER: "orders"}, throw=True)


def test_an_event_for_code_of_another_shape_is_passed_on_if_a_run_waits_for_it() -> None:
    # Given a run that stands at b, and an event that leads there; this process does not know b
    run_id = run_to(deploy(abc()), 1)
    shape = Run.objects.get(pk=run_id).shape
    deploy({"approval": approval(), "a": step(), "c": step()})
    # When, then another process gets it, a moment later
    hear("ADone", run_id, shape)
    eventually(lambda: broker.length("orders") == 1, what="the event is back")
    broker.purge("orders")
    # And one that leads to the undo of b, at which it does not stand, is nobody's
    hear("BRejected", run_id, shape)
    assert not any(map(broker.length, broker.queue_names("sagas.delay")))
    assert marks(run_id) == {"a.forward": 1}


def test_a_late_message_for_code_of_another_shape_is_dropped_if_its_runs_have_ended() -> None:
    # Given a run that was undone before it came to b, a message that would have it there, and a process without b
    run_id = run_to(deploy(abc()), 1)
    shape = Run.objects.get(pk=run_id).shape
    sagas.cancel(run_id)
    carry(run_id)
    assert state(run_id) is State.FAILED
    deploy({"approval": approval(), "a": step(), "c": step()})
    # When
    which = {"saga": NAME, "version": 1, "step": "b", "phase": "forward", "shape": shape}
    came = tasks.step.apply(([str(run_id)],), which)
    # Then it is done with, as any late message: neither set aside for a person, nor passed on
    assert came.state == SUCCESS
    assert not any(map(broker.length, broker.queue_names("sagas.delay")))
    # And of runs that do not exist it is set aside
    assert tasks.step.apply(([str(uuid4())],), which).state == REJECTED


def test_confirm_and_cancel_need_only_the_recorded_definition() -> None:
    """A web process of before the deploy, or one whose saga is gone, takes what comes from outside all the same."""
    # Given
    confirmed, cancelled = run_to(deploy(abc()), 3), run_to(deploy(abc()), 3)
    deploy({"a": step()}, version=2)

    # When
    sagas.confirm(confirmed, "approval")
    sagas.cancel(cancelled)

    # Then
    assert (state(confirmed), state(cancelled)) == (State.CONFIRMING, State.COMPENSATING)
    deploy(abc())
    for run_id in (confirmed, cancelled):
        carry(run_id)
    assert (state(confirmed), state(cancelled)) == (State.SUCCEEDED, State.FAILED)


def expire_unconfirmed(*ids: UUID) -> list[Any]:
    """A deadline of these runs comes, as a message."""
    return expire_runs(NAME, 1, "approval", list(ids), by="message")


def test_a_deadline_needs_only_the_recorded_definition() -> None:
    """During a deploy of a new saga half of all deadlines come to processes that have not heard of it."""
    # Given one run that is paid, one that is undone, and one that waits; and a process whose saga is gone
    paid, undone, waiting = (run_to(deploy(abc()), 3) for _ in range(3))
    sagas.confirm(paid, "approval")
    sagas.cancel(undone)
    for run_id in (paid, undone):
        carry(run_id)
    shift_clock([paid, undone, waiting], 60)
    deploy({"a": step()}, version=2)
    # When, then what is decided is left as it is, each by itself too
    assert expire_unconfirmed(paid) == expire_unconfirmed(undone) == []
    assert (state(paid), state(undone)) == (State.SUCCEEDED, State.FAILED)
    # And what is not is judged
    assert expire_unconfirmed(undone, waiting) == [Kick()]
    assert state(waiting) is State.COMPENSATING
    # And of a run that does not exist it makes no sense
    with pytest.raises(UnknownSaga):
        expire_unconfirmed(uuid4())


# -- One decision for many runs -------------------------------------------------------------------------------


def grouped() -> dict[str, Any]:
    return abc(approval=Confirmation(decided_by=lambda request: request.group))


def test_a_run_that_awaits_a_decision_gets_it_from_code_with_other_steps() -> None:
    # Given a run of a group, and a deploy of changed steps, by which others join the same group
    old = sagas.start(deploy(grouped()), Experiment(group="g"))
    Carrier().run([old])
    saga = deploy({**grouped(), "z": step()})
    new = sagas.start(saga, Experiment(group="g"))
    Carrier().run([new])
    # When
    sagas.decide(saga, "approval", "g")
    shared_decisions.settle_some()
    Carrier().run([old, new])
    # Then both are decided, each with its own list of steps
    assert (state(old), state(new)) == (State.SUCCEEDED, State.SUCCEEDED)


def test_runs_keep_their_deadlines_when_a_deploy_makes_a_decision_of_them() -> None:
    old = sagas.start(deploy(abc()), Experiment())
    Carrier().run([old])
    saga = deploy(grouped())
    # It is confirmed as before, and a decision is none of its
    assert sagas.decide(saga, "approval", "g", decline="no").first
    shared_decisions.settle_some()
    assert state(old) is State.AWAITING_CONFIRM
    sagas.confirm(old, "approval")
    Carrier().run([old])
    assert state(old) is State.SUCCEEDED
    # Nor is its deadline lost
    late = sagas.start(deploy(abc()), Experiment())
    Carrier().run([late])
    deploy(grouped())
    shift_clock([late], 40)
    carry(late)
    assert state(late) is State.FAILED


def test_runs_that_await_a_decision_of_which_the_code_knows_nothing_are_found() -> None:
    waiting = sagas.start(deploy(grouped()), Experiment(group="g"))
    Carrier().run([waiting])
    saga = deploy(abc())
    (problem,) = check_runs(databases=["default"])
    assert "confirmation approval is not decided by a key any more" in problem.msg
    with pytest.raises(InvalidArgument, match="decided_by"):
        sagas.decide(saga, "approval", "g")
    # And of the code that is deployed again, it gets the decision
    sagas.decide(deploy(grouped()), "approval", "g")
    shared_decisions.settle_some()
    Carrier().run([waiting])
    assert state(waiting) is State.SUCCEEDED


# -- The record -----------------------------------------------------------------------------------------------


def recorded() -> list[tuple[int, list[str]]]:
    found = Definition.objects.filter(saga=NAME).order_by("version", "id").values_list("version", "body")
    return [(version, [s["name"] for s in body["steps"]]) for version, body in found]


def test_a_definition_is_recorded_once_and_only_by_a_committed_start() -> None:
    Definition.objects.filter(saga=NAME).delete()
    runtime.memory.recorded.difference_update([key for key in runtime.memory.recorded if key[0] == NAME])
    steps = {"only": step()}
    saga = deploy(steps)
    # Given a start that was rolled back
    with transaction.atomic():
        sagas.start(saga, Experiment())
        transaction.set_rollback(True)
    assert recorded() == []
    # When
    for _ in range(3):
        sagas.start(saga, Experiment())
    # Then
    assert recorded() == [(1, ["only"])]
    # And another shape of it, and another version
    sagas.start(deploy({"first": step(), **steps, "last": step()}), Experiment())
    sagas.start(deploy({"other": step()}, version=2), Experiment())
    assert recorded() == [(1, ["only"]), (1, ["first", "only", "last"]), (2, ["other"])]


def test_only_the_first_start_of_a_process_records_the_definition(django_assert_num_queries: Any) -> None:
    saga = deploy(abc())
    sagas.start(saga, Experiment())
    with django_assert_num_queries(1):
        sagas.start(saga, Experiment())


# -- The system check and the doctor --------------------------------------------------------------------------

BROKEN = {
    "a refund removed": (
        lambda: abc(approval=approval()),
        "confirmation approval has lost its compensate",
    ),
    "a step removed": (lambda: {"approval": approval(), "a": step(), "c": step()}, "step b is gone"),
    "an undo removed": (lambda: abc(b=step(compensate=None)), "step b has lost its compensate"),
    "a confirmation renamed": (
        lambda: {"payment": approval(), "a": step(), "b": step(), "c": step()},
        "confirmation approval is gone",
    ),
}


@pytest.mark.parametrize(("changed", "said"), BROKEN.values(), ids=BROKEN)
def test_a_change_that_live_runs_cannot_follow_is_found_with_their_number(changed: Any, said: str) -> None:
    # Given three live runs, one of which waits for a person, and one that is done
    saga = deploy(abc(approval=Confirmation(within=timedelta(seconds=30), compensate=mark, queue="orders")))
    for done in (0, 2, 3):
        run_to(saga, done)
    escalated = run_to(saga, 1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET state = 'ESCALATED', due_at = NULL WHERE id = %s", [escalated])
        cursor.execute(
            "INSERT INTO sagas_escalation (run_id, state, step, operation, error, created_at, resolution, "
            "resolved_by, note) VALUES (%s, 'EXECUTING', '', '', '{}', now(), '', '', '')",
            [escalated],
        )
    finished = run_to(saga, 3)
    sagas.cancel(finished)
    carry(finished)
    assert check_runs(databases=["default"]) == []

    # When
    deploy(changed())

    # Then the check says so
    (error,) = check_runs(databases=["default"])
    assert error.id == "sagas.E006"
    assert error.level == checks.ERROR
    assert f"3 live and 1 escalated run(s) of {NAME} version 1 cannot go on with this code" in error.msg
    assert said in error.msg
    assert "keep the old one beside it" in str(error.hint)
    # And the doctor
    with pytest.raises(CommandError, match="thing"):
        doctor(told := StringIO())
    assert f"3 live and 1 escalated run(s) of {NAME} version 1 cannot go on here: " in told.getvalue()
    assert said in told.getvalue()
    # And not once the old code is beside the new
    deploy(changed(), version=2)
    before = Confirmation(within=timedelta(seconds=30), compensate=mark, queue="orders")
    deploy(abc(approval=before), version=1, beside=True)
    assert check_runs(databases=["default"]) == []


def test_only_escalated_runs_do_not_stop_a_deploy() -> None:
    run_id = run_to(deploy(abc()), 3)
    sagas.cancel(run_id)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_run SET state = 'ESCALATED', due_at = NULL WHERE id = %s", [run_id])
        cursor.execute(
            "INSERT INTO sagas_escalation (run_id, state, step, operation, error, created_at, resolution, "
            "resolved_by, note) VALUES (%s, 'COMPENSATING', 'c', 'compensate', '{}', now(), '', '', '')",
            [run_id],
        )
    deploy({"x": step()})
    (warning,) = check_runs(databases=["default"])
    assert (warning.id, warning.level) == ("sagas.W003", checks.WARNING)


def test_runs_of_a_removed_version_are_found() -> None:
    run_to(deploy(abc()), 1)
    deploy(abc(), version=2)
    (error,) = check_runs(databases=["default"])
    assert f"no saga '{NAME}' version 1 is known here" in error.msg
    assert "Deploy the code that has it" in str(error.hint)


def test_the_check_queries_the_database_only_if_django_is_told_to() -> None:
    run_to(deploy(abc()), 1)
    deploy({"x": step()})
    assert check_runs() == []
    assert check_runs(databases=["other"]) == []
    assert [m.id for m in checks.run_checks() if m.id == "sagas.E006"] == []
    assert [m.id for m in checks.run_checks(databases=["default"]) if m.id == "sagas.E006"] == ["sagas.E006"]


def test_the_check_is_silent_before_the_first_migration_and_reports_an_unreachable_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sagas_run DROP COLUMN shape")
        assert check_runs(databases=["default"]) == []
        cursor.execute("ALTER TABLE sagas_escalation RENAME TO elsewhere")
        assert check_runs(databases=["default"]) == []
        transaction.set_rollback(True)
    # Given a server that is not there
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", 1)
    try:
        (warning,) = check_runs(databases=["default"])
        assert warning.id == "sagas.W002"
    finally:
        connection.close()


def doctor(out: StringIO) -> None:
    call_command("sagas", "doctor", stdout=out, no_color=True)


def test_a_claim_does_not_write_to_runs_that_other_processes_must_take() -> None:
    run_id = run_to(deploy(abc()), 0)
    deploy({"x": step()})
    before = Run.objects.values().get(pk=run_id)
    for _ in range(3):
        claim()
    assert Run.objects.values().get(pk=run_id) == before
