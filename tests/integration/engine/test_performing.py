"""One operation of a cohort on the real database, with every message in this test's hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

import sagas
from sagas import State, runtime
from sagas.db import ConnectionLost
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Link
from sagas.decisions.plan import place_of
from sagas.definition.participants import Phase
from sagas.engine.delivery import redeliver
from sagas.engine.performing import give_up, perform, redeliver_in_halves
from sagas.errors import AlreadyDecided
from sagas.models import Escalation, Log, Run
from tests.lab.models import Jar, Label, Mark
from tests.lab.sagas import Experiment, Lab, Labelled, Unconfirmed
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_all
from tests.support.driver import psycopg
from tests.support.runs import (
    assert_effects_once,
    counts,
    effects,
    escalation,
    marks,
    reason,
    state,
    states,
    story,
)

pytestmark = pytest.mark.usefixtures("alone")

STEPS = ["one", "two", "three", "four"]


def link(saga: type[sagas.Saga[Any]], step: str, phase: Phase = Phase.FORWARD) -> Link:
    index = saga.definition.index(step)
    return plan.links_at(saga.definition, place_of(saga.definition, index, phase))[0]


def carried(*ids: UUID) -> None:
    """Let everything happen that happens by itself."""
    Carrier().run(ids)


# -- Rejections: each step says no in turn --------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_rejection_undoes_the_done_steps_in_reverse_order(jar: str, step: str) -> None:
    # Given a run of which one step will say no
    run_id = sagas.start(Lab, Experiment(jar=jar, quantity=2, reject=(step,)))

    # When
    carried(run_id)

    # Then
    assert state(run_id) is State.FAILED
    before = STEPS[: STEPS.index(step)]
    assert effects(run_id) == [
        *(f"{s}.{'try' if s == 'three' else 'forward'}" for s in before),
        *(f"{s}.{'cancel' if s == 'three' else 'compensate'}" for s in reversed(before)),
    ]
    assert_effects_once(run_id)
    assert counts(jar) == (1000, 0, 0)
    why = reason(run_id)
    assert (why["kind"], why["step"], why["code"], why["detail"]) == ("rejected", step, "Rejected", f"{step} says no")


def test_a_pool_with_too_little_rejects(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar, quantity=1001))
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert reason(run_id)["detail"] == f"{jar}: 1001 wanted, 1000 left"
    assert_effects_once(run_id)


def test_only_rejected_runs_leave_the_cohort(jar: str) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar, reject=(STEPS[n % 4],) if n < 8 else ())) for n in range(12)]
    carried(*ids)
    assert states(ids) == {State.FAILED: 8, State.AWAITING_CONFIRM: 4}
    for run_id in ids:
        assert_effects_once(run_id)
    assert counts(jar) == (996, 4, 0)


# -- Faults: each operation breaks, then succeeds; or never does ----------------------------------------------

FORWARD = ["one.forward", "two.forward", "three.try", "four.forward"]
UNDO = ["one.compensate", "two.compensate", "three.cancel", "four.compensate"]
CONFIRM = ["one.confirm", "three.confirm"]


def run_to(jar: str, operation: str, faults: int) -> UUID:
    """A run that comes by this operation, of which so many attempts break."""
    run_id = sagas.start(Lab, Experiment(jar=jar, faults={operation: faults}))
    carried(run_id)
    if operation in CONFIRM:
        sagas.confirm(run_id, "approval", {})
    elif operation in UNDO and state(run_id) is State.AWAITING_CONFIRM:
        sagas.cancel(run_id)
    carried(run_id)
    return run_id


@pytest.mark.parametrize("faults", [1, 2])
@pytest.mark.parametrize("operation", [*FORWARD, *CONFIRM, *UNDO])
def test_a_failed_step_is_retried(jar: str, operation: str, faults: int) -> None:
    # When
    run_id = run_to(jar, operation, faults)

    # Then it went through at last, with nothing doubled
    wanted = {**dict.fromkeys(FORWARD, State.AWAITING_CONFIRM), **dict.fromkeys(CONFIRM, State.SUCCEEDED)}
    assert state(run_id) is wanted.get(operation, State.FAILED)
    assert_effects_once(run_id)
    assert story(run_id).count(f"{operation} FAULT") == faults
    step, _, name = operation.partition(".")
    attempts = Log.objects.filter(run_id=run_id, step=step, operation=name).order_by("id").values_list("attempt")
    assert [number for (number,) in attempts] == list(range(1, faults + 2))


@pytest.mark.parametrize("operation", FORWARD)
def test_a_step_that_is_out_of_attempts_is_compensated(jar: str, operation: str) -> None:
    run_id = run_to(jar, operation, 99)
    assert state(run_id) is State.FAILED
    assert story(run_id).count(f"{operation} FAULT") == 3
    assert_effects_once(run_id)
    assert counts(jar) == (1000, 0, 0)
    assert (reason(run_id)["kind"], reason(run_id)["code"]) == ("fault", "Boom")


@pytest.mark.parametrize("operation", [*CONFIRM, *UNDO])
def test_a_confirm_or_an_undo_that_is_out_of_attempts_escalates_and_goes_on_when_resumed(
    jar: str, operation: str
) -> None:
    # Given
    run_id = run_to(jar, operation, 99)

    # Then it stands, with a person called, and nothing moves it
    assert state(run_id) is State.ESCALATED
    opened = escalation(run_id)
    step, _, name = operation.partition(".")
    assert (opened.step, opened.operation) == (step, name)
    assert opened.state == (State.CONFIRMING if operation in CONFIRM else State.COMPENSATING)
    assert opened.error["code"] == "Boom"
    assert story(run_id).count(f"{operation} FAULT") == 3
    carried(run_id)
    assert state(run_id) is State.ESCALATED

    # When the fault is mended, and somebody resumes it
    run = Run.objects.get(pk=run_id)
    Run.objects.filter(pk=run_id).update(request={**run.request, "faults": {}})
    assert sagas.resume(run_id, by="ada", note="mended") is State(opened.state)
    carried(run_id)

    # Then it is final, and the escalation is closed
    assert state(run_id) is (State.SUCCEEDED if operation in CONFIRM else State.FAILED)
    assert_effects_once(run_id)
    opened.refresh_from_db()
    assert opened.resolved_at is not None
    assert (opened.resolution, opened.resolved_by, opened.note) == ("resumed", "ada", "mended")
    with pytest.raises(AlreadyDecided, match="it is not escalated"):
        sagas.resume(run_id, by="ada")


def test_a_run_may_be_escalated_and_resumed_more_than_once(jar: str) -> None:
    run_id = run_to(jar, "one.confirm", 99)
    sagas.resume(run_id, by="ada")
    carried(run_id)
    assert state(run_id) is State.ESCALATED
    assert Escalation.objects.filter(run_id=run_id).count() == 2
    assert story(run_id).count("one.confirm FAULT") == 6


def test_a_rejected_confirm_is_a_fault(jar: str) -> None:
    # Nobody may refuse what is decided.
    class Refusing(sagas.Saga[Experiment]):
        name = "lab.Refusing"
        one = sagas.Step(agree, compensate=refuse, queue="orders", finish_retry=sagas.Retry(attempts=1))
        two = sagas.Step(refuse, queue="orders")

    try:
        run_id = sagas.start(Refusing, Experiment())
        carried(run_id)
        assert state(run_id) is State.ESCALATED
        assert escalation(run_id).error["code"] == "Rejected"
    finally:
        runtime.declared.definitions.pop(("lab.Refusing", 1))


def agree(call: sagas.Call[Experiment]) -> None:
    """Do nothing."""


def refuse(call: sagas.Call[Experiment]) -> None:
    raise sagas.Rejected("no")


# -- Duplicates, late and early messages ----------------------------------------------------------------------


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("fate", ["confirmed", "cancelled", "rejected"])
def test_every_message_may_be_delivered_more_than_once(jar: str, fate: str, copies: int) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar, reject=("four",) if fate == "rejected" else ())) for _ in range(5)]
    carrier = Carrier(copies=copies)
    carrier.run(ids)
    for run_id in ids:
        if fate == "confirmed":
            sagas.confirm(run_id, "approval", {})
        elif fate == "cancelled":
            sagas.cancel(run_id)
    carrier.run(ids)
    assert states(ids) == {State.SUCCEEDED if fate == "confirmed" else State.FAILED: 5}
    for run_id in ids:
        assert_effects_once(run_id)
    assert counts(jar) == ((995, 0, 5) if fate == "confirmed" else (1000, 0, 0))


@pytest.mark.parametrize("seed", range(10))
def test_duplicate_messages_in_any_order_have_effects_once(jar: str, seed: int) -> None:
    random = Random(seed)
    experiments = [
        Experiment(
            jar=jar,
            reject=(random.choice(STEPS),) if random.random() < 0.3 else (),
            faults={random.choice([*FORWARD, *UNDO, *CONFIRM]): random.randint(1, 2)} if random.random() < 0.5 else {},
        )
        for _ in range(8)
    ]
    ids = [sagas.start(Lab, experiment) for experiment in experiments]
    carrier = Carrier(copies=2, random=random)
    carrier.run(ids)
    for run_id in ids:
        if state(run_id) is State.AWAITING_CONFIRM:
            random.choice([sagas.cancel, lambda i: sagas.confirm(i, "approval", {})])(run_id)  # type: ignore[operator]
    carrier.run(ids)
    # And once more all that ever was on its way.
    for chain in carrier.delivered:
        deliver_all(chain)
    assert set(states(ids)) <= {State.SUCCEEDED, State.FAILED}
    for run_id in ids:
        assert_effects_once(run_id)


def test_a_repeat_after_the_commit_does_nothing_and_passes_the_runs_on(jar: str) -> None:
    # Given a step that was performed, whose worker died before it published the next
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(3)]
    (chain,) = chains(claim_all())
    first, _ = deliver(chain)
    before = [story(run_id) for run_id in ids]

    # When it is delivered again
    second, following = deliver(chain)

    # Then
    assert first.survivors == second.survivors == sorted(ids)
    assert [story(run_id) for run_id in ids] == before
    assert following is not None
    assert following.links == chain.links[1:]


def test_a_repeat_for_runs_that_are_further_on_passes_no_run_on(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    deliver_all(chain)
    for index, step in enumerate(STEPS[:2]):
        assert perform(link(Lab, step), [run_id]).survivors == [], index
    assert_effects_once(run_id)


def test_a_message_that_comes_too_early_does_nothing(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    claim_all()
    for step in STEPS[1:]:
        assert perform(link(Lab, step), [run_id]).survivors == []
    for step in STEPS:
        assert perform(link(Lab, step, Phase.UNDO), [run_id]).survivors == []
    for step in ("one", "three"):
        assert perform(link(Lab, step, Phase.CONFIRM), [run_id]).survivors == []
    assert story(run_id) == ["start"]
    assert marks(run_id) == {}


@pytest.mark.parametrize("when", ["compensating", "failed"])
def test_a_forward_message_that_comes_after_the_undo_does_nothing(jar: str, when: str) -> None:
    # Given a run that was cancelled while a step's message was on its way
    run_id = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    _, late = deliver(chain)
    assert late is not None
    sagas.cancel(run_id)
    if when == "failed":
        carried(run_id)
    before = story(run_id)

    # When it comes
    performed = deliver_all(late)

    # Then
    assert performed.survivors == []
    assert story(run_id) == before
    carried(run_id)
    assert effects(run_id) == ["one.forward", "one.compensate"]
    assert counts(jar) == (1000, 0, 0)


def test_the_same_run_twice_in_one_cohort_is_one(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    claim_all()
    assert perform(link(Lab, "one"), [run_id, run_id]).survivors == [run_id]
    assert_effects_once(run_id)


def test_runs_that_do_not_exist_are_named_and_their_neighbours_proceed(jar: str) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(2)]
    claim_all()
    unknown = sorted([uuid4(), uuid4()])
    performed = perform(link(Lab, "one"), [unknown[0], *ids, unknown[1]])
    assert performed.survivors == sorted(ids)
    assert sorted(performed.unknown) == unknown


def test_a_run_of_another_saga_in_the_cohort_is_left_alone(jar: str) -> None:
    mine, other = sagas.start(Lab, Experiment(jar=jar)), sagas.start(Unconfirmed, Experiment())
    claim_all()
    assert perform(link(Lab, "one"), [mine, other]).survivors == [mine]
    assert story(other) == ["start"]


# -- Poisonous runs and their neighbours ----------------------------------------------------------------------


@pytest.mark.parametrize("operation", FORWARD)
def test_ninety_nine_neighbours_of_a_poisonous_run_are_unharmed(jar: str, operation: str) -> None:
    # Given a cohort of a hundred, of which one breaks at every attempt
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(99)]
    poison = sagas.start(Lab, Experiment(jar=jar, faults={operation: 99}))

    # When
    carried(*ids, poison)

    # Then
    assert states(ids) == {State.AWAITING_CONFIRM: 99}
    assert state(poison) is State.FAILED
    for run_id in [*ids, poison]:
        assert_effects_once(run_id)
    assert counts(jar) == (901, 99, 0)


@pytest.mark.parametrize("operation", ["two.compensate", "three.cancel", "one.compensate"])
def test_neighbours_of_a_run_that_cannot_be_undone_are_undone(jar: str, operation: str) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar, reject=("four",))) for _ in range(19)]
    poison = sagas.start(Lab, Experiment(jar=jar, reject=("four",), faults={operation: 99}))
    carried(*ids, poison)
    assert states(ids) == {State.FAILED: 19}
    assert state(poison) is State.ESCALATED


def test_a_run_that_breaks_at_the_commit_is_alone_in_it(jar: str) -> None:
    # Given a cohort in which one refers to a row that does not exist: a deferred constraint
    ids = [sagas.start(Labelled, Experiment(jar=jar)) for _ in range(9)]
    poison = sagas.start(Labelled, Experiment(jar="no such jar"))

    # When
    carried(*ids, poison)

    # Then
    assert states(ids) == {State.SUCCEEDED: 9}
    assert state(poison) is State.FAILED
    assert reason(poison)["code"] == "IntegrityError"
    assert set(Label.objects.filter(run_id__in=[*ids, poison]).values_list("run_id", flat=True)) == set(ids)


def test_a_request_that_no_longer_fits_harms_no_neighbour(jar: str) -> None:
    # Given a run that was stored before its request's type changed
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(9)]
    odd = sagas.start(Lab, Experiment(jar=jar))
    Run.objects.filter(pk=odd).update(request={"jar": jar, "quantity": "a few"})

    # When
    carried(*ids, odd)

    # Then
    assert states(ids) == {State.AWAITING_CONFIRM: 9}
    assert state(odd) is State.FAILED
    assert reason(odd)["code"] == "ValidationError"


def odd_answer(call: sagas.Call[Experiment]) -> Any:
    match call.request.jar:
        case "object":
            return object()
        case "nan":
            return {"value": float("nan")}
        case "nul":
            return {"text": "a\x00b"}
        case "surrogate":
            return "\ud800"
        case "code":
            raise sagas.Rejected("no", code="a\x00b\ud800")
        case "detail":
            raise sagas.Rejected("a\x00b\ud800")
        case "error":
            raise ValueError("a\x00b\ud800")
        case "mute":
            raise Mute
        case "long":
            raise ValueError("x" * 100_000)
    return None


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("says nothing")


@sagas.set_based
def odd_answers(calls: Any) -> Any:
    answers: list[Any] = []
    for call in calls:
        try:
            answers.append(sagas.Done(odd_answer(call)))
        except sagas.Rejected as rejection:
            answers.append(rejection)
    return answers


class Odd(sagas.Saga[Experiment]):
    name = "lab.Odd"
    one = sagas.Step(odd_answer, queue="orders", retry=sagas.Retry(attempts=1))
    two = sagas.Step(odd_answers, queue="orders", retry=sagas.Retry(attempts=1))


class OddSet(sagas.Saga[Experiment]):
    name = "lab.OddSet"
    one = sagas.Step(odd_answers, queue="orders", retry=sagas.Retry(attempts=1))


@pytest.mark.parametrize("saga", [Odd, OddSet])
@pytest.mark.parametrize("odd", ["object", "nan", "nul", "surrogate", "code", "detail", "error", "mute", "long"])
def test_an_answer_that_cannot_be_stored_harms_its_own_run_only(
    jar: str, saga: type[sagas.Saga[Any]], odd: str
) -> None:
    ids = [sagas.start(saga, Experiment()) for _ in range(3)]
    poison = sagas.start(saga, Experiment(jar=odd))
    carried(*ids, poison)
    assert states(ids) == {State.SUCCEEDED: 3}
    assert state(poison) is State.FAILED
    assert len(reason(poison)["detail"]) <= 2000


@sagas.set_based
def too_few(calls: Any) -> Any:
    return [sagas.Done() for _ in calls][1:]


@sagas.set_based
def no_outcomes(calls: Any) -> Any:
    return [None for _ in calls]


@sagas.set_based
def nothing_at_all(calls: Any) -> Any:
    """One that has forgotten to return its outcomes."""


@pytest.mark.parametrize(
    ("participant", "said"),
    [
        (too_few, "too_few gave 0 outcomes for 1 calls; return one for each"),
        (no_outcomes, "no_outcomes gave None; an outcome is Done, Rejected or Accepted"),
        (nothing_at_all, "nothing_at_all returned None for 1 calls; return an outcome for each"),
    ],
)
def test_a_participant_that_answers_wrongly_is_a_fault_that_names_it(participant: Any, said: str) -> None:
    class Wrong(sagas.Saga[Experiment]):
        name = "lab.Wrong"
        one = sagas.Step(participant, queue="orders", retry=sagas.Retry(attempts=1))

    try:
        run_id = sagas.start(Wrong, Experiment())
        carried(run_id)
        assert state(run_id) is State.FAILED
        assert reason(run_id)["code"] == "TypeError"
        assert reason(run_id)["detail"] == f"{__name__}.{said}"
    finally:
        runtime.declared.definitions.pop(("lab.Wrong", 1))


def cut_off(call: sagas.Call[Experiment]) -> None:
    """One call: leave a mark; then the connection breaks, of which this participant knows nothing, and it says no."""
    Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    if call.request.jar == "cut":
        pid = connection.connection.info.backend_pid
        with closing(psycopg.connect(**{**connection.get_connection_params(), "cursor_factory": None})) as other:
            other.autocommit = True
            other.cursor().execute("SELECT pg_terminate_backend(%s)", [pid])
    raise sagas.Rejected("sold out")


def half_hearted(call: sagas.Call[Experiment]) -> None:
    """One call: leave a mark, and pass over an error that has already taken it back."""
    Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    with suppress(ValueError), transaction.atomic(savepoint=False):
        int("many")


@contextmanager
def of_one_step(participant: Any) -> Iterator[type[sagas.Saga[Any]]]:
    """A saga of one step, for as long as it is looked at."""

    class OneStep(sagas.Saga[Experiment]):
        name = "lab.OneStep"
        one = sagas.Step(participant, queue="orders", retry=sagas.Retry(attempts=1))

    try:
        yield OneStep
    finally:
        runtime.declared.definitions.pop(("lab.OneStep", 1))


def test_a_connection_that_breaks_while_a_participant_says_no_is_not_its_fault() -> None:
    with of_one_step(cut_off) as saga:
        # Given
        cut, neighbour = sagas.start(saga, Experiment(jar="cut")), sagas.start(saga, Experiment())
        claim_all()
        # When, then what became of the cohort is not known, and nobody is blamed
        with pytest.raises(ConnectionLost):
            perform(link(saga, "one"), [cut, neighbour])
        connection.close()
        assert story(cut) == story(neighbour) == ["start"]
        # And it is delivered again
        Run.objects.filter(pk=cut).update(request={"jar": ""})
        deliver(Chain((link(saga, "one"),), (cut, neighbour)))
        carried(cut, neighbour)
        assert states([cut, neighbour]) == {State.FAILED: 2}
        assert "one.forward FAULT" not in story(cut) + story(neighbour)
        assert reason(cut)["code"] == "Rejected"


def test_a_participant_whose_effect_was_rolled_back_has_not_done_it() -> None:
    with of_one_step(half_hearted) as saga:
        run_id = sagas.start(saga, Experiment())
        carried(run_id)
        assert marks(run_id) == {}
        assert state(run_id) is State.FAILED
        assert reason(run_id)["code"] == "RolledBack"


def test_a_redelivered_cohort_is_cut_in_halves_that_go_the_whole_way() -> None:
    ids = [UUID(int=n) for n in (3, 1, 2, 1)]
    halves = [m for m in redeliver_in_halves(link(Lab, "two"), ids) if isinstance(m, Chain)]
    assert [half.ids for half in halves] == [(UUID(int=1), UUID(int=2)), (UUID(int=3),)]
    assert all([part.step for part in half.links] == ["two", "three", "four"] for half in halves)


def test_delivering_again_keeps_the_rest_of_the_chain() -> None:
    message = redeliver(link(Lab, "three", Phase.UNDO), [UUID(int=1)], 1.5)
    assert isinstance(message, Chain)
    assert [part.step for part in message.links] == ["three", "two", "one"]
    assert message.delay == 1.5


def test_an_operation_that_kills_its_workers_is_a_fault_without_another_call(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    claim_all()
    give_up(link(Lab, "one"), run_id, RuntimeError("three workers died"))
    assert story(run_id) == ["start", "one.forward FAULT"]
    assert marks(run_id) == {}
    assert Run.objects.get(pk=run_id).attempt == 1


# -- Locks ----------------------------------------------------------------------------------------------------


@contextmanager
def in_thread(function: Any) -> Iterator[list[Any]]:
    """Run it beside; raise here what it raises there."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(function())
        except BaseException as error:
            answers.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answers
    finally:
        thread.join(30)
        assert not thread.is_alive()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer


