"""Hooks are told of what is committed, of nothing else, and harm nobody."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import sagas
from sagas import State, Transition, hooks, on_tick, on_transition, runtime
from sagas.delivery import dispatching
from sagas.delivery.short_path import ShortPath
from sagas.errors import DefinitionError
from sagas.messaging.publisher import Publisher
from sagas.models import Run
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.runs import shift_clock, state

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(autouse=True)
def _hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks of a test do not outlive it, and those of the shop are not asked."""
    monkeypatch.setattr(runtime.declared, "hooks", [])
    monkeypatch.setattr(runtime.declared, "tick_hooks", [])


@pytest.fixture
def heard(_hooks: None) -> list[Transition]:
    """What a hook without any filter has been told."""
    told: list[Transition] = []
    on_transition()(told.append)
    return told


def ways(told: Sequence[Transition]) -> list[str]:
    return [f"{t.source} {t.target}" for t in told]


def test_a_hook_receives_every_transition_of_a_confirmed_run(heard: list[Transition]) -> None:
    # Given
    Jar.objects.create(name="told", available=5)
    run_id = sagas.start(Lab, Experiment(jar="told"), business_key="K-1")

    # When
    Carrier().run([run_id])
    sagas.confirm(run_id, "approval", {})
    Carrier().run([run_id])

    # Then
    assert ways(heard) == [
        "PENDING EXECUTING",
        "EXECUTING AWAITING_CONFIRM",
        "AWAITING_CONFIRM CONFIRMING",
        "CONFIRMING SUCCEEDED",
    ]
    assert {(t.run_id, t.saga, t.business_key, t.reason) for t in heard} == {(run_id, "lab.Lab", "K-1", None)}
    assert [t.at for t in heard] == sorted(t.at for t in heard)
    assert timezone.now() - timedelta(minutes=1) < heard[0].at <= timezone.now()


def test_a_hook_receives_the_reason_of_an_undone_run(heard: list[Transition]) -> None:
    run_id = sagas.start(Unconfirmed, Experiment(reject=("two",)))
    Carrier().run([run_id])
    assert ways(heard) == ["PENDING EXECUTING", "EXECUTING COMPENSATING", "COMPENSATING FAILED"]
    assert [t.reason and t.reason["kind"] for t in heard] == [None, "rejected", "rejected"]


def test_a_hook_receives_a_run_with_nothing_to_undo(heard: list[Transition]) -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    sagas.cancel(run_id, reason="never mind")
    claim_all()
    assert ways(heard) == ["PENDING COMPENSATING", "COMPENSATING FAILED"]
    assert heard[-1].reason is not None
    assert heard[-1].reason["detail"] == "never mind"


def test_a_hook_receives_an_expired_run(heard: list[Transition]) -> None:
    run_id = sagas.start(Lab, Experiment(reject=()))
    Carrier().run([run_id])
    shift_clock([run_id], 60)
    claim_all()
    assert ways(heard)[-1] == "AWAITING_CONFIRM COMPENSATING"
    assert heard[-1].reason is not None
    assert heard[-1].reason["kind"] == "timeout"


def test_a_hook_receives_an_escalation_with_its_error_and_the_resumption(heard: list[Transition]) -> None:
    run_id = sagas.start(Unconfirmed, Experiment(reject=("two",), faults={"one.compensate": 99}))
    Carrier().run([run_id])
    assert ways(heard)[-1] == "COMPENSATING ESCALATED"
    assert heard[-1].reason is not None
    assert (heard[-1].reason["kind"], heard[-1].reason["code"]) == ("fault", "Boom")
    sagas.resume(run_id, by="mei")
    assert ways(heard)[-1] == "ESCALATED COMPENSATING"


def test_a_renewed_lease_is_no_transition(heard: list[Transition]) -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    claim_all()
    Run.objects.filter(pk=run_id).update(due_at="2000-01-01T00:00:00Z")
    assert chains(claim_all(lapsed=True))
    assert ways(heard) == ["PENDING EXECUTING"]


def test_a_rolled_back_transition_calls_no_hook(heard: list[Transition]) -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    with pytest.raises(RuntimeError), transaction.atomic():
        sagas.cancel(run_id)
        raise RuntimeError
    assert state(run_id) is State.PENDING
    assert heard == []


def test_hooks_are_called_after_the_commit(heard: list[Transition]) -> None:
    run_id = sagas.start(Unconfirmed, Experiment())
    with transaction.atomic():
        sagas.cancel(run_id)
        assert heard == []
    assert ways(heard) == ["PENDING COMPENSATING"]


