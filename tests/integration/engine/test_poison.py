"""A run that breaks the claim, and not a participant: a person is called for it, and its neighbours go on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import DataError, OperationalError, ProgrammingError, connection
from django.test.utils import CaptureQueriesContext

import sagas
from sagas import Confirmation, State, store
from sagas.engine.claiming import claim
from tests.lab.sagas import QUICK, Closing, Experiment, Unconfirmed, accept, mark
from tests.support.carrier import Carrier
from tests.support.deploys import deploy, deploying
from tests.support.runs import due_in, escalation, let_time_pass, make_due, shift_clock, state, states, story

pytestmark = pytest.mark.usefixtures("alone", "jar")


@pytest.fixture(autouse=True)
def _deploys() -> Iterator[None]:
    with deploying():
        yield


def ask_for(run_id: UUID, closes_at: str) -> None:
    """Have the run ask for an end that its type does not take, as after a deploy that changed the type."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET request = jsonb_set(request, '{closes_at}', to_jsonb(%s::text)) WHERE id = %s",
            [closes_at, run_id],
        )


def carried(*ids: UUID) -> None:
    """Claim by claim, to where nothing is due."""
    carrier = Carrier()
    carrier.post(claim().messages)
    carrier.run(ids)


def poisoned(count: int = 1) -> list[UUID]:
    """Runs whose request loads no more."""
    found = [sagas.start(Closing, Experiment()) for _ in range(count)]
    for run_id in found:
        ask_for(run_id, "noon")
    return found


def test_an_unreadable_request_stops_no_other_run() -> None:
    # Given one such run amid others, of its saga and of another
    before = [sagas.start(Closing, Experiment()) for _ in range(3)]
    (poison,) = poisoned()
    after = [sagas.start(Closing, Experiment()) for _ in range(2)]
    others = [sagas.start(Unconfirmed, Experiment()) for _ in range(2)]

    # When
    carried(*before, *after, *others)

    # Then a person is called for it alone
    assert states([*before, *after]) == {State.AWAITING_CONFIRM: 5}
    assert states(others) == {State.SUCCEEDED: 2}
    assert state(poison) is State.ESCALATED
    found = escalation(poison)
    assert (found.state, found.step, found.operation) == ("PENDING", "one", "forward")
    assert (found.error["kind"], found.error["code"]) == ("unreadable", "ValidationError")
    assert "its request does not load any more" in found.suggestion
    assert found.notify_at is not None

    # And when it is mended, it goes on from where it stood
    ask_for(poison, "2100-01-01T00:00:00Z")
    sagas.resume(poison, by="mei", note="the old type is back")
    carried(poison)
    assert state(poison) is State.AWAITING_CONFIRM


def test_a_deadline_without_a_time_zone_stops_no_other_run_at_the_tick() -> None:
    # Given a run that waits for its confirmations, and whose deadline was stored by code that did not refuse it
    poison = sagas.start(Closing, Experiment())
    carried(poison)
    ask_for(poison, "2020-01-01T00:00:00")
    shift_clock([poison], 50)
    sagas.confirm(poison, "payment", {})
    other = sagas.start(Unconfirmed, Experiment())

    # When its time is over
    make_due([poison], since=5)
    carried(other)

    # Then
    assert state(other) is State.SUCCEEDED
    assert state(poison) is State.ESCALATED
    assert escalation(poison).error["code"] == "DeadlineUnknown"