def test_cohorts_that_take_two_jars_in_opposite_order_do_not_deadlock(jar: str) -> None:
    # Given two cohorts, of one jar after the other and the other way round
    other = f"{jar}-b"
    Jar.objects.create(name=other, available=1000)
    first = [sagas.start(Lab, Experiment(jar=f"{jar}+{other}")) for _ in range(40)]
    second = [sagas.start(Lab, Experiment(jar=f"{other}+{jar}")) for _ in range(40)]
    claim_all()
    for ids in (first, second):
        for step in ("one", "two"):
            perform(link(Lab, step), ids)

    # When both go at once, in many pieces
    def take(ids: list[UUID]) -> None:
        for start in range(0, 40, 4):
            assert len(perform(link(Lab, "three"), ids[start : start + 4]).survivors) == 4

    with in_thread(lambda: take(first)):
        take(second)

    # Then nobody was in anybody's way
    assert counts(jar) == counts(other) == (920, 80, 0)
    assert not Log.objects.filter(run_id__in=[*first, *second], outcome="FAULT").exists()


def test_cohorts_with_the_same_runs_in_opposite_order_do_not_deadlock(jar: str) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(60)]
    claim_all()

    def all_steps(order: list[UUID]) -> None:
        for step in STEPS:
            perform(link(Lab, step), order)

    with in_thread(lambda: all_steps(ids[::-1])):
        all_steps(ids)
    for run_id in ids:
        assert_effects_once(run_id)
    assert states(ids) == {State.AWAITING_CONFIRM: 60}


