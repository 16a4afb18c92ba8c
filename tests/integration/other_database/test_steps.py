"""Steps in another database, on two real databases, with every message in this test's hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from uuid import UUID

import pytest
from django.db import connections

import sagas
from sagas import Done, Rejected, Saga, State, Step
from sagas.decisions.messages import Chain
from sagas.definition.participants import Call
from sagas.engine.outside import barrier
from sagas.models import Log, Run
from tests.lab.sagas import QUICK, Boom, Experiment, mark
from tests.loyalty.models import Purse
from tests.loyalty.sagas import INTERRUPTIONS, Afar, AfarForked, AfarReported, Astray, Tied, accept, stamp
from tests.support import loyalty
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.loyalty import assert_all_once, assert_once_in_both, counts, nulls, rows, stamps
from tests.support.runs import (
    effects,
    escalation,
    let_time_pass,
    make_due,
    marks,
    never,
    reason,
    state,
    states,
    story,
)

pytestmark = pytest.mark.usefixtures("purse")

FORWARD = {"one": "forward", "two": "forward", "three": "try", "four": "forward", "five": "forward"}
UNDO = {"one": "compensate", "two": "compensate", "three": "cancel", "four": "compensate", "five": "compensate"}
THERE = ["two", "three", "four"]
ALL = [f"{step}.{operation}" for step, operation in FORWARD.items()]


def start(purse: str, saga: type[sagas.Saga[Experiment]] = Afar, **what: object) -> UUID:
    return sagas.start(saga, Experiment(jar=purse, **what))  # type: ignore[arg-type]  # an Experiment's fields


def carried(*ids: UUID, random: Random | None = None, copies: int = 1) -> None:
    Carrier(random=random, copies=copies).run(ids)


def at(step: str, purse: str, *, reject: tuple[str, ...] = ()) -> tuple[UUID, Chain]:
    """A run that stands at a step, and the chain that begins with it."""
    run_id = start(purse, reject=reject)
    (chain,) = chains(claim_all())
    following: Chain | None = chain
    while following is not None and following.links[0].step != step:
        _, following = deliver(following)
    assert following is not None
    return run_id, following


class Died(BaseException):
    """Stands for a worker that is killed: nothing of the engine catches it."""


@pytest.fixture
def dies_between_the_commits(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the next operation in the other database end right behind its commit there."""
    real = barrier.call_through_barrier

    def arm() -> None:
        def collect(*args: object, **kwargs: object) -> object:
            monkeypatch.setattr(barrier, "call_through_barrier", real)
            real(*args, **kwargs)  # type: ignore[arg-type]  # as they came
            raise Died

        monkeypatch.setattr(barrier, "call_through_barrier", collect)

    return arm


# -- Without trouble ------------------------------------------------------------------------------------------


def test_a_run_is_confirmed_in_both_databases(purse: str) -> None:
    # Given
    run_id = start(purse, quantity=2)
    carried(run_id)
    assert state(run_id) is State.AWAITING_CONFIRM
    assert counts(purse) == (998, 2, 0)

    # When
    sagas.confirm(run_id, "approval", {})
    carried(run_id)

    # Then all is there, each in its database
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id) == [*ALL, "one.confirm", "two.confirm", "three.confirm"]
    assert stamps(run_id) == {"two.forward": 1, "two.confirm": 1, "four.forward": 1}
    assert marks(run_id) == {"one.forward": 1, "one.confirm": 1, "five.forward": 1}
    assert counts(purse) == (998, 0, 2)
    results = {"one": {"by": "one"}, "two": {"by": "two"}, "three": {"reserve_id": f"{run_id}:three"}}
    assert Run.objects.get(pk=run_id).results == results
    # And a barrier row for each operation there
    assert rows(run_id) == dict.fromkeys(
        ["two.forward", "two.confirm", "three.try", "three.confirm", "four.forward"], "DONE"
    )


def test_a_cohort_needs_few_statements_in_the_other_database(purse: str) -> None:
    # Given
    ids = [start(purse) for _ in range(20)]
    statements: list[str] = []

    def note(execute: Callable[..., object], sql: str, *rest: object) -> object:
        statements.append(sql)
        return execute(sql, *rest)

    # When
    with connections["loyalty"].execute_wrapper(note):
        carried(*ids)

    # Then one of the barrier for each cohort; one more where there are results to keep, as at two of three steps
    assert states(ids) == {State.AWAITING_CONFIRM: 20}
    assert len([sql for sql in statements if "INTO sagas_barrier" in sql]) == 3
    assert len([sql for sql in statements if "sagas_barrier" in sql]) == 5


