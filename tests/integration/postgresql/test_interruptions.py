"""Cohorts that are cut off in the middle, and not by a worker's death: a session ends, a lease lapses, time is up.

One run is the cause. It is found and counted; its neighbours go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery.exceptions import Reject
from django.db import connection, connections
from pytest_django import Settings

import sagas
from sagas import Call, State, tasks
from sagas.db import ConnectionLost
from sagas.decisions import plan
from sagas.decisions.messages import Chain
from sagas.definition.participants import Phase
from sagas.engine.cohort import Interrupted, TimeUp
from sagas.engine.performing import CRASHES, perform, recover
from sagas.messaging.publisher import _headers
from sagas.models import Run
from sagas.postgresql import sessions
from tests.lab import sagas as lab
from tests.lab.sagas import Experiment, Forked, Lab, Telling
from tests.loyalty import sagas as loyalty_sagas
from tests.loyalty.sagas import INTERRUPTIONS, Afar
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_or_recover
from tests.support.loyalty import assert_all_once
from tests.support.runs import assert_effects_once, escalation, make_due, state, states, story

pytestmark = pytest.mark.usefixtures("alone")

Cut = Callable[[], None]


def terminated(using: str = "default") -> None:
    """Somebody, or the participant itself, ends the session."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def closed() -> None:
    """The participant closes Django's connection."""
    connection.close()


def hung_up() -> None:
    """The participant closes the driver's connection, of which Django does not know."""
    connection.connection.close()


def idled() -> None:
    """The participant computes for longer than the server lets a transaction idle."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
    time.sleep(0.3)


def too_slow() -> None:
    """A statement of the participant's takes longer than the server lets it."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(5)")


WAYS = [terminated, closed, hung_up, idled]


class _Cutting:
    """Cuts the session off where one operation of one run is performed, as long as it is not mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, operation: str, cut: Cut) -> None:
        self.operation = operation
        self.cut = cut
        self.who: UUID | None = None
        self.times = 0
        self._judge = lab.judge
        monkeypatch.setattr(lab, "judge", self)
        # As it is imported there.
        monkeypatch.setattr(loyalty_sagas, "judge", self)

    def __call__(self, call: Call[Experiment]) -> None:
        if call.run_id == self.who and f"{call.step}.{call.operation}" == self.operation:
            self.times += 1
            self.cut()
        self._judge(call)


@pytest.fixture(autouse=True)
def _connected() -> Iterator[None]:
    yield
    connection.close()


# -- A session is lost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["one.forward", "two.forward", "three.try"], ids=["one call", "a set", "a pool"])
@pytest.mark.parametrize("cut", WAYS, ids=lambda way: way.__name__)
def test_a_run_that_ends_its_session_is_found_and_its_neighbours_go_on(
    jar: str, monkeypatch: pytest.MonkeyPatch, operation: str, cut: Cut
) -> None:
    # Given a cohort of seven, of which one cuts the session off at a step, whenever it comes there
    cutting = _Cutting(monkeypatch, operation, cut)
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(7)]
    cutting.who = ids[2]
    neighbours = [run_id for run_id in ids if run_id != cutting.who]

    # When
    carrier = Carrier()
    carrier.run(ids)

    # Then its neighbours are where they would be without it, at their first attempt
    assert states(neighbours) == {State.AWAITING_CONFIRM: 6}
    for run_id in neighbours:
        assert not [line for line in story(run_id) if line.endswith("FAULT")]
    # And it has ended as its retry policy says
    assert state(cutting.who) is State.FAILED
    assert story(cutting.who).count(f"{operation} FAULT") == 3
    assert Run.objects.get(pk=cutting.who).claims == 0
    for run_id in ids:
        assert_effects_once(run_id)


def test_a_run_whose_statement_is_always_cancelled_delays_no_other(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it blamed: it waits for its lease, alone, until a person is called."""
    cutting = _Cutting(monkeypatch, "two.forward", too_slow)
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(7)]
    cutting.who = ids[2]
    Carrier().run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 6, State.EXECUTING: 1}
    while state(cutting.who) is not State.ESCALATED:
        make_due([cutting.who])
        carrier = Carrier()
        carrier.post(claim_all(lapsed=True))
        carrier.run(ids)
    assert not [line for line in story(cutting.who) if line.endswith("FAULT")]


