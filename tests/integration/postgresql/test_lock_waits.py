"""Somebody from outside holds a row locked for long: who wants it waits without keeping the others, or a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections, transaction

import sagas
from sagas import Call, State, runtime
from sagas.decisions.messages import Chain
from sagas.engine.cohort import LOCKED_IN_A_ROW, PAUSE
from sagas.models import Run
from sagas.postgresql import sessions
from tests.lab import sagas as lab
from tests.lab.models import Jar
from tests.lab.sagas import Experiment, Forked, Lab
from tests.loyalty.sagas import Afar
from tests.support.carrier import Carrier, chains, claim_all, deliver
from tests.support.driver import psycopg
from tests.support.runs import (
    assert_effects_once,
    assert_jar_adds_up,
    due_in,
    make_due,
    new_jar,
    state,
    states,
    story,
)

pytestmark = pytest.mark.usefixtures("alone")

#: As in a project, and far shorter than there.
OPTIONS = "-c lock_timeout=700ms -c idle_in_transaction_session_timeout=30s"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits long for a lock, and this process remembers no waits of another test."""
    runtime.memory.contended.clear()
    with ExitStack() as restored:
        for alias in ("default", "loyalty"):
            monkeypatch.setitem(connections[alias].settings_dict["OPTIONS"], "options", OPTIONS)
            connections[alias].close()
            restored.callback(connections[alias].close)
        yield
    runtime.memory.contended.clear()


@contextmanager
def held(sql: str, *params: Any, using: str = "default") -> Iterator[int]:
    """Somebody in psql has said this in a transaction, and gone to lunch. Yields the number of his process."""
    wanted = {**connections[using].get_connection_params(), "cursor_factory": None, "application_name": "psql"}
    other = psycopg.connect(**wanted)
    try:
        with other.cursor() as cursor:
            cursor.execute(sql, params)
        yield other.info.backend_pid
    finally:
        with suppress(psycopg.Error):
            other.rollback()
        other.close()


def holding(jar: str) -> Any:
    return held("UPDATE lab_jar SET available = available WHERE name = %s", jar)


@pytest.fixture
def other(jar: str) -> Iterator[str]:
    """Another jar."""
    name = new_jar(1000)
    yield name
    assert_jar_adds_up(name, 1000)


def before_the_pool(ids: list[UUID]) -> Chain:
    """The chain of these runs, which stand before the step that takes from a jar."""
    (chain,) = (chain for chain in chains(claim_all()) if set(chain.ids) == set(ids))
    for _ in range(2):
        following = deliver(chain)[1]
        assert following is not None
        chain = following
    return chain


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "for a lock" in record.getMessage()]


