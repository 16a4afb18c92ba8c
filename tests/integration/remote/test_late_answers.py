"""Answers of another system that come when a person has the run, or when it has ended and was erased."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import pytest

import sagas
from sagas import (
    Done,
    Parallel,
    Personal,
    Rejected,
    Retry,
    Saga,
    State,
    Step,
)
from sagas.decisions.messages import RemoteCalls
from sagas.engine.invocation import Fault
from sagas.engine.outside import remote_calls
from sagas.engine.outside.remote_calls import Answered
from sagas.engine.outside.remote_threads import perform_calls_now
from sagas.models import Log
from sagas.remote import HttpParticipant
from tests.integration.remote.test_steps import TOKEN, begun
from tests.lab.sagas import QUICK, Experiment, mark, wanted_points
from tests.lab.sagas import points as there
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.points import Points, needs_node
from tests.support.runs import effects, event, let_time_pass, mend, state, story

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def points(node: Points, monkeypatch: pytest.MonkeyPatch) -> Iterator[Points]:
    monkeypatch.setenv("LAB_POINTS_URL", node.url)
    monkeypatch.setenv("LAB_POINTS_TOKEN", TOKEN)
    yield node
    node.recover()


def carried(*ids: UUID) -> None:
    Carrier().run(ids)


def carry_but(operation: str) -> list[RemoteCalls]:
    """Carry whatever is due, and make all calls but those of this operation, which are given back."""
    held: list[RemoteCalls] = []
    waiting = chains(claim_all())
    while waiting := waiting or chains(claim_all()):
        performed, following = deliver(waiting.pop(0))
        for message in performed.messages:
            if isinstance(message, RemoteCalls) and message.link.operation == operation:
                held.append(message)
            elif isinstance(message, RemoteCalls):
                waiting += chains(perform_calls_now(message))
        waiting += [*chains(performed.messages), *([following] if following else [])]
    return held


def answer(calls: RemoteCalls, said: Done | Rejected | Fault, duration_us: int = 1) -> None:
    """Record what the other side has said to a call."""
    remote_calls.finish_calls(calls.link, [Answered(calls.calls[0], False, said, duration_us)], worker="late")


# -- A person has the run -------------------------------------------------------------------------------------


class Sent(Saga[Experiment]):
    """Behind the pivot two at the same time, one of them in another system."""

    one = Step(mark, queue="orders", retry=QUICK, pivot=True)
    sent = Parallel(
        left=Step(there.post("/debits", wanted_points), queue="delivery", retry=QUICK),
        right=Step(mark, queue="orders", retry=Retry(attempts=1)),
    )


class Recalled(Saga[Experiment]):
    """The undo of its second step is tried once."""

    one = Step(mark, compensate=mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    debit = Step(
        there.post("/debits", wanted_points),
        compensate=there.delete("/debits"),
        queue="coupons",
        finish_retry=Retry(attempts=1),
    )
    four = Step(mark, queue="delivery", retry=QUICK)


def escalated(account: str = "") -> tuple[UUID, RemoteCalls]:
    """A run that a person has for one of two branches, while the call of the other is under way."""
    run_id = sagas.start(Sent, Experiment(jar=account, quantity=1, faults={"right.forward": 99}))
    (call,) = carry_but("forward")
    assert state(run_id) is State.ESCALATED
    return run_id, call


@needs_node
def test_a_branch_answered_during_an_escalation_is_called_again(points: Points, account: str) -> None:
    # Given
    run_id, call = escalated(account)

    # When the other system answers while a person looks at what broke on the right
    perform_calls_now(call)

    # Then he sees that, and the log has no effect that the run has not
    assert story(run_id)[-1] == "late_answer"
    assert (event(run_id, "late_answer").step, event(run_id, "late_answer").data) == (
        "left",
        {"operation": "forward", "outcome": "DONE"},
    )
    assert effects(run_id) == ["one.forward"]

    # And when he resumes it, the other system is asked again, and has done it once
    mend(run_id)
    sagas.resume(run_id, by="mei", note="mended")
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert story(run_id).count("left.forward INTENT") == 2
    assert points.account(account)[0] == 99


@needs_node
def test_an_undo_answered_during_an_escalation_is_called_again(points: Points, account: str) -> None:
    # Given the last attempt of an undo, whose worker stands still beyond its lease
    run_id = sagas.start(Recalled, Experiment(jar=account, quantity=1, reject=("four",)))
    (call,) = carry_but("compensate")
    let_time_pass(run_id)
    assert carry_but("compensate") == []
    assert state(run_id) is State.ESCALATED

    # When the worker goes on
    perform_calls_now(call)
    assert story(run_id)[-1] == "late_answer"

    # Then the run can be resumed, and the points are back once
    sagas.resume(run_id, by="mei", note="the points are back")
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert points.account(account)[0] == 100


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (Rejected("rain", code="NoCourier"), {"outcome": "REJECTED", "code": "NoCourier", "detail": "rain"}),
        (Fault(TimeoutError("no answer")), {"outcome": "FAULT", "code": "TimeoutError", "detail": "no answer"}),
    ],
    ids=["no", "fault"],
)
def test_an_operator_sees_late_answers(database: None, said: Rejected | Fault, heard: dict[str, str]) -> None:
    run_id, call = escalated()
    answer(call, said)
    assert heard.items() <= (event(run_id, "late_answer").data or {}).items()
    # Once: what comes again is no news
    before = story(run_id)
    answer(call, said)
    assert story(run_id) == before


# -- Personal data, and what is erased ------------------------------------------------------------------------


@dataclass(frozen=True)
class Who:
    phone: Annotated[str, Personal]


nowhere = HttpParticipant("nowhere", "http://127.0.0.1:9")
PHONE = "13812345678"


class Listed(Saga[Who]):
    debit = Step(nowhere.post("/x"), compensate=nowhere.delete("/x"), queue="orders", retry=QUICK)


class Carded(Saga[Who]):
    debit = Step(nowhere.post("/x"), queue="orders", retry=QUICK, personal=True)


def written(run_id: UUID) -> str:
    data: list[Any] = list(Log.objects.filter(run_id=run_id).values_list("data", flat=True))
    return str(data)


@pytest.mark.parametrize("said", [Rejected(f"{PHONE} is on the list already"), Fault(ValueError(f"{PHONE}?"))], ids=str)
def test_a_late_answer_is_logged_without_personal_data(database: None, said: Rejected | Fault) -> None:
    # Given a run that was turned back while its call was on its way
    run_id = sagas.start(Listed, Who(PHONE))
    call = begun(run_id)
    sagas.cancel(run_id)

    # When it is answered with what is personal in the request
    answer(call, said)

    # Then people read why, and not that
    assert story(run_id)[-1] in {"debit.forward REJECTED", "debit.forward FAULT"}
    assert "'detail': '" in written(run_id)
    assert PHONE not in written(run_id)


@pytest.mark.parametrize(
    "said", [Done({"holder": PHONE}), Rejected(f"{PHONE} is on the list already"), Fault(ValueError(PHONE))], ids=str
)
def test_a_late_answer_restores_no_erased_data(
    database: None, said: Done | Rejected | Fault, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a run that has ended, and was erased, while its call was on its way
    run_id = sagas.start(Carded, Who(PHONE), business_key="K")
    call = begun(run_id)
    sagas.cancel(run_id)
    let_time_pass(run_id)
    carried(run_id)
    assert state(run_id) is State.FAILED
    sagas.erase(business_key="K", by="dpo")
    caplog.clear()

    # When it is answered
    answer(call, said)

    # Then that is on record, and nothing of what was said: nobody knows any more what of it is personal
    assert story(run_id)[-1].startswith("debit.forward ")
    assert PHONE not in written(run_id)
    assert caplog.text == ""


def test_a_call_that_took_longer_than_the_log_can_say_is_recorded(database: None) -> None:
    run_id = sagas.start(Carded, Who(PHONE))
    answer(begun(run_id), Done(), duration_us=2_200_000_000)
    assert state(run_id) is State.SUCCEEDED
    assert Log.objects.get(run_id=run_id, outcome="DONE").duration_us == 2_147_483_647