@pytest.mark.parametrize("phase", ["confirm", "compensate"])
def test_a_run_that_ends_its_session_in_a_confirm_or_undo_escalates_alone(
    jar: str, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    # Given a cohort that is to be confirmed, or undone
    cutting = _Cutting(monkeypatch, f"one.{phase}", terminated)
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(7)]
    Carrier().run(ids)
    for run_id in ids:
        sagas.confirm(run_id, "approval", {}) if phase == "confirm" else sagas.cancel(run_id)
    cutting.who = ids[5]

    # When
    Carrier().run(ids)

    # Then
    assert state(cutting.who) is State.ESCALATED
    assert escalation(cutting.who).error["code"] == "CutOff"
    assert states(ids) == {State.SUCCEEDED if phase == "confirm" else State.FAILED: 6, State.ESCALATED: 1}


@pytest.mark.parametrize("saga", [Forked, Telling], ids=lambda saga: saga.__name__)
@pytest.mark.parametrize("carriers", ["orchestration", "choreography"])
def test_a_run_that_ends_its_session_is_found_in_a_fork_and_under_choreography(
    jar: str, monkeypatch: pytest.MonkeyPatch, settings: Settings, saga: Any, carriers: str
) -> None:
    settings.SAGAS = {**settings.SAGAS, "CARRIERS": {saga.name: carriers}}
    cutting = _Cutting(monkeypatch, "three.try", terminated)
    ids = [sagas.start(saga, Experiment(jar=jar)) for _ in range(5)]
    cutting.who = ids[4]

    Carrier().run(ids)

    assert state(cutting.who) is State.FAILED
    assert State.FAILED not in states(ids[:4])
    for run_id in ids[:4]:
        assert not [line for line in story(run_id) if line.endswith("FAULT")]


@pytest.mark.parametrize("operation", ["two.forward", "three.try", "four.forward"])
def test_a_run_that_ends_its_session_in_another_database_is_found(purse: str, operation: str) -> None:
    # Given a run whose participant ends the session there, each time
    ids = [sagas.start(Afar, Experiment(jar=purse)) for _ in range(7)]

    def cut(call: Call[Any]) -> None:
        if call.run_id == ids[3]:
            terminated("loyalty")

    INTERRUPTIONS[operation] = cut

    # When
    Carrier().run(ids)

    # Then
    neighbours = ids[:3] + ids[4:]
    assert states(neighbours) == {State.AWAITING_CONFIRM: 6}
    for run_id in neighbours:
        assert not [line for line in story(run_id) if line.endswith("FAULT")]
    assert story(ids[3]).count(f"{operation} FAULT") == 3
    assert_all_once(neighbours)