@pytest.mark.parametrize("waiting", [1, 3, 20], ids=["one", "three", "most"])
def test_a_run_that_waits_for_a_locked_row_is_postponed_and_the_others_go_on(
    jar: str, other: str, waiting: int, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a cohort of which some want a jar that somebody holds
    ids = sorted(sagas.start(Lab, Experiment(jar=other)) for _ in range(24))
    want = ids[1 :: 24 // waiting][:waiting]
    Run.objects.filter(pk__in=want).update(request={**Run.objects.get(pk=want[0]).request, "jar": jar})
    chain = before_the_pool(ids)

    # When it is delivered
    with holding(jar) as pid, caplog.at_level(logging.WARNING):
        performed, following = deliver(chain)
        sent = [following, *chains(performed.messages)]
        going = {run_id for some in sent if some for run_id in some.ids}

        # Then that took about one time-out, whatever the clock of this machine says: nobody was asked for twice
        for run_id in want:
            if run_id in going:
                continue
            run = Run.objects.get(pk=run_id)
            assert story(run_id)[-1] == "two.forward DONE"
            assert run.attempt == 0
            assert 0 < due_in(run_id) <= PAUSE * 1.2
        # And somebody said who it is that they wait for
        (line,) = said(caplog)
        assert f"process {pid}" in line
        assert "'psql'" in line
        assert "idle in transaction" in line
        assert "UPDATE" not in line
        # And the others are through, or are tried again in smaller company
        if waiting < LOCKED_IN_A_ROW:
            assert going == set(ids) - set(want)
        # And whoever comes later does not wait as long again
        Carrier().run([run_id for run_id in ids if run_id not in want], until=lambda: False, limit=1)

    # When it is given back, all end as they would have
    make_due(ids)
    carrier = Carrier()
    carrier.post([message for message in [following, *performed.messages] if message])
    for _ in range(20):
        make_due([run_id for run_id in ids if state(run_id) is State.EXECUTING])
        carrier.post(claim_all(lapsed=True))
        carrier.run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 24}
    for run_id in ids:
        assert_effects_once(run_id)
        assert not [entry for entry in story(run_id) if entry.endswith("FAULT")]


def test_a_single_run_is_postponed_after_one_wait(jar: str, caplog: pytest.LogCaptureFixture) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    chain = before_the_pool([run_id])
    with holding(jar) as pid, caplog.at_level(logging.WARNING):
        performed, following = deliver(chain)
    assert following is None
    assert performed.messages == []
    assert f"process {pid}" in said(caplog)[0]
    assert due_in(run_id) > 0
    # Nor does it lose an attempt by waiting often, or make no progress
    for _ in range(10):
        make_due([run_id])
        (chain,) = chains(claim_all(lapsed=True))
        with holding(jar):
            deliver(chain)
    assert state(run_id) is State.EXECUTING
    make_due([run_id])
    (chain,) = chains(claim_all(lapsed=True))
    carrier = Carrier()
    carrier.post([chain])
    carrier.run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM


@pytest.mark.parametrize("phase", ["confirm", "cancel"])
def test_a_confirm_and_an_undo_wait_as_well(jar: str, phase: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    Carrier().run([run_id])
    sagas.confirm(run_id, "approval", {}) if phase == "confirm" else sagas.cancel(run_id)
    before = state(run_id)
    with holding(jar):
        Carrier().run([run_id])
        assert state(run_id) is (State.CONFIRMING if phase == "confirm" else before)
        assert due_in(run_id) > 0
    make_due([run_id])
    carrier = Carrier()
    carrier.post(claim_all(lapsed=True))
    carrier.run([run_id])
    assert state(run_id) is (State.SUCCEEDED if phase == "confirm" else State.FAILED)
    assert not [entry for entry in story(run_id) if entry.endswith("FAULT")]


def test_the_other_branches_of_a_fork_go_on(jar: str) -> None:
    run_id = sagas.start(Forked, Experiment(jar=jar))
    with holding(jar):
        Carrier().run([run_id])
        assert {"left.forward DONE", "right.forward DONE"} < set(story(run_id))
        # And nobody has it until the lock is asked for again
        run = Run.objects.get(pk=run_id)
        assert (list(run.pending or {}), run.claims) == (["three"], 0)
        assert due_in(run_id) > 0
    Run.objects.filter(pk=run_id).update(pending=None)
    make_due([run_id])
    Carrier().run([run_id])
    assert state(run_id) is State.AWAITING_CONFIRM


def test_a_row_in_another_database_is_waited_for_there(purse: str, caplog: pytest.LogCaptureFixture) -> None:
    ids = [sagas.start(Afar, Experiment(jar=purse)) for _ in range(3)]
    sql = "UPDATE loyalty_purse SET available = available WHERE name = %s"
    with held(sql, purse, using="loyalty") as pid, caplog.at_level(logging.WARNING):
        Carrier().run(ids)
        for run_id in ids:
            assert story(run_id)[-1] == "two.forward DONE"
        assert f"process {pid}" in said(caplog)[0]
    carrier = Carrier()
    make_due(ids)
    carrier.post(claim_all(lapsed=True))
    carrier.run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 3}


def test_a_nowait_error_counts_as_a_lock_wait(jar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A participant that does not want to wait says the same: not now."""

    def judge(call: Call[Experiment]) -> None:
        if call.step == "one" and call.operation == "forward":
            list(Jar.objects.select_for_update(nowait=True).filter(name=call.request.jar))

    monkeypatch.setattr(lab, "judge", judge)
    run_id = sagas.start(Lab, Experiment(jar=jar))
    neighbour = sagas.start(Lab, Experiment())
    (chain,) = chains(claim_all())
    with holding(jar):
        _, following = deliver(chain)
    assert following is not None
    assert following.ids == (neighbour,)
    assert story(run_id) == ["start"]
    assert due_in(run_id) > 0


def test_locked_runs_are_retried_and_the_others_go_on(jar: str) -> None:
    ids = sorted(sagas.start(Lab, Experiment(jar=jar)) for _ in range(5))
    (chain,) = chains(claim_all())
    with held("SELECT FROM sagas_run WHERE id = %s FOR UPDATE", str(ids[2])):
        performed, following = deliver(chain)
    assert following is not None
    assert set(following.ids) == set(ids) - {ids[2]}
    (again,) = chains(performed.messages)
    assert again.ids == (ids[2],)
    assert again.delay == PAUSE
    # And then it is performed
    deliver(again)
    assert story(ids[2]) == ["start", "one.forward DONE"]


def test_the_next_cohort_waits_only_shortly_for_a_row_known_to_be_locked(
    jar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each would keep its worker, and its neighbours, for as long as the first."""
    limits: list[float] = []
    real: Callable[..., int] = sessions.limit_waits

    def limit(seconds: float, using: str = "default") -> int:
        limits.append(seconds)
        return real(seconds, using)

    monkeypatch.setattr(sessions, "limit_waits", limit)
    run_id = sagas.start(Lab, Experiment(jar=jar))
    chain = before_the_pool([run_id])
    with holding(jar):
        assert limits == []
        deliver(chain)
        limits.clear()
        deliver(chain)
    assert limits[0] == sessions.SHORT


def test_a_lock_timeout_is_never_made_longer(jar: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '20ms'")
        sessions.limit_waits(10)
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("20ms",)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = 0")
        sessions.limit_waits(0.05)
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("50ms",)


def test_the_holder_of_a_lock_is_described_if_it_has_no_session() -> None:
    assert sessions._told((0, None, None, None, None, None)) == "a prepared transaction"
    assert sessions._told((7, "", "ada", None, None, None)) == "process 7 (user ada)"
    with pytest.raises(OperationalError), held("SELECT 1"):
        raise OperationalError
