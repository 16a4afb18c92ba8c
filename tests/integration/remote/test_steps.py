"""Steps in another system, over HTTP: a real Node.js process, a real database, and the messages in our hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any, NoReturn
from uuid import UUID

import pytest
from django.db import transaction
from kombu.exceptions import OperationalError

import sagas
from sagas import State
from sagas.conf import config
from sagas.decisions.messages import Kick, Message, RemoteCalls
from sagas.delivery import dispatching
from sagas.delivery.carrier import CarrierAway, carry
from sagas.delivery.short_path import ShortPath
from sagas.engine.outside import remote_calls, remote_threads
from sagas.engine.outside.remote_threads import _call, _participant, perform_calls_now
from sagas.messaging import publisher
from sagas.messaging.publisher import Publisher
from sagas.models import Log, Run
from sagas.remote import ClientError
from tests.lab.sagas import Experiment, Promised, Rewarded, Told
from tests.lab.sagas import points as points_of_the_lab
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.points import Points, needs_node
from tests.support.runs import effects, escalation, let_time_pass, make_due, never, reason, state, story

pytestmark = [pytest.mark.usefixtures("alone"), needs_node]

TOKEN = "a-token-that-nobody-may-read"


@pytest.fixture
def points(node: Points, monkeypatch: pytest.MonkeyPatch) -> Iterator[Points]:
    monkeypatch.setenv("LAB_POINTS_URL", node.url)
    monkeypatch.setenv("LAB_POINTS_TOKEN", TOKEN)
    yield node
    node.recover()


def carried(*ids: UUID, random: Random | None = None, copies: int = 1) -> None:
    Carrier(random=random, copies=copies).run(ids)


def begun(run_id: UUID, *, step: str = "debit") -> RemoteCalls:
    """Carry a run to the point where its remote step has been begun, and its call not been made."""
    waiting = chains(claim_all())
    found: list[Message] = []
    while waiting:
        performed, following = deliver(waiting.pop(0))
        found += performed.messages
        waiting += [*chains(performed.messages), *([following] if following else [])]
    calls = [message for message in found if isinstance(message, RemoteCalls)]
    assert [(c.link.step, [call.run_id for call in c.calls]) for c in calls] == [(step, [run_id])]
    return calls[0]


def in_flight(call: RemoteCalls, points: Points) -> tuple[threading.Thread, list[Any]]:
    """Make a call that the other side executes and then holds; its answers are for ``remote_calls.finish_calls``."""
    answered: list[Any] = []

    def make() -> None:
        answered.append(_call(_participant(call.link), call.calls[0], begun=False, link=call.link))

    thread = threading.Thread(target=make)
    thread.start()
    eventually(lambda: points.holding() == 1, what="the other side holds the caller")
    return thread, answered


def start(account: str, quantity: int = 10, **what: Any) -> UUID:
    return sagas.start(Rewarded, Experiment(jar=account, quantity=quantity, **what))


def test_a_remote_step_is_done(points: Points, account: str) -> None:
    run_id = start(account)
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert story(run_id) == [
        "start",
        "one.forward DONE",
        "debit.forward INTENT",
        "debit.forward DONE",
        "four.forward DONE",
    ]
    assert Run.objects.get(pk=run_id).results["debit"] == {"left": 90}
    assert points.account(account) == (90, 0)
    done = Log.objects.get(run_id=run_id, step="debit", outcome="DONE")
    assert done.duration_us > 0
    assert done.undone_by == "points: DELETE /debits"


def test_a_cohort_stays_one_cohort_after_its_remote_calls(points: Points, account: str) -> None:
    ids = [start(account, 1) for _ in range(4)]
    carrier = Carrier()
    carrier.run(ids)
    assert {state(run_id) for run_id in ids} == {State.SUCCEEDED}
    assert [(chain.links[0].step, len(chain.ids)) for chain in carrier.delivered] == [
        ("one", 4),
        ("debit", 4),
        ("four", 4),
    ]


def test_a_rejected_remote_step_undoes_the_run(points: Points, account: str) -> None:
    run_id = start(account, 101)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert (reason(run_id)["kind"], reason(run_id)["code"]) == ("rejected", "NotEnoughPoints")
    assert reason(run_id)["detail"] == "101 wanted, 100 left"
    # The step itself is undone too: an earlier attempt might have been done.
    assert effects(run_id) == ["one.forward", "debit.compensate", "one.compensate"]
    assert points.account(account) == (100, 0)


@pytest.mark.parametrize("code", ["No\x00", "\ud800", "two\nlines", ""])
def test_a_rejection_whose_code_cannot_be_stored_is_still_a_rejection(points: Points, account: str, code: str) -> None:
    points.fail(on="POST /debits", do="status", status=409, body={"code": code, "detail": f"no{code}"})
    run_id = start(account)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert (reason(run_id)["kind"], reason(run_id)["code"]) == ("rejected", "Rejected")
    assert points.account(account) == (100, 0)


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "status", "status": 500},
        {"do": "status", "status": 503, "stage": "after"},
        {"do": "status", "status": 302, "headers": {"Location": "/debits"}},
        {"do": "status", "status": 404},
        {"do": "reset"},
        {"do": "cut"},
        {"do": "huge", "bytes": 70_000},
        {"do": "trickle"},
        {"do": "hold"},
    ],
    ids=lambda fault: f"{fault['do']}{fault.get('status', '')}",
)
def test_a_failed_attempt_is_retried_with_one_effect(points: Points, account: str, fault: dict[str, Any]) -> None:
    # Given a participant that breaks, before it executes or after, the first time it is called
    points.fail(on="POST /debits", **fault)
    run_id = start(account)

    # When
    carried(run_id)

    # Then
    assert state(run_id) is State.SUCCEEDED
    assert effects(run_id) == ["one.forward", "debit.forward", "four.forward"]
    assert points.account(account) == (90, 0)


def test_an_unanswered_operation_is_found_by_a_query(points: Points, account: str) -> None:
    # Given a participant that executes, and cuts off every answer
    points.fail(on="POST /debits", do="reset", times=100)
    run_id = start(account)

    # Then the first question settles it
    carried(run_id)
    assert story(run_id)[2:4] == ["debit.forward INTENT", "debit.forward DONE"]
    assert Run.objects.get(pk=run_id).results["debit"] == {"left": 90}
    assert points.account(account) == (90, 0)


def test_a_remote_step_out_of_attempts_is_undone_by_key(points: Points, account: str) -> None:
    # Given one that executes but can neither say so nor be asked
    points.fail(on="POST /debits", do="reset", times=100)
    from tests.lab.sagas import points as participant

    participant._query = ""
    try:
        run_id = start(account)
        carried(run_id)
    finally:
        participant._query = "/operations"

    # Then
    assert state(run_id) is State.FAILED
    assert story(run_id).count("debit.forward INTENT") == story(run_id).count("debit.forward FAULT") == 3
    assert reason(run_id)["code"] == "Unanswered"
    assert effects(run_id) == ["one.forward", "debit.compensate", "one.compensate"]
    assert points.account(account) == (100, 0)


def test_an_invalid_request_is_not_retried(points: Points, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a participant that will never take this request
    never(monkeypatch, Rewarded, ClientError)
    points.fail(on="POST /debits", do="status", status=422, times=100)
    run_id = start(account)

    # Then one attempt is enough; and it was sent, so it is undone there
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert story(run_id).count("debit.forward INTENT") == story(run_id).count("debit.forward FAULT") == 1
    assert (reason(run_id)["code"], reason(run_id)["detail"]) == ("ClientError", "HTTP 422")
    assert effects(run_id) == ["one.forward", "debit.compensate", "one.compensate"]


def test_an_undo_with_an_invalid_request_escalates_at_once(
    points: Points, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    never(monkeypatch, Rewarded, ClientError)
    points.fail(on="DELETE /debits", do="status", status=400, times=100)
    run_id = start(account, reject=("four",))
    carried(run_id)
    assert state(run_id) is State.ESCALATED
    assert story(run_id).count("debit.compensate INTENT") == 1
    points.recover()
    sagas.resume(run_id, by="a test")
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert points.account(account) == (100, 0)


def test_other_errors_are_retried(points: Points, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    never(monkeypatch, Rewarded, ClientError)
    points.fail(on="POST /debits", do="status", status=429, times=2)
    run_id = start(account)
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert story(run_id).count("debit.forward FAULT") == 2


def test_an_operation_that_never_reached_the_participant_is_not_undone(
    points: Points, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given nobody there
    monkeypatch.setenv("LAB_POINTS_URL", "http://127.0.0.1:1")
    run_id = start(account)
    carried(run_id)

    # Then nothing was sent, so there is nothing to undo there, and nobody needs to be called for that
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "one.compensate"]
    assert (reason(run_id)["code"], reason(run_id)["detail"]) == ("NotSent", "Connection refused")


def test_the_answer_not_yet_costs_no_attempt(points: Points, account: str) -> None:
    # Given a participant that says "not yet" more often than there are attempts
    points.fail(on="POST /debits", do="status", status=425, times=5, headers={"Retry-After": "7"})
    run_id = start(account)
    for _ in range(5):
        carried(run_id)
        # Then it is asked again when it wished
        assert state(run_id) is State.EXECUTING
        run = Run.objects.get(pk=run_id)
        assert run.attempt == 0
        assert run.due_at is not None
        assert 5 < (run.due_at - Log.objects.filter(run_id=run_id).latest("id").at).total_seconds() < 8
        make_due([run_id])
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert story(run_id).count("not_yet") == 5
    assert points.account(account) == (90, 0)


def test_the_answer_not_yet_does_not_exclude_an_effect(points: Points, account: str) -> None:
    # Given one who executes, and says "not yet": as to a request that the network doubled, which meets itself
    points.fail(on="POST /debits", do="status", status=425, stage="after", headers={"Retry-After": "60"})
    run_id = start(account)
    carried(run_id)
    assert (state(run_id), points.account(account)) == (State.EXECUTING, (90, 0))

    # When the run is cancelled before it asks again
    sagas.cancel(run_id)
    carried(run_id)

    # Then
    assert state(run_id) is State.FAILED
    assert points.account(account) == (100, 0)


def test_the_answer_not_yet_for_too_long_costs_an_attempt(
    points: Points, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.lab.sagas import points as participant

    monkeypatch.setattr(participant, "patience", 1e-6)
    points.fail(on="POST /debits", do="status", status=425, times=100)
    run_id = start(account)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert reason(run_id)["code"] == "StillNotYet"
    # It was asked, so it is asked to undo: what was never done is undone by doing nothing
    assert effects(run_id) == ["one.forward", "debit.compensate", "one.compensate"]
    assert points.account(account) == (100, 0)


def test_a_kill_between_intent_and_call_is_left_to_the_lease(points: Points, account: str) -> None:
    # Given a call that was begun and never made
    run_id = start(account)
    begun(run_id)
    assert story(run_id)[-1] == "debit.forward INTENT"

    # When its lease is not over, nothing happens
    make_due([run_id])
    carried(run_id)
    assert story(run_id)[-1] == "debit.forward INTENT"

    # And when it is, that attempt has failed, and the next is made
    let_time_pass(run_id)
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED
    assert story(run_id)[2:6] == [
        "debit.forward INTENT",
        "debit.forward FAULT",
        "debit.forward INTENT",
        "debit.forward DONE",
    ]
    assert points.account(account) == (90, 0)


def test_an_answer_that_comes_after_its_lease_counts(points: Points, account: str) -> None:
    # Given a call that is executed and not answered, until the next attempt is under way
    run_id = start(account)
    first = begun(run_id)
    points.fail(on="POST /debits", do="hold")
    thread, answered = in_flight(first, points)
    let_time_pass(run_id)
    for chain in chains(claim_all()):
        deliver(chain)
    assert story(run_id)[-1] == "debit.forward FAULT"

    # When it is answered
    points.recover()
    thread.join()
    carrier = Carrier()
    carrier.post(remote_calls.finish_calls(first.link, answered, worker="late"))

    # Then that is what happened
    assert story(run_id)[-1] == "debit.forward DONE"
    carrier.run([run_id])
    assert state(run_id) is State.SUCCEEDED
    assert points.account(account) == (90, 0)


def test_one_of_two_answered_attempts_counts(points: Points, account: str) -> None:
    run_id = start(account)
    first = begun(run_id)
    let_time_pass(run_id)
    carried(run_id, random=None)
    assert state(run_id) is State.SUCCEEDED
    before = story(run_id)
    assert perform_calls_now(first) == []
    assert story(run_id) == before
    assert points.account(account) == (90, 0)


def test_a_cancel_while_a_call_is_in_flight_waits_for_its_outcome(points: Points, account: str) -> None:
    # Given a call that is executed, and whose caller does not know yet
    run_id = start(account)
    call = begun(run_id)
    points.fail(on="POST /debits", do="hold")
    thread, answered = in_flight(call, points)

    # When the run is cancelled
    sagas.cancel(run_id)
    carried(run_id)

    # Then nothing is undone yet
    assert effects(run_id) == ["one.forward"]

    # And when it is answered, that is on record, and then undone
    points.recover()
    thread.join()
    remote_calls.finish_calls(call.link, answered, worker="late")
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "debit.forward", "debit.compensate", "one.compensate"]
    assert points.account(account) == (100, 0)


def test_an_undo_that_overtakes_its_call_blocks_it(points: Points, account: str) -> None:
    # Given a run that was cancelled, and undone, while its call was on its way for ever
    run_id = start(account)
    call = begun(run_id)
    sagas.cancel(run_id)
    let_time_pass(run_id)
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert effects(run_id) == ["one.forward", "debit.compensate", "one.compensate"]

    # When it arrives after all
    assert perform_calls_now(call) == []

    # Then the other side does not do it
    assert points.account(account) == (100, 0)
    assert state(run_id) is State.FAILED


def test_an_answer_to_an_ended_run_is_logged(points: Points, account: str) -> None:
    # Given a step that cannot be undone, and a run that was cancelled, and has ended, while its call was on its way
    run_id = sagas.start(Told, Experiment(jar=account, quantity=10))
    call = begun(run_id)
    sagas.cancel(run_id)
    let_time_pass(run_id)
    carried(run_id)
    assert state(run_id) is State.FAILED

    # When it is answered
    remote_calls.finish_calls(
        call.link, [_call(_participant(call.link), call.calls[0], begun=False, link=call.link)], worker="late"
    )

    # Then everybody can see it
    assert story(run_id)[-1] == "debit.forward DONE"
    assert state(run_id) is State.FAILED


def test_an_undo_that_always_fails_escalates(points: Points, account: str) -> None:
    points.fail(on="DELETE /debits", do="status", status=500, times=1000)
    run_id = start(account, reject=("four",))
    carried(run_id)
    assert state(run_id) is State.ESCALATED
    assert (escalation(run_id).step, escalation(run_id).error["detail"]) == ("debit", "HTTP 500")
    points.recover()
    sagas.resume(run_id, by="a test")
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert points.account(account) == (100, 0)


def promise(account: str, quantity: int = 10, **what: Any) -> UUID:
    return sagas.start(Promised, Experiment(jar=account, quantity=quantity, **what))


@pytest.mark.parametrize("seed", range(2))
def test_a_reservation_in_a_fork_is_confirmed(points: Points, account: str, seed: int) -> None:
    ids = [promise(account) for _ in range(2)]
    carried(*ids, random=Random(seed), copies=2)
    assert {state(run_id) for run_id in ids} == {State.AWAITING_CONFIRM}
    assert points.account(account) == (80, 20)
    for run_id in ids:
        sagas.confirm(run_id, "approval", {})
    carried(*ids, random=Random(seed), copies=2)
    assert {state(run_id) for run_id in ids} == {State.SUCCEEDED}
    assert points.account(account) == (80, 0)
    for run_id in ids:
        assert effects(run_id)[-1] == "held.confirm"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("refuses", ["left", "four", "held"])
def test_a_reservation_in_a_fork_is_cancelled(points: Points, account: str, refuses: str, seed: int) -> None:
    run_id = promise(account, 1000 if refuses == "held" else 10, reject=(refuses,))
    carried(run_id, random=Random(seed), copies=2)
    assert state(run_id) is State.FAILED
    assert points.account(account) == (100, 0)


def test_attempts_in_a_fork_are_counted_by_branch(points: Points, account: str) -> None:
    points.fail(on="POST /reservations", do="status", status=425, times=1)
    points.fail(on="POST /reservations", do="reset", times=1)
    run_id = promise(account, faults={"left.forward": 2})
    carried(run_id)
    assert story(run_id).count("left.forward DONE") == 1
    assert (Run.objects.get(pk=run_id).pending or {})["held"]["failed"] == 0

    # When the branch that was put off is looked at, as every tick does
    let_time_pass(run_id)
    carrier = Carrier()
    carrier.post(claim_all(lapsed=True))
    carrier.run([run_id])

    # Then
    assert state(run_id) is State.AWAITING_CONFIRM
    assert Log.objects.get(run_id=run_id, step="held", outcome="DONE").attempt == 1
    assert Log.objects.get(run_id=run_id, step="left", outcome="DONE").attempt == 3
    assert points.account(account) == (90, 10)


def test_no_more_calls_are_begun_than_the_concurrency_allows(
    points: Points, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a lane of which one place is left
    from sagas.remote import lanes

    lane = lanes.lane_of(points_of_the_lab.post("/debits"))
    monkeypatch.setattr(lane, "_busy", 3)
    monkeypatch.setattr(lane, "_pace", 100)
    ids = [start(account) for _ in range(3)]

    # When three come
    carried(*ids)

    # Then one goes; the others wait in the database, for a while, without an attempt and without a claim
    assert sorted(state(run_id) for run_id in ids) == [State.EXECUTING, State.EXECUTING, State.SUCCEEDED]
    waiting = Run.objects.filter(pk__in=ids, state=State.EXECUTING)
    assert {(run.attempt, run.claims, run.pending) for run in waiting} == {(0, 0, None)}
    assert chains(claim_all()) == []
    monkeypatch.setattr(lane, "_busy", 0)
    make_due(ids)
    carried(*ids)
    assert {state(run_id) for run_id in ids} == {State.SUCCEEDED}
    assert points.account(account) == (70, 0)


def test_no_call_is_made_in_a_transaction(points: Points, account: str) -> None:
    call = begun(start(account))
    with transaction.atomic(), pytest.raises(AssertionError, match="INTENT"):
        perform_calls_now(call)
    with transaction.atomic(), pytest.raises(AssertionError, match="INTENT"):
        remote_threads.start_remote_calls(call, lambda _: None)
    assert points.account(account) == (100, 0)


def test_a_begun_call_is_made_though_the_broker_refuses_other_messages(
    points: Points, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run whose call was lost with its worker, and a new one, which come to the step together
    lost = sagas.start(Told, Experiment(jar=account, quantity=1))
    (chain,) = chains(claim_all())
    deliver(chain)
    let_time_pass(lost)
    new = sagas.start(Told, Experiment(jar=account, quantity=1))
    claim_all()
    performed, _ = deliver(replace(chain, ids=(lost, new)))
    assert [type(message) for message in performed.messages] == [Kick, RemoteCalls]

    # When RabbitMQ refuses the kick for the next attempt of the first
    monkeypatch.setattr(publisher, "send_task", refused)
    with pytest.raises(CarrierAway):
        carry(performed.messages, Publisher)

    # Then the call of the second, whose INTENT is committed, was made all the same
    assert remote_threads.drain_remote_calls(20)
    assert story(new)[-1] == "debit.forward DONE"
    assert points.account(account) == (99, 0)


def test_a_dispatcher_leaves_a_remote_step_to_its_queue(account: str) -> None:
    # Given a run whose first step is remote
    run_id = sagas.start(Told, Experiment(jar=account, quantity=1))

    # When a dispatcher claims it that could perform local steps itself
    dispatching.dispatch(Publisher, ShortPath(queues=config().queues))

    # Then the step is not begun: it comes as a message
    assert [line for line in story(run_id) if line.startswith("debit.")] == []


def refused(*_args: object, **_kwargs: object) -> NoReturn:
    raise OperationalError("nacked")


def test_a_call_carries_its_run_step_operation_key_and_trace(
    points: Points, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagas.remote import client, exchange

    sent: list[exchange.Request] = []

    def noted(request: exchange.Request, **how: Any) -> exchange.Reply:
        sent.append(request)
        return exchange.exchange(request, **how)

    monkeypatch.setattr(client, "exchange", noted)
    run_id = start(account, reject=("four",))
    carried(run_id)
    debit, refund = sent
    trace = Run.objects.get(pk=run_id).trace_id.hex
    assert debit.headers["X-Tx-ID"] == refund.headers["X-Tx-ID"] == str(run_id)
    assert debit.headers["X-Branch-ID"] == "debit"
    assert (debit.headers["X-Operation"], refund.headers["X-Operation"]) == ("forward", "compensate")
    assert debit.headers["Idempotency-Key"] == f"{run_id}:debit:forward"
    assert refund.headers["Idempotency-Key"] == f"{run_id}:debit:compensate"
    assert debit.headers["traceparent"].startswith(f"00-{trace}-")
    assert debit.headers["traceparent"] != refund.headers["traceparent"]
    assert refund.body is None


def test_secrets_are_never_stored(
    points: Points, account: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a participant that breaks in every way, and a token that it does not accept
    caplog.set_level("DEBUG")
    monkeypatch.setenv("LAB_POINTS_TOKEN", f"{TOKEN}\n")
    ids = [start(account)]
    carried(*ids)
    monkeypatch.setenv("LAB_POINTS_TOKEN", f"{TOKEN}-wrong")
    ids.append(start(account))
    carried(*ids)

    # Then
    assert state(ids[0]) is State.FAILED
    assert state(ids[1]) is State.ESCALATED
    logged = [repr(row) for row in Log.objects.filter(run_id__in=ids).values_list("data", flat=True)]
    assert any("HTTP 401" in row for row in logged)
    told = [*logged, repr(escalation(ids[1]).error), caplog.text, repr(reason(ids[0]))]
    assert not any(TOKEN in text for text in told)