def test_the_other_runs_go_on_during_the_bisection(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By messages of their own, and not behind it."""
    cutting = _Cutting(monkeypatch, "one.forward", terminated)
    ids = sorted(sagas.start(Lab, Experiment(jar=jar)) for _ in range(8))
    cutting.who = ids[0]
    (chain,) = chains(claim_all())

    performed, _ = deliver_or_recover(chain)

    assert [half.ids for half in chains(performed.messages)] == [tuple(ids[:4]), tuple(ids[4:])]
    assert [half.interruptions for half in chains(performed.messages)] == [1, 1]
    assert all(half.delay for half in chains(performed.messages))
    assert all(
        [link.step for link in half.links] == ["one", "two", "three", "four"] for half in chains(performed.messages)
    )


def test_runs_committed_before_the_interruption_go_on(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cohort of one-call participants goes in parts, of which the first are done when the session is lost."""
    cutting = _Cutting(monkeypatch, "one.forward", terminated)
    ids = sorted(sagas.start(Lab, Experiment(jar=jar)) for _ in range(60))
    cutting.who = ids[-1]
    (chain,) = chains(claim_all())

    performed, following = deliver_or_recover(chain)

    assert following is not None
    assert following.ids == tuple(ids[:50])
    assert sorted(run_id for half in chains(performed.messages) for run_id in half.ids) == ids[50:]


def test_a_single_interrupted_run_has_as_many_deliveries_as_one_that_kills_workers(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutting = _Cutting(monkeypatch, "one.forward", terminated)
    run_id = cutting.who = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    for count in (1, 2):
        performed, _ = deliver_or_recover(chain)
        (chain,) = chains(performed.messages)
        assert chain.interruptions == count
        assert story(run_id) == ["start"]
    deliver_or_recover(chain)
    assert story(run_id) == ["start", "one.forward FAULT"]
    assert cutting.times == 3


def test_a_session_ended_for_idling_is_recognized_at_once(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a server that lets no transaction idle for long
    options = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "options", "-c lock_timeout=10s -c idle_in_transaction_session_timeout=200ms")
    connection.close()
    cutting = _Cutting(monkeypatch, "one.forward", lambda: time.sleep(0.4))
    run_id = cutting.who = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())

    # When a run does, alone
    deliver_or_recover(chain)

    # Then
    assert story(run_id) == ["start", "one.forward FAULT"]
    connection.close()


def test_a_server_that_goes_away_costs_no_attempt(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given runs in whose middle the server itself went, as often as a session may be lost, and oftener
    monkeypatch.setattr(sessions, "examine_loss", lambda _: sessions.Loss())
    cutting = _Cutting(monkeypatch, "one.forward", terminated)
    run_id = cutting.who = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    for _ in range(CRASHES - 1):
        performed, _ = deliver_or_recover(chain)
        (chain,) = chains(performed.messages)
    assert story(run_id) == ["start"]
    # But one that is there at every crash is what crashes it
    deliver_or_recover(chain)
    assert story(run_id) == ["start", "one.forward FAULT"]


def test_a_restarted_server_is_recognized() -> None:
    """It has not outlived a session that began before."""
    assert sessions.examine_loss(0.0).outlived
    assert not sessions.examine_loss(10 * 365 * 86400.0).outlived
    # 30 s in this project
    assert not sessions.examine_loss(1.0).idle
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXTRACT(EPOCH FROM clock_timestamp() - pg_postmaster_start_time())::float8")
        (age,) = cursor.fetchone()
    assert sessions.examine_loss(31.0).idle is (age > 31.0)


def test_a_session_that_was_lost_before_any_run_was_locked_counts_nothing(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    connection.connection.close()
    with pytest.raises(ConnectionLost) as lost:
        deliver(chain)
    assert isinstance(lost.value, Interrupted)
    connection.close()
    (same,) = chains(recover(chain.links[0], chain.ids, lost.value, token=chain.token).messages)
    assert same.ids == (run_id,)
    assert same.interruptions == 0


def test_a_commit_with_a_lost_answer_is_no_fault(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run whose COMMIT nobody hears of
    run_id = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    real: Callable[[], None] = connection._commit  # type: ignore[attr-defined]

    def commit() -> None:
        monkeypatch.undo()
        real()
        terminated()

    monkeypatch.setattr(connection, "_commit", commit)
    with pytest.raises(ConnectionLost) as lost:
        deliver(chain)
    connection.close()

    # When it is given up for that
    performed = recover(chain.links[0], chain.ids, lost.value, interruptions=9)

    # Then it goes on
    assert performed.survivors == [run_id]
    assert story(run_id) == ["start", "one.forward DONE"]


# -- A lease lapses -------------------------------------------------------------------------------------------


def test_lapsed_leases_travel_in_ever_smaller_cohorts_and_alone_in_the_end(settings: Settings) -> None:
    settings.SAGAS = {**settings.SAGAS, "LEASE_LIMIT": 4}
    ids = [sagas.start(Lab, Experiment()) for _ in range(100)]
    sizes = [max(len(chain.ids) for chain in chains(claim_all()))]
    for _ in range(3):
        make_due(ids)
        sent = chains(claim_all(lapsed=True))
        assert sorted(run_id for chain in sent for run_id in chain.ids) == sorted(ids)
        sizes.append(max(len(chain.ids) for chain in sent))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 100
    assert sizes[1] <= 50
    assert sizes[-1] == 1
    # And only then a person is called
    make_due(ids)
    claim_all(lapsed=True)
    assert states(ids) == {State.ESCALATED: 100}


@pytest.mark.parametrize("limit", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [2, 7])
def test_only_a_run_that_was_alone_before_is_escalated(settings: Settings, limit: int, size: int) -> None:
    settings.SAGAS = {**settings.SAGAS, "LEASE_LIMIT": limit}
    ids = [sagas.start(Lab, Experiment()) for _ in range(size)]
    sent = chains(claim_all())
    while State.ESCALATED not in states(ids):
        last = sent
        make_due(ids)
        sent = chains(claim_all(lapsed=True))
    assert [len(chain.ids) for chain in last] == [1] * size


def test_a_lapsed_run_and_a_fresh_one_do_not_travel_together() -> None:
    stuck = sagas.start(Lab, Experiment())
    claim_all()
    broken = sagas.start(Lab, Experiment(faults={"one.forward": 1}))
    (chain,) = chains(claim_all())
    deliver(chain)
    make_due([stuck, broken])
    fresh = sagas.start(Lab, Experiment())
    sent = chains(claim_all()) + chains(claim_all(lapsed=True))
    assert {chain.ids for chain in sent} == {(stuck,), (broken,), (fresh,)}


# -- Celery's time is up --------------------------------------------------------------------------------------


def time_is_up() -> None:
    raise SoftTimeLimitExceeded


@pytest.mark.parametrize("operation", ["one.forward", "two.forward"], ids=["one call", "a set"])
def test_a_soft_time_limit_in_a_cohort_is_no_runs_fault(
    jar: str, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    cutting = _Cutting(monkeypatch, operation, time_is_up)
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(4)]
    cutting.who = ids[1]
    (chain,) = chains(claim_all())
    if operation == "two.forward":
        following = deliver(chain)[1]
        assert following is not None
        chain = following
    with pytest.raises(TimeUp):
        deliver(chain)
    for run_id in ids:
        assert not [line for line in story(run_id) if line.endswith("FAULT")]
    # Alone it is an attempt
    perform(chain.links[0], [ids[1]])
    assert story(ids[1])[-1] == f"{operation} FAULT"


def test_a_message_ended_by_a_soft_time_limit_is_redelivered_and_counted(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutting = _Cutting(monkeypatch, "one.forward", time_is_up)
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(4)]
    cutting.who = ids[1]
    claim_all()
    with pytest.raises(Reject) as rejected:
        tasks._deliver(delivered(), ONE, ids)
    assert rejected.value.args


def test_a_message_ended_by_a_hard_time_limit_is_redelivered_and_not_acked() -> None:
    assert not tasks.step.acks_on_timeout
    assert not tasks.event.acks_on_timeout


# -- What a header says ---------------------------------------------------------------------------------------


def delivered(headers: dict[str, Any] | None = None, *, redelivered: bool = False) -> Any:
    """A task as Celery hands it over."""
    request = SimpleNamespace(headers=headers, delivery_info={"redelivered": redelivered}, hostname="here", chain=None)
    # Of a worker that consumes no queue of a step, so that it goes on with none itself.
    app = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={})))
    return SimpleNamespace(request=request, app=app, name="sagas.step")


ONE = plan.link(Lab.definition, 0, Phase.FORWARD)


@pytest.mark.parametrize("said", ["many", "", "-3", -3, 10**30, "10" * 20, 99, 3.5, [1], None, "٣"])
@pytest.mark.parametrize("header", ["x-delivery-count", "sagas-interruptions", "sagas-issue"])
def test_a_forged_header_harms_no_healthy_run(jar: str, header: str, said: object) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    claim_all()
    assert tasks._deliver(delivered({header: said}), ONE, [run_id]) == [run_id]
    assert story(run_id) == ["start", "one.forward DONE"]


def test_a_redelivery_without_a_header_counts() -> None:
    assert tasks._deliveries(delivered(redelivered=True)) == 1
    assert tasks._deliveries(delivered({"x-delivery-count": 4}, redelivered=True)) == 4
    assert tasks._deliveries(delivered({"x-delivery-count": 4})) == 0


def test_a_message_says_how_often_it_was_interrupted() -> None:
    assert _headers(Chain((), (), interruptions=3)) == {"sagas-interruptions": "3"}
    assert _headers(Chain((), ())) == {}