@pytest.mark.parametrize("step", FORWARD)
def test_a_rejection_of_each_step_undoes_the_run(purse: str, step: str) -> None:
    run_id = start(purse, reject=(step,))
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert reason(run_id)["step"] == step
    assert_once_in_both(run_id)
    assert counts(purse) == (1000, 0, 0)
    # What said no is asked for its undo as well, and has nothing to undo
    assert nulls(run_id) == ([f"{step}.{UNDO[step]}"] if step in THERE else [])
    if step in THERE:
        assert rows(run_id)[f"{step}.{FORWARD[step]}"] == "REJECTED"


def test_an_empty_purse_rejects_its_run_and_no_other(purse: str) -> None:
    ids = [start(purse, quantity=300) for _ in range(5)]
    carried(*ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 3, State.FAILED: 2}
    assert_all_once(ids)
    assert counts(purse) == (100, 900, 0)


@pytest.mark.parametrize("step", THERE)
def test_a_failing_step_in_the_other_database_is_retried_and_then_undone(purse: str, step: str) -> None:
    operation = f"{step}.{FORWARD[step]}"
    mended = start(purse, faults={operation: 2})
    broken = start(purse, faults={operation: 99})
    carried(mended, broken)
    assert (state(mended), state(broken)) == (State.AWAITING_CONFIRM, State.FAILED)
    assert story(mended).count(f"{operation} FAULT") == 2
    assert story(broken).count(f"{operation} FAULT") == 3
    assert_all_once([mended, broken])
    assert nulls(broken) == [f"{step}.{UNDO[step]}"]
    assert rows(broken)[operation] == "VOID"


