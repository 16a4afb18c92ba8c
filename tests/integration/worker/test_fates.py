"""One run of each fate, on a real worker."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

import sagas
from sagas import State
from sagas.decisions.plan import place_of
from sagas.definition.participants import Phase
from sagas.errors import AlreadyDecided
from sagas.models import Log, Run
from tests.lab.sagas import Experiment, Lab, PaidGroup, ShortLab, Twice, Unconfirmed
from tests.support import broker
from tests.support.awaiting import eventually
from tests.support.runs import (
    assert_effects_once,
    await_state,
    await_states,
    counts,
    effects,
    event,
    expired_by,
    reason,
    state,
    story,
)

pytestmark = pytest.mark.usefixtures("database", "shared_worker")

STEPS = ["one", "two", "three", "four"]


def test_a_group_is_decided_at_once_and_whoever_comes_later_finds_the_decision(jar: str) -> None:
    # Given
    group = f"group-{uuid4().hex[:8]}"
    ids = [PaidGroup.start(Experiment(jar=jar, group=group)) for _ in range(3)]
    await_states(ids, State.AWAITING_CONFIRM)
    for run_id in ids[:2]:
        sagas.confirm(run_id, "payment")
    # When
    sagas.decide(PaidGroup, "formed", group, {"members": 3})
    # Then
    await_states(ids[:2], State.SUCCEEDED)
    # And who pays after it, or starts after it
    late = PaidGroup.start(Experiment(jar=jar, group=group))
    for run_id in (ids[2], late):
        sagas.confirm(run_id, "payment")
    await_states([ids[2], late], State.SUCCEEDED)
    assert counts(jar) == (996, 0, 4)
    eventually(lambda: sagas.decide(PaidGroup, "formed", group, {"members": 3}).settled_at is not None)


def test_a_confirmed_run_succeeds(jar: str) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment(jar=jar, quantity=2), business_key="K-1")
    await_state(run_id, State.AWAITING_CONFIRM)
    assert counts(jar) == (998, 2, 0)

    # When
    receipt = sagas.confirm(run_id, "approval", {"by": "ada"})

    # Then
    assert receipt.first
    await_state(run_id, State.SUCCEEDED)
    assert counts(jar) == (998, 0, 2)
    assert effects(run_id) == [
        "one.forward",
        "two.forward",
        "three.try",
        "four.forward",
        "one.confirm",
        "three.confirm",
    ]
    assert_effects_once(run_id)
    entry = Log.objects.get(run_id=run_id, step="three", operation="try")
    assert entry.performed_by
    assert entry.undone_by == "tests.lab.sagas.Jars.cancel"
    assert Log.objects.get(run_id=run_id, step="one", operation="forward").data == {"by": "one"}
    reserved = {"reserve_id": f"{run_id}:three"}
    assert Run.objects.get(pk=run_id).results == {"one": {"by": "one"}, "three": reserved, "four": {"by": "four"}}


def test_a_saga_without_confirmations_succeeds() -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    await_state(run_id, State.SUCCEEDED)
    assert effects(run_id) == ["one.forward", "two.forward"]


@pytest.mark.parametrize("step", STEPS)
def test_a_rejection_of_each_step_undoes_the_run(jar: str, step: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar, reject=(step,)))
    await_state(run_id, State.FAILED)
    assert_effects_once(run_id)
    assert [e.split(".")[0] for e in effects(run_id)] == [*STEPS[: (n := STEPS.index(step))], *STEPS[:n][::-1]]
    assert counts(jar) == (1000, 0, 0)


def test_a_failing_step_is_retried_and_then_undone(jar: str) -> None:
    mended = sagas.start(Lab, Experiment(jar=jar, faults={"two.forward": 2, "three.try": 1}))
    broken = sagas.start(Lab, Experiment(jar=jar, faults={"four.forward": 99}))
    await_state(mended, State.AWAITING_CONFIRM)
    await_state(broken, State.FAILED)
    for run_id in (mended, broken):
        assert_effects_once(run_id)
    assert story(broken).count("four.forward FAULT") == 3
    assert counts(jar) == (999, 1, 0)


def test_a_run_that_cannot_be_confirmed_escalates_and_succeeds_when_resumed(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar, faults={"three.confirm": 99}))
    sagas.confirm(run_id, "approval", {})
    await_state(run_id, State.ESCALATED)
    Run.objects.filter(pk=run_id).update(request={"jar": jar, "quantity": 1})
    sagas.resume(run_id, by="ada")
    await_state(run_id, State.SUCCEEDED)
    assert_effects_once(run_id)


def test_a_cancelled_run_is_undone(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    await_state(run_id, State.AWAITING_CONFIRM)
    assert sagas.cancel(run_id, reason="changed my mind", by="ada") is State.COMPENSATING
    await_state(run_id, State.FAILED)
    assert_effects_once(run_id)
    assert counts(jar) == (1000, 0, 0)
    assert reason(run_id)["detail"] == "changed my mind"
    with pytest.raises(AlreadyDecided):
        sagas.confirm(run_id, "approval", {})


def test_both_confirmations_must_come() -> None:
    run_id = sagas.start(Twice, Experiment())
    await_state(run_id, State.AWAITING_CONFIRM)
    assert sagas.confirm(run_id, "payment", {}).state is State.AWAITING_CONFIRM
    assert sagas.confirm(run_id, "approval", {}).state is State.CONFIRMING
    await_state(run_id, State.SUCCEEDED)


def test_the_deadline_message_undoes_an_unconfirmed_run(jar: str) -> None:
    # Given
    run_id = sagas.start(ShortLab, Experiment(jar=jar))

    # When nobody confirms
    await_state(run_id, State.FAILED)

    # Then it was the message, and not the tick, and not before its time
    expired = event(run_id, "expire")
    assert expired_by(run_id) == "message"
    assert expired.step == "approval"
    run = Run.objects.get(pk=run_id)
    assert run.started_at is not None
    assert (expired.at - run.started_at).total_seconds() >= 1.5
    assert reason(run_id)["code"] == "NotConfirmed"
    assert_effects_once(run_id)
    assert counts(jar) == (1000, 0, 0)


def test_many_runs_at_once_end_correctly(jar: str) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar, reject=("four",) if n % 3 == 0 else ())) for n in range(150)]
    await_states(ids, State.AWAITING_CONFIRM, State.FAILED)
    for run_id in ids[1::3]:
        sagas.confirm(run_id, "approval", {})
    for run_id in ids[2::3]:
        sagas.cancel(run_id)
    found = await_states(ids, State.SUCCEEDED, State.FAILED)
    assert found == {State.SUCCEEDED: 50, State.FAILED: 100}
    for run_id in ids:
        assert_effects_once(run_id)
    assert counts(jar) == (950, 0, 50)


# -- Late, doubled and strange messages -----------------------------------------------------------------------


def publish_step(ids: list[UUID], step: str, phase: Phase = Phase.FORWARD) -> None:
    definition = Lab.definition
    queue = definition.steps[definition.index(step)].queue
    broker.publish_task(
        queue,
        "sagas.step",
        [[str(run_id) for run_id in ids]],
        {"saga": "lab.Lab", "version": 1, "step": step, "phase": phase.value},
    )


def await_performed(queue: str) -> None:
    """Wait until whatever was put on the queue before now has been performed: a run of ours goes after it."""
    eventually(lambda: broker.length(queue) == 0, what=f"{queue} empty")
    marker = sagas.start(Lab, Experiment())
    await_state(marker, State.AWAITING_CONFIRM)


@pytest.mark.parametrize("fate", [State.FAILED, State.SUCCEEDED])
def test_forward_and_undo_messages_that_come_after_the_end_do_nothing(jar: str, fate: State) -> None:
    # Given
    run_id = sagas.start(Lab, Experiment(jar=jar))
    await_state(run_id, State.AWAITING_CONFIRM)
    if fate is State.SUCCEEDED:
        sagas.confirm(run_id, "approval", {})
    else:
        sagas.cancel(run_id)
    await_state(run_id, fate)
    before = story(run_id)

    # When
    for step in STEPS:
        for phase in Phase:
            if Lab.definition.has_operation(Lab.definition.index(step), phase):
                publish_step([run_id], step, phase)
    for queue in ("orders", "coupons", "inventory", "delivery"):
        await_performed(queue)

    # Then
    assert story(run_id) == before
    assert state(run_id) is fate
    assert_effects_once(run_id)


def test_a_deadline_of_runs_that_are_confirmed_does_nothing(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    await_state(run_id, State.AWAITING_CONFIRM)
    sagas.confirm(run_id, "approval", {})
    await_state(run_id, State.SUCCEEDED)
    broker.publish_task(
        "sagas.cancel",
        "sagas.cancel",
        kwargs={"saga": "lab.Lab", "version": 1, "confirmation": "approval", "ids": [str(run_id), str(uuid4())]},
    )
    await_performed("sagas.cancel")
    assert state(run_id) is State.SUCCEEDED


def test_place_of_returns_the_place_at_which_messages_find_a_run() -> None:
    assert place_of(Lab.definition, 0, Phase.FORWARD).state is State.EXECUTING