def test_a_hook_is_called_only_for_its_filters() -> None:
    # Given
    told: dict[str, list[Transition]] = {name: [] for name in ("saga", "name", "other", "target", "source", "both")}
    on_transition(saga=Unconfirmed)(told["saga"].append)
    on_transition(saga="lab.Unconfirmed")(told["name"].append)
    on_transition(saga=Lab)(told["other"].append)
    on_transition(target=State.SUCCEEDED)(told["target"].append)
    on_transition(source=State.PENDING)(told["source"].append)
    on_transition(source=State.PENDING, target=State.COMPENSATING)(told["both"].append)

    # When
    Carrier().run([sagas.start(Unconfirmed, Experiment())])

    # Then
    assert {name: ways(heard) for name, heard in told.items()} == {
        "saga": ["PENDING EXECUTING", "EXECUTING SUCCEEDED"],
        "name": ["PENDING EXECUTING", "EXECUTING SUCCEEDED"],
        "other": [],
        "target": ["EXECUTING SUCCEEDED"],
        "source": ["PENDING EXECUTING"],
        "both": [],
    }


def test_a_hook_is_called_once_for_a_cohort() -> None:
    told: list[Sequence[Transition]] = []
    on_transition(target=State.SUCCEEDED, many=True)(told.append)
    ids = [sagas.start(Unconfirmed, Experiment()) for _ in range(5)]
    Carrier().run(ids)
    assert len(told) == 1
    assert {t.run_id for t in told[0]} == set(ids)


def test_a_failing_hook_affects_no_run_and_no_other_hook(
    heard: list[Transition], caplog: pytest.LogCaptureFixture
) -> None:
    # Given a hook that fails between two others, one of them a set's
    def failing(transition: Transition) -> None:
        raise ValueError(transition.saga)

    def failing_set(transitions: Sequence[Transition]) -> None:
        raise ValueError(len(transitions))

    after: list[Transition] = []
    on_transition()(failing)
    on_transition(many=True)(failing_set)
    on_transition()(after.append)
    ids = [sagas.start(Unconfirmed, Experiment()) for _ in range(3)]

    # When the cohort goes its way
    (chain,) = chains(claim_all())
    with caplog.at_level(logging.ERROR, logger="sagas.hooks"):
        _, following = deliver(chain)
        assert following is not None
        deliver(following)

    # Then it arrives, everybody else is told, and the failure is on record
    assert {state(run_id) for run_id in ids} == {State.SUCCEEDED}
    assert ways(heard) == ways(after)
    assert len(heard) == 6
    assert "failing failed for 1 run(s)" in caplog.text
    assert "failing_set failed for 3 run(s)" in caplog.text


def test_a_hook_may_use_the_database_and_start_another_run() -> None:
    started = []
    on_transition(target=State.SUCCEEDED, saga=Unconfirmed)(
        lambda t: started.append(sagas.start(Lab, Experiment(), business_key=str(t.run_id)[:8]))
    )
    run_id = sagas.start(Unconfirmed, Experiment())
    Carrier().run([run_id])
    assert Run.objects.get(pk=started[0]).business_key == str(run_id)[:8]


def test_without_hooks_no_statement_is_executed_for_them() -> None:
    def statements() -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            Carrier().run([sagas.start(Unconfirmed, Experiment())])
        return [query["sql"] for query in queries.captured_queries]

    # The first run of a process also writes its definition.
    statements()
    without = statements()
    on_transition()(repr)
    watched = statements()
    # Claims look at each run that a hook may watch: those are statements of the claim.
    assert len(without) <= len(watched)
    assert not [sql for sql in without if "business_key, run.reason" in sql]
    assert [sql for sql in watched if "business_key, run.reason" in sql]


def test_a_hook_that_would_never_be_called_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no run goes this way"):
        on_transition(source=State.FAILED)
    with pytest.raises(DefinitionError, match="no run goes this way"):
        on_transition(source=State.AWAITING_CONFIRM, target=State.SUCCEEDED)
    with pytest.raises(DefinitionError, match="no run goes this way"):
        on_transition(target=State.PENDING, source=State.EXECUTING)


def test_every_function_is_called_on_a_tick_though_one_of_them_raises(caplog: pytest.LogCaptureFixture) -> None:
    # Given one that fails, in the database, and another
    @on_tick
    def breaks() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    called: list[int] = []
    on_tick(lambda: called.append(1))
    # When
    with caplog.at_level(logging.ERROR, logger="sagas.hooks"):
        hooks.call_on_tick()
    # Then the other is called, and the error is on record with its traceback
    assert called == [1]
    assert [record.exc_info is not None for record in caplog.records] == [True]


@pytest.mark.usefixtures("topology")
def test_a_dispatch_calls_them_on_a_tick_and_at_no_other_time() -> None:
    called: list[int] = []
    on_tick(lambda: called.append(1))
    for tick in (False, True):
        dispatching.run(Publisher, ShortPath(queues=()), tick=tick, relay=lambda: False)
        assert len(called) == int(tick)