@pytest.mark.parametrize("operation", ["two.forward", "three.try", "four.forward"])
def test_an_error_that_is_never_retried_undoes_the_run_at_once(
    purse: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    never(monkeypatch, Afar, Boom)
    run_id = start(purse, faults={operation: 1})
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert story(run_id).count(f"{operation} FAULT") == 1
    assert_once_in_both(run_id)
    step = operation.split(".", maxsplit=1)[0]
    assert nulls(run_id) == [f"{step}.{UNDO[step]}"]


@pytest.mark.parametrize("operation", ["two.compensate", "three.cancel", "two.confirm"])
def test_an_error_of_a_confirm_or_an_undo_that_is_never_retried_escalates_at_once(
    purse: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    never(monkeypatch, Afar, Boom)
    run_id = start(purse, faults={operation: 1}, reject=() if operation.endswith("confirm") else ("five",))
    carried(run_id)
    if operation.endswith("confirm"):
        sagas.confirm(run_id, "approval", {})
        carried(run_id)
    assert state(run_id) is State.ESCALATED
    assert story(run_id).count(f"{operation} FAULT") == 1


@pytest.mark.parametrize("operation", ["two.confirm", "three.confirm"])
def test_a_failing_confirm_escalates_and_succeeds_when_resumed(purse: str, operation: str) -> None:
    run_id = start(purse, faults={operation: 99})
    carried(run_id)
    sagas.confirm(run_id, "approval", {})
    carried(run_id)
    assert state(run_id) is State.ESCALATED
    Run.objects.filter(pk=run_id).update(request={"jar": purse})
    sagas.resume(run_id, by="ada")
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert_once_in_both(run_id)


@pytest.mark.parametrize("operation", ["two.compensate", "three.cancel", "four.compensate"])
def test_a_failing_undo_is_retried(purse: str, operation: str) -> None:
    run_id = start(purse, reject=("five",), faults={operation: 2})
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert story(run_id).count(f"{operation} FAULT") == 2
    assert_once_in_both(run_id)
    assert nulls(run_id) == []


@pytest.mark.parametrize("operation", ["two.confirm", "two.compensate"])
def test_a_rejected_confirm_or_undo_is_a_fault_and_leaves_no_barrier_row(purse: str, operation: str) -> None:
    # Given a participant that does, once
    def refuse(_: Call[Experiment]) -> None:
        INTERRUPTIONS.clear()
        raise Rejected("not now")

    run_id = start(purse)
    carried(run_id)
    INTERRUPTIONS[operation] = refuse

    # When
    if operation.endswith("confirm"):
        sagas.confirm(run_id, "approval", {})
    else:
        sagas.cancel(run_id)
    carried(run_id)

    # Then it was a fault, and it was asked again
    assert story(run_id).count(f"{operation} FAULT") == story(run_id).count(f"{operation} DONE") == 1
    assert state(run_id) is (State.SUCCEEDED if operation.endswith("confirm") else State.FAILED)
    assert_once_in_both(run_id)


@pytest.mark.parametrize("step", THERE)
def test_a_poisonous_run_does_not_affect_its_cohort(purse: str, step: str) -> None:
    ids = [start(purse, faults={f"{step}.{FORWARD[step]}": 99} if n == 3 else {}) for n in range(9)]
    carried(*ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 8, State.FAILED: 1}
    assert state(ids[3]) is State.FAILED
    assert_all_once(ids)


def test_an_error_at_the_commit_is_the_fault_of_one_run() -> None:
    Purse.objects.create(name="real")
    ids = [sagas.start(Tied, Experiment(jar="nowhere" if n == 1 else "real")) for n in range(4)]
    carried(*ids)
    assert states(ids) == {State.SUCCEEDED: 3, State.FAILED: 1}
    assert reason(ids[1])["code"] == "IntegrityError"
    assert rows(ids[1]) == {}
    Purse.objects.filter(name="real").delete()


def test_a_write_to_the_wrong_database_is_reported(purse: str) -> None:
    run_id = start(purse, Astray)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert reason(run_id)["code"] == "WrongDatabase"
    assert "two is in the database 'loyalty', and wrote in 'default': INSERT INTO" in reason(run_id)["detail"]
    assert_once_in_both(run_id)


def test_a_step_in_another_database_can_be_reported_later(purse: str) -> None:
    # Given
    run_id = start(purse, AfarReported)
    (chain,) = chains(claim_all())
    deliver(chain)
    assert story(run_id)[-1] == "one.forward ACCEPTED"
    assert rows(run_id) == {"one.forward": "ACCEPTED"}

    # When nobody reports the first attempt, nor the second
    for _ in range(2):
        Run.objects.filter(pk=run_id).update(pending={"one": {**waits(run_id)["one"], "until": 0}})
        make_due([run_id])
        carried(run_id)
    # Then it was begun once for each attempt
    assert stamps(run_id)["one.forward"] == story(run_id).count("one.forward ACCEPTED") == 3
    sagas.report(run_id, "one", Done(7))
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED


def waits(run_id: UUID) -> dict[str, dict[str, object]]:
    return dict(Run.objects.values_list("pending", flat=True).get(pk=run_id) or {})


def test_an_accepted_step_in_another_database_is_really_undone(purse: str) -> None:
    run_id = start(purse, AfarReported)
    carried(run_id)
    sagas.cancel(run_id)
    Run.objects.filter(pk=run_id).update(pending={"one": {**waits(run_id)["one"], "until": 0}})
    make_due([run_id])
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert stamps(run_id) == {"one.forward": 1, "one.compensate": 1}


class AfarRecalled(Saga[Experiment]):
    """The undo of its step there ends when somebody says so."""

    one = Step(stamp, compensate=accept, queue="orders", retry=QUICK, finish_retry=QUICK, database="loyalty")
    two = Step(mark, compensate=mark, queue="coupons", retry=QUICK, finish_retry=QUICK)


def until_escalated(run_id: UUID) -> None:
    for _ in range(6):
        carried(run_id)
        let_time_pass(run_id)
    assert state(run_id) is State.ESCALATED


def test_a_resumed_run_repeats_an_accepted_step_without_a_report(purse: str) -> None:
    # Given a run that a person has because nobody has reported, at any attempt
    run_id = start(purse, AfarRecalled, reject=("two",))
    until_escalated(run_id)
    assert stamps(run_id)["one.compensate"] == 3

    # When he resumes it, twice
    for times in (6, 9):
        sagas.resume(run_id, by="mei", note="the other side works again, and has forgotten")
        until_escalated(run_id)

        # Then it is asked as often again
        assert stamps(run_id)["one.compensate"] == story(run_id).count("one.compensate ACCEPTED") == times


def test_a_step_accepted_before_its_worker_died_is_not_repeated(
    purse: str, dies_between_the_commits: Callable[[], None]
) -> None:
    # Given an undo that was accepted there at its first attempt after a resumption, of which nobody here knows
    run_id = start(purse, AfarRecalled, reject=("two",))
    until_escalated(run_id)
    sagas.resume(run_id, by="mei", note="")
    (chain,) = chains(claim_all())
    dies_between_the_commits()
    with pytest.raises(Died):
        deliver(chain)
    assert stamps(run_id)["one.compensate"] == 4
    before = story(run_id)

    # When the message comes again
    deliver(chain)

    # Then it waits for the report, and nobody was asked
    assert story(run_id) == [*before, "one.compensate ACCEPTED"]
    assert stamps(run_id)["one.compensate"] == 4
    sagas.report(run_id, "one", Done(), operation="compensate")
    carried(run_id)
    assert state(run_id) is State.FAILED


# -- Death between the two commits ----------------------------------------------------------------------------


@pytest.mark.parametrize("step", THERE)
def test_a_redelivery_records_the_result_in_the_barrier_row(
    purse: str, step: str, dies_between_the_commits: Callable[[], None]
) -> None:
    # Given a worker that dies when the effect is there, and nobody here knows
    run_id, chain = at(step, purse)
    before = (story(run_id), stamps(run_id))
    dies_between_the_commits()
    with pytest.raises(Died):
        deliver(chain)
    assert story(run_id) == before[0]
    assert rows(run_id)[f"{step}.{FORWARD[step]}"] == "DONE"
    there = (stamps(run_id), counts(purse))

    # When the message comes again
    performed, _ = deliver(chain)

    # Then the outcome is recorded, with the result that it had, and nobody was called
    assert performed.survivors == [run_id]
    assert (stamps(run_id), counts(purse)) == there
    assert story(run_id)[-1] == f"{step}.{FORWARD[step]} DONE"
    results = {"two": {"by": "two"}, "three": {"reserve_id": f"{run_id}:three"}}
    assert Run.objects.get(pk=run_id).results.get(step) == results.get(step)
    carried(run_id)
    make_due([run_id])
    carried(run_id)
    assert_once_in_both(run_id)


@pytest.mark.parametrize("step", THERE)
def test_a_redelivery_after_a_rejection_is_rejected_too(
    purse: str, step: str, dies_between_the_commits: Callable[[], None]
) -> None:
    run_id, chain = at(step, purse, reject=(step,))
    dies_between_the_commits()
    with pytest.raises(Died):
        deliver(chain)
    # If it were asked now, it would say yes
    Run.objects.filter(pk=run_id).update(request={"jar": purse})
    deliver(chain)
    assert state(run_id) is State.COMPENSATING
    assert reason(run_id)["detail"] == f"{step} says no"
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert_once_in_both(run_id)


@pytest.mark.parametrize("operation", ["two.confirm", "three.confirm", "two.compensate", "three.cancel"])
def test_a_confirm_and_an_undo_have_one_effect_each(
    purse: str, operation: str, dies_between_the_commits: Callable[[], None]
) -> None:
    # Given
    step, _, name = operation.partition(".")
    run_id = start(purse)
    carried(run_id)
    if name == "confirm":
        sagas.confirm(run_id, "approval", {})
    else:
        sagas.cancel(run_id)
    (chain,) = chains(claim_all())
    while chain.links[0].step != step:
        _, following = deliver(chain)
        assert following is not None
        chain = following

    # When
    dies_between_the_commits()
    with pytest.raises(Died):
        deliver(chain)
    assert f"{operation} DONE" not in story(run_id)
    deliver(chain)

    # Then
    assert f"{operation} DONE" in story(run_id)
    make_due([run_id])
    carried(run_id)
    assert state(run_id) is (State.SUCCEEDED if name == "confirm" else State.FAILED)
    assert_once_in_both(run_id)
    assert nulls(run_id) == []


@pytest.mark.parametrize("step", THERE)
def test_a_run_cancelled_between_the_two_commits_is_undone_in_both_databases(
    purse: str, step: str, dies_between_the_commits: Callable[[], None]
) -> None:
    # Given an effect there that nobody here knows of
    run_id, chain = at(step, purse)
    dies_between_the_commits()
    with pytest.raises(Died):
        deliver(chain)

    # When the run is cancelled before the message comes again
    sagas.cancel(run_id)
    deliver(chain)
    carried(run_id)

    # Then it is undone, though the log never had it
    assert state(run_id) is State.FAILED
    assert f"{step}.{FORWARD[step]} DONE" not in story(run_id)
    assert f"{step}.{UNDO[step]} DONE" in story(run_id)
    assert nulls(run_id) == []
    assert counts(purse) == (1000, 0, 0)
    if step != "three":
        assert stamps(run_id)[f"{step}.{FORWARD[step]}"] == stamps(run_id)[f"{step}.{UNDO[step]}"] == 1


# -- An undo that overtakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", THERE)
def test_an_early_undo_is_null_and_the_late_forward_operation_does_nothing(purse: str, step: str) -> None:
    # Given a run that is cancelled while the message to its step is on its way
    run_id, chain = at(step, purse)
    sagas.cancel(run_id)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert nulls(run_id) == [f"{step}.{UNDO[step]}"]
    assert rows(run_id)[f"{step}.{FORWARD[step]}"] == "VOID"
    before = (stamps(run_id), marks(run_id), counts(purse), story(run_id))

    # When it comes, be it as a message or from a worker that the engine does not know of any more
    deliver(chain)
    definition = Afar.definition
    index = definition.index(step)
    call = Call(run_id, step, definition.steps[index].actions[chain.links[0].phase].operation, 1, Experiment(jar=purse))
    (answer,) = barrier.call_through_barrier(definition.steps[index], chain.links[0].phase, [call], may_reject=True)

    # Then nothing happens
    assert isinstance(answer, barrier.Overtaken)
    assert (stamps(run_id), marks(run_id), counts(purse), story(run_id)) == before
    assert_once_in_both(run_id)


def test_an_undo_of_a_logged_step_without_a_barrier_row_escalates(purse: str) -> None:
    # Given an effect there, and its barrier row gone
    run_id = start(purse)
    carried(run_id)
    loyalty.execute("DELETE FROM sagas_barrier WHERE run_id = %s AND step = 'four'", run_id)

    # When
    sagas.cancel(run_id)
    carried(run_id)

    # Then nobody believes that there is nothing to undo
    assert state(run_id) is State.ESCALATED
    assert escalation(run_id).error["code"] == "BarrierLost"
    assert "four.forward is done" in escalation(run_id).error["detail"]
    assert not [row for row in rows(run_id) if row.startswith("four")]
    assert stamps(run_id)["four.compensate"] == 0
    # And when the row is there again, it goes on
    loyalty.execute(
        "INSERT INTO sagas_barrier (run_id, step, operation, outcome, attempt, at) "
        "VALUES (%s, 'four', 'forward', 'DONE', 1, now())",
        run_id,
    )
    sagas.resume(run_id, by="ada")
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert_once_in_both(run_id)


# -- Whole runs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_branches_in_both_databases_join_in_any_order(purse: str, seed: int) -> None:
    random = Random(seed)
    steps = ["one", "two", "three", "jar", "left", "four"]
    ids = [
        start(
            purse,
            AfarForked,
            reject=(random.choice([*steps, "nobody", "nobody"]),),
            faults={random.choice(["two.forward", "three.try", "one.forward"]): random.choice([0, 1, 9])},
        )
        for _ in range(12)
    ]
    carried(*ids, random=random, copies=random.choice([1, 2]))
    found = states(ids)
    assert found[State.SUCCEEDED] + found[State.FAILED] == 12, found
    assert_all_once(ids, order=False)
    sold = found[State.SUCCEEDED]
    assert counts(purse) == (1000 - sold, 0, sold)
    for run_id in ids:
        done = effects(run_id)
        real = [effect for effect in done if effect not in nulls(run_id)]
        there = {e.split(".")[0] for e in real if e.endswith((".forward", ".try"))}
        assert (state(run_id) is State.SUCCEEDED) is (there == set(steps))


@pytest.mark.parametrize("seed", range(4))
def test_effects_are_once_and_all_or_none_in_any_order_of_deliveries(purse: str, seed: int) -> None:
    random = Random(seed)
    operations = [*ALL, *(f"{step}.{undo}" for step, undo in UNDO.items())]
    ids = [
        start(
            purse,
            reject=(random.choice([*FORWARD, "nobody", "nobody"]),),
            faults={random.choice(operations): random.choice([1, 2])},
        )
        for _ in range(16)
    ]
    decided = iter(ids[::2])

    def meddle() -> bool:
        if random.random() < 0.3 and (run_id := next(decided, None)) is not None:
            with suppress(sagas.AlreadyDecided):
                if random.random() < 0.5:
                    sagas.cancel(run_id)
                else:
                    sagas.confirm(run_id, "approval", {})
        return False

    carrier = Carrier(copies=2, random=random)
    carrier.run(ids, until=meddle)
    # And all that was ever delivered comes once more
    for chain in random.sample(carrier.delivered, len(carrier.delivered)):
        deliver(chain)
    carrier.run(ids)
    for run_id in ids:
        assert state(run_id) in {State.AWAITING_CONFIRM, State.SUCCEEDED, State.FAILED}, story(run_id)
    assert_all_once(ids)
    found = states(ids)
    waiting, sold = found[State.AWAITING_CONFIRM], found[State.SUCCEEDED]
    assert counts(purse) == (1000 - waiting - sold, waiting, sold)
    assert Log.objects.filter(outcome="DONE", run_id__in=ids, step="four", operation="forward").count() >= waiting