def test_a_database_error_of_one_run_stops_no_other_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a saga of before there was a limit, of more steps than the run's column has bits, the last of them begun
    monkeypatch.setattr("sagas.limits.STEPS", 100)
    body = {f"s{number}": sagas.Step(mark, compensate=mark, queue="orders", retry=QUICK) for number in range(63)}
    body["last"] = sagas.Step(accept, compensate=mark, queue="orders", retry=QUICK)
    long = deploy({**body, "payment": Confirmation(within=timedelta(seconds=30))})
    poison = sagas.start(long, Experiment())
    carried(poison)
    assert story(poison)[-1] == "last.forward ACCEPTED"
    other = sagas.start(Unconfirmed, Experiment())

    # When its payment is overdue
    shift_clock([poison], 60)
    let_time_pass(poison)
    carried(other)

    # Then
    assert state(other) is State.SUCCEEDED
    assert state(poison) is State.ESCALATED
    assert escalation(poison).error["code"] == DataError.__name__


def test_savepoints_stay_within_postgresqls_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    monkeypatch.setattr("sagas.engine.poison.SAVEPOINTS", 3)
    ids = poisoned(7)
    # When
    claimed = [claim() for _ in range(3)]
    # Then each claim takes some, and says that there are more
    assert [one.count for one in claimed] == [3, 3, 1]
    assert [one.full for one in claimed] == [True, True, False]
    assert states(ids) == {State.ESCALATED: 7}


def test_a_cohort_without_errors_uses_no_savepoint() -> None:
    sagas.start(Closing, Experiment())
    sagas.start(Unconfirmed, Experiment())
    with CaptureQueriesContext(connection) as queries:
        assert claim().count == 2
    assert not [query for query in queries if "SAVEPOINT" in query["sql"]]


class Refused(Exception):
    """What the driver says of it."""

    def __init__(self, pgcode: str | None) -> None:
        super().__init__(pgcode)
        self.pgcode = pgcode


@pytest.mark.parametrize(
    ("kind", "pgcode"),
    [
        *((OperationalError, code) for code in ("40P01", "40001", "55P03", "57P01", None)),
        # A table or a column of tomorrow: the code came before its migration
        *((ProgrammingError, code) for code in ("42P01", "42703")),
    ],
)
def test_an_error_of_the_database_itself_is_no_runs_fault(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception], pgcode: str | None
) -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    tried = []

    def breaks(*_: object, **__: object) -> None:
        tried.append(run_id)
        raise kind from Refused(pgcode)

    with monkeypatch.context() as patched:
        patched.setattr(store.claims, "lease", breaks)
        with pytest.raises(kind):
            claim()
    assert tried == [run_id]
    assert state(run_id) is State.PENDING
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED


def test_a_run_that_cannot_even_be_escalated_is_postponed_by_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    (poison,) = poisoned()
    other = sagas.start(Unconfirmed, Experiment())

    def breaks(*_: object, **__: object) -> None:
        raise KeyError

    monkeypatch.setattr("sagas.engine.poison.escalate", breaks)
    carried(other)
    assert state(other) is State.SUCCEEDED
    assert state(poison) is State.PENDING
    assert due_in(poison) == pytest.approx(10, abs=5)


def test_a_poisonous_run_accepts_its_confirmation() -> None:
    # Given a run whose next deadline cannot be computed any more
    run_id = sagas.start(Closing, Experiment())
    carried(run_id)
    ask_for(run_id, "noon")

    # When its payment comes
    receipt = sagas.confirm(run_id, "payment", {"payment_id": "pay_1"})

    # Then it is on record, and the dispatcher calls a person
    assert receipt.first
    carried(run_id)
    assert state(run_id) is State.ESCALATED
    assert escalation(run_id).error["kind"] == "unreadable"
    assert sagas.confirm(run_id, "payment", {}).data == {"payment_id": "pay_1"}

    # And what was mended goes on, with the payment
    ask_for(run_id, "2100-01-01T00:00:00Z")
    sagas.resume(run_id, by="mei")
    sagas.confirm(run_id, "approval", {})
    carried(run_id)
    assert state(run_id) is State.SUCCEEDED


def test_a_poisonous_run_can_be_cancelled() -> None:
    (run_id,) = poisoned()
    assert sagas.cancel(run_id) is State.COMPENSATING
    carried(run_id)
    assert state(run_id) is State.FAILED