def test_a_step_and_a_cancel_that_meet_leave_nothing_behind(jar: str) -> None:
    # Given a step in flight, which holds the run's lock until its jar is free
    run_id = sagas.start(Lab, Experiment(jar=jar))
    claim_all()
    for step in ("one", "two"):
        perform(link(Lab, step), [run_id])
    with transaction.atomic():
        Jar.objects.select_for_update().get(name=jar)
        with in_thread(lambda: perform(link(Lab, "three"), [run_id])):
            await_waiting(1)
            # When the customer cancels, from another connection
            cancelled = threading.Thread(target=cancel_beside, args=[run_id])
            cancelled.start()
            await_waiting(2)
            transaction.set_rollback(True)
            connection.connection.rollback()
            cancelled.join(20)
    carried(run_id)

    # Then what the step did is undone
    assert state(run_id) is State.FAILED
    assert effects(run_id)[:4] == ["one.forward", "two.forward", "three.try", "three.cancel"]
    assert counts(jar) == (1000, 0, 0)


def cancel_beside(run_id: UUID) -> None:
    sagas.cancel(run_id)
    connection.close()


def await_waiting(number: int) -> None:
    from tests.support.awaiting import eventually

    def waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0] >= number)

    eventually(waiting, what=f"{number} waiting for locks")


