"""What came from outside is given back when its run is undone, whatever undoes it; and whoever brought it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

import sagas
from sagas import AlreadyDecided, Confirmation, Saga, State, Step, SubSaga, Tcc
from sagas.decisions.messages import Chain
from sagas.engine.delivery import redeliver
from sagas.engine.performing import redeliver_in_halves
from sagas.engine.subsagas import child_run_id
from sagas.models import Escalation, Run
from tests.lab.sagas import QUICK, Closing, Experiment, jars, mark
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_all
from tests.support.runs import effects, event, make_due, marks, reason, shift_clock, state

pytestmark = pytest.mark.usefixtures("alone", "jar")


class Paid(Saga[Experiment]):
    """A payment, and little time for the steps."""

    timeout = timedelta(seconds=40)
    payment = Confirmation(within=timedelta(seconds=60), compensate=mark, queue="coupons", finish_retry=QUICK)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    three = Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK)


class PaidPart(Saga[Experiment]):
    """A step of ``Whole`` that waits for a payment of its own."""

    payment = Confirmation(within=timedelta(seconds=60), compensate=mark, queue="coupons", finish_retry=QUICK)

    two = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)


class Whole(Saga[Experiment]):
    """Its last step may say no when its child is paid."""

    part = SubSaga(PaidPart, request=lambda _: Experiment(), queue="orders")
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


def carry(*ids: UUID) -> None:
    Carrier().run(ids)


def undone_once(run_id: UUID, *names: str) -> None:
    """Whether exactly these confirmations were given back, once each, and the run has failed."""
    assert state(run_id) is State.FAILED
    back = [effect for effect in effects(run_id) if effect.split(".")[0] in {"payment", "approval"}]
    assert sorted(back) == sorted(f"{name}.compensate" for name in names)
    assert [marks(run_id).get(f"{name}.compensate") for name in names] == [1] * len(names)


# -- A delivery of a refund -----------------------------------------------------------------------------------


@pytest.fixture
def refund() -> Chain:
    """The message that begins to undo a paid run whose second step said no."""
    run_id = sagas.start(Paid, Experiment(reject=("three",)))
    (forward,) = chains(claim_all())
    sagas.confirm(run_id, "payment", {})
    deliver_all(forward)
    (going,) = chains(claim_all())
    assert going.links[0].step == "payment"
    return going


def test_a_refund_that_is_delivered_again_goes_on_to_the_steps(refund: Chain) -> None:
    # Given a delivery that was cut off, of which nothing was committed
    again = redeliver(refund.links[0], refund.ids, 0.0)
    # When
    carrier = Carrier()
    carrier.post([again])
    while carrier.waiting:
        carrier.deliver(carrier.waiting.pop(0))
    # Then it did not wait for its lease
    undone_once(refund.ids[0], "payment")


def test_a_refund_whose_worker_died_behind_the_commit_goes_on_to_the_steps(refund: Chain) -> None:
    # Given
    deliver(refund)
    # When
    carrier = Carrier()
    carrier.post(redeliver_in_halves(refund.links[0], refund.ids))
    while carrier.waiting:
        carrier.deliver(carrier.waiting.pop(0))
    # Then
    undone_once(refund.ids[0], "payment")


# -- Whatever undoes the run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["before it begins", "while the steps are under way"])
@pytest.mark.parametrize(
    "request_",
    [Experiment(reject=("two",)), Experiment(faults={"two.forward": 9}), Experiment(reject=("one",))],
    ids=["a step says no", "a step is out of attempts", "the first step says no"],
)
def test_both_confirmations_are_refunded_when_a_step_fails(request_: Experiment, at: str) -> None:
    # Given
    run_id = sagas.start(Closing, request_)
    going = chains(claim_all())[0] if at == "while the steps are under way" else None

    # When both come, and are taken
    first, second = sagas.confirm(run_id, "payment", {"id": "pay_1"}), sagas.confirm(run_id, "approval", {})
    assert (first.settled, second.settled) == (False, False)
    if going is not None:
        deliver(going)
        make_due([run_id])
    carry(run_id)

    # Then
    undone_once(run_id, "payment", "approval")
    # And a repeat is told how the run stands now
    repeat = sagas.confirm(run_id, "payment", {"id": "pay_2"})
    assert (repeat.first, repeat.settled, repeat.state, repeat.data) == (False, False, State.FAILED, {"id": "pay_1"})


def _cancel(run_id: UUID) -> None:
    sagas.cancel(run_id, by="customer")


def _refuse(run_id: UUID) -> None:
    sagas.decline(run_id, "approval", reason="not today")


def _let_the_other_deadline_pass(run_id: UUID) -> None:
    carry(run_id)
    Run.objects.filter(pk=run_id).update(request={"closes_at": datetime(2020, 1, 1, tzinfo=UTC).isoformat()})
    make_due([run_id])


@pytest.mark.parametrize("undo", [_cancel, _refuse, _let_the_other_deadline_pass], ids=lambda undo: undo.__name__[1:])
@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "all steps done"])
def test_a_confirmation_is_refunded_when_the_other_never_comes(undo: Callable[[UUID], None], begun: bool) -> None:
    run_id = sagas.start(Closing, Experiment())
    if begun:
        carry(run_id)
    sagas.confirm(run_id, "payment", {})
    undo(run_id)
    carry(run_id)
    undone_once(run_id, "payment")


def test_a_confirmation_is_refunded_when_the_steps_take_too_long() -> None:
    run_id = sagas.start(Paid, Experiment(faults={"one.forward": 1}))
    sagas.confirm(run_id, "payment", {})
    chain = chains(claim_all())[0]
    shift_clock([run_id], 41)
    deliver(chain)
    make_due([run_id])
    carry(run_id)
    undone_once(run_id, "payment")


def test_a_childs_confirmation_is_refunded_when_its_parent_is_undone() -> None:
    # Given a parent whose child is paid, and whose last step will say no
    run_id = sagas.start(Whole, Experiment(reject=("four",)))
    child = child_run_id(run_id, "part")
    claimed = chains(claim_all())[0]
    deliver(claimed)
    sagas.confirm(child, "payment", {})

    # When
    carry(run_id, child)

    # Then
    assert state(run_id) is State.FAILED
    undone_once(child, "payment")


# -- A person who ends a run as FAILED ------------------------------------------------------------------------


def _stuck(saga: type[Saga[Experiment]]) -> UUID:
    """A paid run that stands at a step of which nothing is heard any more."""
    run_id = sagas.start(saga, Experiment())
    sagas.confirm(run_id, "payment", {})
    Run.objects.filter(pk=run_id).update(state="EXECUTING", claims=6)
    claim_all(lapsed=True)
    assert state(run_id) is State.ESCALATED
    return run_id


def _fail(run_id: UUID) -> State:
    return sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="undone by hand")


def test_resolving_a_stuck_run_refunds_its_confirmations_and_touches_no_step() -> None:
    # Given
    run_id = _stuck(Paid)

    # When
    assert _fail(run_id) is State.COMPENSATING
    carry(run_id)

    # Then
    undone_once(run_id, "payment")
    assert effects(run_id) == ["payment.compensate"]
    assert event(run_id, "resolve").worker == "mei"
    assert not Escalation.objects.filter(run_id=run_id, resolved_at=None).exists()
    assert reason(run_id)["kind"] == "resolved"


def test_resolving_a_run_past_its_pivot_as_failed_refunds_its_confirmations() -> None:
    run_id = sagas.start(Paid, Experiment(faults={"one.confirm": 9}))
    sagas.confirm(run_id, "payment", {})
    carry(run_id)
    # While a person has it, it is settled all the same
    assert sagas.confirm(run_id, "payment", {}).settled
    assert sagas.confirm(run_id, "payment", {}).state is State.ESCALATED
    assert _fail(run_id) is State.COMPENSATING
    carry(run_id)
    undone_once(run_id, "payment")


def test_a_refund_from_before_an_escalation_is_not_repeated() -> None:
    run_id = sagas.start(Paid, Experiment(reject=("three",), faults={"one.compensate": 9}))
    sagas.confirm(run_id, "payment", {})
    carry(run_id)
    assert state(run_id) is State.ESCALATED
    assert _fail(run_id) is State.FAILED
    undone_once(run_id, "payment")


def test_an_operator_vouches_for_a_failed_refund_and_the_other_is_still_made() -> None:
    # Given a run whose payment cannot be given back by itself
    run_id = sagas.start(Closing, Experiment(reject=("two",), faults={"payment.compensate": 9}))
    for name in ("payment", "approval"):
        sagas.confirm(run_id, name, {})
    carry(run_id)
    assert Escalation.objects.get(run_id=run_id).step == "payment"

    # When somebody has paid it back, and ends the run
    assert _fail(run_id) is State.COMPENSATING
    carry(run_id)

    # Then
    assert state(run_id) is State.FAILED
    assert [effect for effect in effects(run_id) if effect.startswith(("pay", "app"))] == ["approval.compensate"]


def test_a_refund_that_fails_after_a_resolution_escalates_again() -> None:
    run_id = _stuck(Paid)
    Run.objects.filter(pk=run_id).update(request={"faults": {"payment.compensate": 9}})
    _fail(run_id)
    carry(run_id)
    assert state(run_id) is State.ESCALATED
    assert Escalation.objects.get(run_id=run_id, resolved_at=None).step == "payment"
    assert _fail(run_id) is State.FAILED


def test_resolving_a_run_as_succeeded_refunds_nothing() -> None:
    run_id = _stuck(Paid)
    assert sagas.resolve(run_id, outcome=State.SUCCEEDED, by="mei", note="delivered") is State.SUCCEEDED
    assert effects(run_id) == []
    assert sagas.confirm(run_id, "payment", {}).settled


# -- What whoever brings it is told ---------------------------------------------------------------------------


def test_a_confirmation_is_settled_once_the_run_is_past_its_pivot() -> None:
    run_id = sagas.start(Paid, Experiment())
    assert not sagas.confirm(run_id, "payment", {}).settled
    carry(run_id)
    repeat = sagas.confirm(run_id, "payment", {})
    assert (repeat.settled, repeat.state, repeat.first) == (True, State.SUCCEEDED, False)


def test_the_last_confirmation_is_settled_at_once() -> None:
    run_id = sagas.start(Paid, Experiment())
    carry(run_id)
    receipt = sagas.confirm(run_id, "payment", {})
    assert (receipt.settled, receipt.state) == (True, State.CONFIRMING)


@pytest.mark.parametrize("done", [False, True], ids=["being undone", "undone"])
def test_a_late_confirmation_is_refused_with_an_error(done: bool) -> None:
    run_id = sagas.start(Paid, Experiment())
    carry(run_id)
    sagas.cancel(run_id)
    if done:
        carry(run_id)
    for _ in range(2):
        with pytest.raises(AlreadyDecided) as raised:
            sagas.confirm(run_id, "payment", {})
        assert raised.value.state == (State.FAILED if done else State.COMPENSATING)
    carry(run_id)
    undone_once(run_id)
