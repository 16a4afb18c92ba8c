"""Sagas with steps in another database, which do what their request says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sagas import Accepted, Call, Confirmation, Outcome, Parallel, Rejected, Retry, Saga, Step, Tcc, set_based
from tests.lab.personal_data import Visit
from tests.lab.sagas import QUICK, Experiment, Jars, demand, jars, judge, leave_all, mark, mark_all
from tests.loyalty.models import Purse, PurseHold, Ribbon, Stamp

#: What a test does in the middle of a call, by "step.operation": before the participant's effect.
INTERRUPTIONS: dict[str, Callable[[Call[Any]], None]] = {}


def _interrupt(call: Call[Any]) -> None:
    interruption = INTERRUPTIONS.get(f"{call.step}.{call.operation}")
    if interruption is not None:
        interruption(call)


def _judge(call: Call[Experiment]) -> None:
    _interrupt(call)
    judge(call)


def stamp(call: Call[Experiment]) -> dict[str, str]:
    """One call: leave a stamp, then fail if asked to."""
    Stamp.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    _judge(call)
    return {"by": call.step}


@set_based
def stamp_all(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """Set-based: the same for a whole cohort; one that breaks breaks the set."""
    return leave_all(Stamp, calls, _judge)


class Purses(Jars):
    """The pool of purses, which tests interrupt besides."""

    def judge(self, call: Call[Experiment]) -> None:
        """Let the test do what it wants in the middle of the call; then as for a jar."""
        _judge(call)


purses = Purses(pool=Purse, hold=PurseHold, demand=demand, database="loyalty")


def tie(call: Call[Experiment]) -> None:
    """One call: refer to a purse that may not exist, which only the COMMIT there finds out."""
    Ribbon.objects.create(run_id=call.run_id, purse_id=call.request.jar)


def stray(call: Call[Experiment]) -> None:
    """One call that writes in the wrong database."""
    mark(call)


def accept(call: Call[Experiment]) -> Accepted:
    """One call: begin what somebody else will report."""
    Stamp.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    return Accepted(timedelta(seconds=20))


class Afar(Saga[Experiment]):
    """In turns here and there: one-call, set-based and TCC in the other database."""

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(mark, confirm=mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(
        stamp, confirm=stamp, compensate=stamp, queue="coupons", retry=QUICK, finish_retry=QUICK, database="loyalty"
    )
    three = Tcc(purses, queue="inventory", retry=QUICK, finish_retry=QUICK, database="loyalty")
    four = Step(stamp_all, compensate=stamp_all, queue="delivery", retry=QUICK, finish_retry=QUICK, database="loyalty")
    five = Step(mark_all, compensate=mark_all, queue="orders", retry=QUICK, finish_retry=QUICK)


class AfarForked(Saga[Experiment]):
    """At the same time here and there."""

    one = Step(stamp, compensate=stamp, queue="orders", retry=QUICK, finish_retry=QUICK, database="loyalty")
    taken = Parallel(
        two=Step(stamp_all, compensate=stamp_all, queue="coupons", retry=QUICK, finish_retry=QUICK, database="loyalty"),
        three=Tcc(purses, queue="inventory", retry=QUICK, finish_retry=QUICK, database="loyalty"),
        jar=Tcc(jars, queue="inventory", retry=QUICK, finish_retry=QUICK),
        left=Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK),
    )
    four = Step(mark, compensate=mark, queue="delivery", retry=QUICK, finish_retry=QUICK)


class Tied(Saga[Experiment]):
    """Its step breaks at the COMMIT there, where there is no such purse."""

    one = Step(tie, queue="orders", retry=QUICK, database="loyalty")


class Astray(Saga[Experiment]):
    """Its second step writes in another database than it says."""

    one = Step(stamp, compensate=stamp, queue="orders", retry=QUICK, finish_retry=QUICK, database="loyalty")
    two = Step(stray, compensate=stamp, queue="orders", retry=QUICK, finish_retry=QUICK, database="loyalty")


class AfarReported(Saga[Experiment]):
    """Its step there ends when somebody says so."""

    one = Step(accept, compensate=stamp, queue="orders", retry=QUICK, finish_retry=QUICK, database="loyalty")


class AfarPatient(Saga[Experiment]):
    """Its step there is tried for a while."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(
        stamp,
        compensate=stamp,
        queue="coupons",
        retry=Retry(attempts=200, delay=timedelta(seconds=0.2), factor=1),
        database="loyalty",
    )


def enroll(call: Call[Visit]) -> dict[str, Any]:
    """One call: return something personal, or say no with it."""
    if call.step == call.request.refuse:
        raise Rejected(f"{call.request.phone} is a member already")
    Stamp.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
    return {"card": {"holder": f"Ms {call.request.phone[-4:]}", "kind": "gold"}}


class Membership(Saga[Visit]):
    """Knows people, whose cards are in the other database."""

    enrolled = Step(
        enroll,
        compensate=enroll,
        queue="orders",
        retry=QUICK,
        finish_retry=QUICK,
        personal=("card.holder",),
        database="loyalty",
    )
    welcomed = Step(enroll, queue="orders", retry=QUICK, personal=("card.holder",), database="loyalty")
