"""What is handed in and cannot be kept is refused where it is handed in, and the caller's transaction goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

import sagas
from sagas import Accepted, Done, Rejected, State, selectors
from sagas.definition.events import Event
from sagas.definition.participants import NotYet
from sagas.errors import (
    DefinitionError,
    InvalidArgument,
    InvalidDecision,
    InvalidRequest,
    RunExists,
    RunNotFound,
    SagaError,
    UnknownConfirmation,
    UnknownStep,
)
from sagas.messaging.consumer import first_time
from sagas.models import Log, Run
from tests.integration.engine.test_lifecycle import run_in
from tests.lab.sagas import Experiment, Keyed, Lab, Reported
from tests.support.carrier import Carrier
from tests.support.runs import counts, event, new_jar, reason, state, story

pytestmark = pytest.mark.usefixtures("alone")

Call = Callable[[UUID], object]
UNFIT = {"nul": "a\x00b", "surrogate": "a\ud800", "long": "x" * 65, "number": 5, "nothing": None, "bytes": b"ORD"}
NAMELESS = ["nonsense", "", "0", "x" * 40, "\x00", "\ud800", "019", 5, 2**128, None, b"\x00" * 16, ["a"], 1.5]


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


def refused(error: type[Exception], call: Callable[[], object]) -> Exception:
    """The error of a call that is made in a transaction, which can go on."""
    with transaction.atomic():
        with pytest.raises(error) as raised:
            call()
        assert isinstance(raised.value, SagaError)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
    return raised.value


@pytest.mark.parametrize("key", UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize("experiment", [Experiment(), Experiment(keys=("a", "b"))], ids=["no lock", "locks"])
def test_a_business_key_that_cannot_be_stored_starts_nothing(key: Any, experiment: Experiment) -> None:
    refused(InvalidRequest, lambda: sagas.start(Lab, experiment, business_key=key))
    assert not Run.objects.exists()


@pytest.mark.parametrize("run_id", [name for name in NAMELESS if name is not None], ids=repr)
def test_an_invalid_id_starts_nothing(run_id: Any) -> None:
    refused(InvalidRequest, lambda: sagas.start(Lab, Experiment(), run_id=run_id))
    assert not Run.objects.exists()


@pytest.mark.parametrize("saga", [Lab, Keyed])
def test_an_id_that_is_taken_starts_nothing(saga: type[sagas.Saga[Experiment]]) -> None:
    first = sagas.start(saga, Experiment(keys=("a",)))
    refused(RunExists, lambda: sagas.start(saga, Experiment(keys=("a",)), run_id=first))
    assert story(first) == ["start"]
    assert Run.objects.count() == 1


CALLS: dict[str, Call] = {
    "confirm": lambda run_id: sagas.confirm(run_id, "approval", {}),
    "refuse": lambda run_id: sagas.decline(run_id, "approval"),
    "cancel": sagas.cancel,
    "resume": lambda run_id: sagas.resume(run_id, by="mei"),
    "acknowledge": lambda run_id: sagas.acknowledge(run_id, by="mei"),
    "assign": lambda run_id: sagas.assign(run_id, to="bo", by="mei"),
    "resolve": lambda run_id: sagas.resolve(run_id, outcome=State.FAILED, by="mei", note="n"),
    "report": lambda run_id: sagas.report(run_id, "one", Done()),
    "run_view": selectors.run_view,
}


@pytest.mark.parametrize("name", NAMELESS, ids=repr)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_invalid_run_id_is_not_found(call: Call, name: Any) -> None:
    refused(RunNotFound, lambda: call(name))


def test_an_id_may_be_given_as_text() -> None:
    run_id = sagas.start(Lab, Experiment())
    sagas.confirm(str(run_id), "approval", {"ref": 1})  # type: ignore[arg-type]
    assert selectors.run_view(str(run_id)).confirmations.keys() == {"approval"}  # type: ignore[arg-type]
    assert [entry.operation for entry in selectors.timeline(str(run_id))] == ["start", "confirmation"]  # type: ignore[arg-type]


LONG, ODD = "x" * 151, ["mei"]
DECISIONS: dict[str, Call] = {
    "resume, by a long name": lambda run_id: sagas.resume(run_id, by="x" * 200),
    "resume, by no text": lambda run_id: sagas.resume(run_id, by=ODD),  # type: ignore[arg-type]
    "resume, a long note": lambda run_id: sagas.resume(run_id, by="mei", note="n" * 10_001),
    "resume, a note of no text": lambda run_id: sagas.resume(run_id, by="mei", note=None),  # type: ignore[arg-type]
    "acknowledge, by no text": lambda run_id: sagas.acknowledge(run_id, by=5),  # type: ignore[arg-type]
    "assign, to a long name": lambda run_id: sagas.assign(run_id, to=LONG, by="mei"),
    "assign, to nobody": lambda run_id: sagas.assign(run_id, to=None, by="mei"),  # type: ignore[arg-type]
    "resolve, a note of no text": lambda run_id: sagas.resolve(run_id, outcome=State.FAILED, by="mei", note=5),  # type: ignore[arg-type]
    "resolve, as a list": lambda run_id: sagas.resolve(run_id, outcome=[], by="mei", note="n"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("decide", DECISIONS.values(), ids=DECISIONS)
def test_a_decision_that_cannot_be_stored_is_refused(decide: Call) -> None:
    run_id = run_in(State.ESCALATED)
    refused(InvalidDecision, lambda: decide(run_id))
    assert state(run_id) is State.ESCALATED


WISHES: dict[str, Call] = {
    "cancel, by a long name": lambda run_id: sagas.cancel(run_id, by=LONG),
    "cancel, by no text": lambda run_id: sagas.cancel(run_id, by=None),  # type: ignore[arg-type]
    "cancel, a long reason": lambda run_id: sagas.cancel(run_id, reason="n" * 10_001),
    "cancel, a reason of no text": lambda run_id: sagas.cancel(run_id, reason={"a": 1}),  # type: ignore[arg-type]
    "refuse, by no text": lambda run_id: sagas.decline(run_id, "approval", by=5),  # type: ignore[arg-type]
    "refuse, a reason of no text": lambda run_id: sagas.decline(run_id, "approval", reason=5),  # type: ignore[arg-type]
    "confirm, NaN": lambda run_id: sagas.confirm(run_id, "approval", {"price": float("nan")}),
    "confirm, NUL": lambda run_id: sagas.confirm(run_id, "approval", {"id": "a\x00b"}),
    "confirm, NUL in a key": lambda run_id: sagas.confirm(run_id, "approval", {"a\x00b": 1}),
    "confirm, surrogate": lambda run_id: sagas.confirm(run_id, "approval", {"id": "\ud800"}),
    "confirm, deep": lambda run_id: sagas.confirm(run_id, "approval", {"deep": nested(990)}),
    "confirm, very deep": lambda run_id: sagas.confirm(run_id, "approval", {"deep": nested(100_000)}),
    "confirm, an object": lambda run_id: sagas.confirm(run_id, "approval", {"id": object()}),
    "confirm, a list": lambda run_id: sagas.confirm(run_id, "approval", [1]),  # type: ignore[arg-type]
    "confirm, a huge number": lambda run_id: sagas.confirm(run_id, "approval", {"number": 10**5000}),
}


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
def test_arguments_that_cannot_be_stored_are_refused(wish: Call) -> None:
    run_id = sagas.start(Lab, Experiment())
    refused(InvalidArgument, lambda: wish(run_id))
    assert story(run_id) == ["start"]


@pytest.mark.parametrize(
    "name", ["", "x" * 10_000, "a\x00b", "\ud800", 5, None, ["approval"]], ids=lambda n: repr(n)[:9]
)
def test_an_invalid_name_of_a_confirmation_is_unknown(name: Any) -> None:
    run_id = sagas.start(Lab, Experiment())
    refused(UnknownConfirmation, lambda: sagas.confirm(run_id, name, {}))
    refused(UnknownConfirmation, lambda: sagas.decline(run_id, name))


@pytest.mark.parametrize("number", [-1, 0, 2**63, 2**200, "nonsense", "\x00", 1.5])
def test_an_unknown_escalation_number_decides_nothing(number: Any) -> None:
    run_id = run_in(State.ESCALATED)
    refused(SagaError, lambda: sagas.resume(run_id, by="mei", escalation=number))
    refused(SagaError, lambda: sagas.acknowledge(run_id, by="mei", escalation=number))
    assert state(run_id) is State.ESCALATED


@pytest.mark.parametrize("text", ["a\x00b", "\ud800 Lin", "x" * 150], ids=["nul", "surrogate", "long"])
def test_an_operators_text_is_stored_as_far_as_possible(text: str) -> None:
    waiting, cancelled = run_in(State.ESCALATED), run_in(State.PENDING)
    sagas.assign(waiting, to=text, by=text)
    sagas.resolve(waiting, outcome=State.FAILED, by=text, note=text)
    sagas.cancel(cancelled, by=text, reason=text)
    assert event(waiting, "resolve").worker == text.replace("\x00", "").replace("\ud800", "?")[:100]
    assert state(cancelled) is State.COMPENSATING


def test_an_erasure_with_invalid_arguments_is_refused() -> None:
    run_id = run_in(State.FAILED)
    Run.objects.filter(pk=run_id).update(business_key="ORD-1")
    refused(RunNotFound, lambda: sagas.erase(business_key="ORD\x00-1", by="mei"))
    refused(RunNotFound, lambda: sagas.erase(business_key="ORD-1\ud800", by="mei"))
    refused(InvalidArgument, lambda: sagas.erase(business_key="ORD-1", by="x" * 151))
    refused(InvalidArgument, lambda: sagas.erase(business_key="ORD-1", by=""))
    assert "erase" not in story(run_id)


def accepted() -> UUID:
    run_id = sagas.start(Reported, Experiment())
    Carrier().run([run_id])
    return run_id


REPORTS: dict[str, Any] = {
    "NaN": Done(float("nan")),
    "NUL": Done({"a": "\x00"}),
    "surrogate": Done("\ud800"),
    "deep": Done(nested(990)),
    "very deep": Done(nested(100_000)),
    "just too deep": Done(nested(65)),
    "no outcome": "done",
    "nothing": None,
    "accepted": Accepted(timedelta(seconds=1)),
}


@pytest.mark.parametrize("outcome", REPORTS.values(), ids=REPORTS)
def test_a_report_that_cannot_be_stored_is_refused(outcome: Any) -> None:
    run_id = accepted()
    before = story(run_id)
    refused(InvalidArgument, lambda: sagas.report(run_id, "two", outcome))
    assert story(run_id) == before


@pytest.mark.parametrize(
    "step", ["", "nine", "a\x00b", "\ud800", "x" * 1000, 5, None, ["two"]], ids=lambda n: repr(n)[:9]
)
def test_a_report_of_an_unknown_step_is_refused(step: Any) -> None:
    run_id = accepted()
    refused(UnknownStep, lambda: sagas.report(run_id, step, Done()))
    if step:
        refused(UnknownStep, lambda: sagas.report(run_id, "two", Done(), operation=step))


def test_the_text_of_a_rejection_is_stored_as_far_as_possible() -> None:
    run_id = accepted()
    sagas.report(run_id, "two", Rejected("a\x00b\ud800", code=5))  # type: ignore[arg-type]
    why = Run.objects.get(pk=run_id).reason
    assert why is not None
    assert (why["code"], why["detail"]) == ("5", "a\\0b?")


def test_a_steps_result_keeps_its_microseconds() -> None:
    run_id = accepted()
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    sagas.report(run_id, "two", Done({"at": at, "deep": nested(60)}))
    kept = Run.objects.get(pk=run_id).results["two"]
    assert datetime.fromisoformat(kept["at"]) == at
    assert kept["deep"] == nested(60)


@pytest.mark.parametrize("within", [timedelta.max, timedelta(days=40_000)])
def test_a_duration_above_the_limit_is_refused(within: timedelta) -> None:
    with pytest.raises(ValueError, match="36500 days"):
        Accepted(within)
    for after in (float("nan"), float("inf"), -1.0, within.total_seconds()):
        with pytest.raises(ValueError, match="NotYet"):
            NotYet(after)
    for declare in (
        lambda: sagas.Confirmation(within=within),
        lambda: sagas.Retry(delay=within, max_delay=within),
        lambda: sagas.Step(print, queue="orders", timeout=within),
    ):
        with pytest.raises(DefinitionError, match="at most 36,500 days"):
            declare()


def test_an_invalid_key_or_run_id_selects_nothing() -> None:
    assert selectors.lock_line("a\x00b") == []
    assert selectors.lock_line("\ud800") == []
    assert selectors.lock_line(None) == []  # type: ignore[arg-type]
    for nobody in (uuid4(), "nonsense", "\x00", 5):
        assert list(selectors.timeline(nobody)) == []  # type: ignore[arg-type]
        assert selectors.locks_of_run(nobody) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", ["a\x00b", "\ud800", "x" * 200, 5, None], ids=lambda n: repr(n)[:9])
def test_the_inbox_refuses_a_name_that_it_cannot_store(odd: Any) -> None:
    refused(InvalidArgument, lambda: first_time(odd, "1"))
    refused(InvalidArgument, lambda: first_time("mailer", odd))


def an_event(**more: Any) -> str:
    text = Event(uuid4(), 1, "Started", "lab.Lab", 1, "one", "ORD-1", uuid4(), datetime.now(UTC), {"a": 1}).to_json()
    return json.dumps({**json.loads(text), **more})


ODD_EVENTS = {
    "deep": an_event().replace('{"a": 1}', "[" * 990 + "]" * 990),
    "very deep": an_event().replace('{"a": 1}', "[" * 100_000 + "]" * 100_000),
    "unclosed": "[" * 100_000,
    "NaN": an_event().replace('{"a": 1}', "NaN"),
    "a huge position": an_event(position=10**90),
    "no position": an_event(position=0),
    "a position of text": an_event(position="1"),
    "true": an_event(sagaversion=True),
    "a number for a name": an_event(type=5),
    "a list for a step": an_event(step=["one"]),
    "a NUL": an_event(subject="a\x00b"),
    "half a surrogate pair": an_event(subject="\ud800"),
    "a number for a run": an_event(runid=5),
    "not UTF-8": b"\xff{}",
}


@pytest.mark.parametrize("text", ODD_EVENTS.values(), ids=ODD_EVENTS)
def test_an_invalid_event_is_a_value_error(text: str | bytes) -> None:
    assert Event.from_json(an_event()).business_key == "ORD-1"
    with pytest.raises(ValueError):
        Event.from_json(text)


def test_a_long_name_of_a_worker_stops_no_run() -> None:
    run_id = run_in(State.PENDING)
    sagas.cancel(run_id, by="b" * 150)
    assert Log.objects.get(run_id=run_id, operation="cancel").worker == "b" * 100


def test_an_impossible_quantity_fails_one_run_with_a_clear_error() -> None:
    jar = new_jar(2**62)
    ids = [sagas.start(Lab, Experiment(jar=jar, quantity=quantity)) for quantity in (1, 2**31, 2)]
    Carrier().run(ids)
    assert [state(run_id) for run_id in ids] == [State.AWAITING_CONFIRM, State.FAILED, State.AWAITING_CONFIRM]
    why = reason(ids[1])
    assert (why["code"], "2,147,483,648 is demanded" in why["detail"]) == ("InvalidDemand", True)
    assert counts(jar) == (2**62 - 3, 3, 0)