# -- Under choreography an event comes to more operations than have something to do ------------------------------


@pytest.fixture
def _by_events(settings: Any) -> None:
    settings.SAGAS = {**settings.SAGAS, "CARRIERS": {Lab.name: "choreography"}}


def followed_by(step: str, run_id: UUID) -> list[str]:
    """The events that are told once the undo of a step is delivered."""
    return [chain.event for chain in chains(perform(link(Lab, step, Phase.UNDO), [run_id]).messages)]


@pytest.mark.usefixtures("_by_events")
def test_an_undo_that_was_rolled_back_is_not_published(jar: str) -> None:
    # Given a run that turned back at a step, which has nothing to undo
    run_id = sagas.start(Lab, Experiment(jar=jar, reject=("two",)))
    Carrier().run([run_id], until=lambda: state(run_id) is State.COMPENSATING)

    # When the rejection comes to that step as well, then it is silent
    assert followed_by("two", run_id) == []
    assert effects(run_id) == ["one.forward"]


@pytest.mark.usefixtures("_by_events")
def test_an_undo_that_was_committed_is_published_again(jar: str) -> None:
    # Given a run of which an undo is done, and what follows from it was lost
    run_id = sagas.start(Lab, Experiment(jar=jar, reject=("three",)))
    Carrier().run([run_id], until=lambda: state(run_id) is State.COMPENSATING)
    first = followed_by("two", run_id)
    assert effects(run_id)[-1] == "two.compensate"

    # When it is delivered again
    assert followed_by("two", run_id) == first == ["TwoUndone"]
    assert effects(run_id).count("two.compensate") == 1
