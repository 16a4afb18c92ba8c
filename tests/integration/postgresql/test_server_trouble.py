"""The server cannot do what it is asked: nobody is to blame, no attempt is counted, and no order fails of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections

import sagas
from sagas import State, tasks
from sagas.db import ConnectionLost
from sagas.decisions.messages import Chain, Kick
from sagas.engine.cohort import PAUSE
from sagas.models import Run
from tests.lab import sagas as lab
from tests.lab.sagas import Experiment, Lab, Unconfirmed
from tests.loyalty.sagas import Afar
from tests.support import loyalty
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_or_recover
from tests.support.loyalty import assert_all_once
from tests.support.runs import due_in, make_due, state, states, story

pytestmark = pytest.mark.usefixtures("alone")

#: More than any step has attempts, and more than a run is claimed without progress.
LONG = 8


@contextmanager
def refusing(table: str, code: str, *, only: UUID | None = None, using: str = "default") -> Iterator[None]:
    """The server answers each insert into a table, or only those for one run, with this SQLSTATE."""
    when = "true" if only is None else f"NEW.run_id = '{only}'"
    with connections[using].cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '{code}'; END $$; "
            f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
        )
    try:
        yield
    finally:
        connections[using].close()
        with connections[using].cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")


def before_the_third_step(*ids: UUID) -> Chain:
    """The chain of these runs, which stand before their hold."""
    (chain,) = (chain for chain in chains(claim_all()) if set(chain.ids) == set(ids))
    for _ in range(2):
        _, following = deliver(chain)
        assert following is not None
        chain = following
    return chain


def carry(chain: Chain) -> None:
    """Let this cohort go on, and then everything that happens by itself."""
    carrier = Carrier()
    carrier.post([chain])
    carrier.run(chain.ids)


@pytest.mark.parametrize("code", ["53100", "53200", "57000", "58030", "58P01", "XX000", "XX001"])
def test_orders_wait_for_the_server_and_lose_no_attempt(jar: str, code: str) -> None:
    # Given a cohort before its hold, of which there is no room on the disk
    ids = sorted(sagas.start(Lab, Experiment(jar=jar)) for _ in range(5))
    chain = before_the_third_step(*ids)
    with refusing("lab_jarhold", code):
        # When it is tried again and again
        for _ in range(LONG):
            performed, _ = deliver(chain)
            # Then each time they are left alone for a while, as they were
            assert performed.messages == [Kick(PAUSE)]
            for run in Run.objects.filter(pk__in=ids):
                assert (run.state, run.attempt, run.claims) == ("EXECUTING", 0, 0)
                assert due_in(run.pk) == pytest.approx(PAUSE, abs=3)
            make_due(ids)
            (chain,) = chains(claim_all())
    # And they go on when it can
    carry(chain)
    assert states(ids) == {State.AWAITING_CONFIRM: 5}
    assert not [line for run_id in ids for line in story(run_id) if line.endswith(("FAULT", "REJECTED"))]


def test_neighbours_of_a_run_that_the_server_cannot_serve_go_on(jar: str) -> None:
    ids = sorted(sagas.start(Lab, Experiment(jar=jar)) for _ in range(5))
    chain = before_the_third_step(*ids)
    with refusing("lab_jarhold", "XX001", only=ids[2]):
        performed, following = deliver(chain)
    assert following is not None
    assert performed.survivors == [*ids[:2], *ids[3:]]
    assert story(ids[2]) == ["start", "one.forward DONE", "two.forward DONE"]
    make_due(ids)
    Carrier().run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 5}


@pytest.mark.parametrize("code", ["53100", "58030", "XX000"])
def test_an_undo_waits_for_the_server_and_does_not_escalate(jar: str, code: str) -> None:
    # Given an order that is undone, whose undo the log has no room for
    run_id = sagas.start(Lab, Experiment(jar=jar))
    Carrier().run([run_id])
    sagas.cancel(run_id)
    with refusing("lab_mark", code):
        for _ in range(LONG):
            make_due([run_id])
            for chain in chains(claim_all()):
                deliver(chain)
            assert state(run_id) is State.COMPENSATING
    # Then nobody was called for it, and it is undone
    make_due([run_id])
    Carrier().run([run_id])
    assert state(run_id) is State.FAILED


@pytest.mark.parametrize("table", ["lab_jarhold", "sagas_log"])
@pytest.mark.parametrize("code", ["25006", "25P03", "57P01", "57P03", "08006", "53300"])
def test_a_delivery_is_repeated_while_nothing_can_be_written(jar: str, code: str, table: str) -> None:
    ids = [sagas.start(Lab, Experiment(jar=jar)) for _ in range(2)]
    chain = before_the_third_step(*ids)
    before = [story(run_id) for run_id in ids]
    with refusing(table, code), refusing_updates():
        for _ in range(LONG):
            with pytest.raises(ConnectionLost):
                deliver(chain)
    assert [story(run_id) for run_id in ids] == before
    carry(chain)
    assert states(ids) == {State.AWAITING_CONFIRM: 2}


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("code", ["25006", "25004", "57014"])
def test_repeated_deliveries_because_of_the_server_are_no_runs_fault(jar: str, code: str, size: int) -> None:
    # Given a cohort, at whose hold the server says so
    ids = sorted(sagas.start(Lab, Experiment(jar=jar)) for _ in range(size))
    waiting = [before_the_third_step(*ids)]
    with refusing("lab_jarhold", code):
        # When it is delivered as often as a worker delivers it again
        for _ in range(LONG):
            waiting = [
                message
                for chain in waiting
                for message in deliver_or_recover(chain)[0].messages
                if isinstance(message, Chain)
            ]
    # Then no attempt was counted of any
    assert [story(run_id) for run_id in ids] == [["start", "one.forward DONE", "two.forward DONE"]] * size
    # And all go on, those that nobody sends when their lease is over
    make_due(ids)
    waiting += chains([*claim_all(), *claim_all(lapsed=True)])
    for chain in waiting:
        carry(chain)
    assert states(ids) == {State.AWAITING_CONFIRM: size}


@contextmanager
def refusing_updates() -> Iterator[None]:
    """Nor can a run be put off."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_more() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'cannot' USING ERRCODE = '53100'; END $$; "
            "CREATE TRIGGER refuse_more BEFORE UPDATE ON sagas_run FOR EACH STATEMENT EXECUTE FUNCTION refuse_more()"
        )
    try:
        yield
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_more CASCADE")


# -- A failover: the session is on a server that only reads ---------------------------------------------------------


def only_reads() -> None:
    """What has become of this session's server in a failover."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")


def called(task: Any, *args: Any, **kwargs: Any) -> None:
    task.apply(args, kwargs, throw=True)


def test_a_worker_on_a_read_only_server_opens_a_new_session_and_goes_on(jar: str) -> None:
    # Given a step that comes to a worker in the middle of a failover
    run_id = sagas.start(Lab, Experiment(jar=jar))
    (chain,) = chains(claim_all())
    which = {"saga": Lab.name, "version": 1, "step": "one", "phase": "forward"}
    only_reads()
    # When, then it closes the session
    called(tasks.step, [str(run_id)], **which)
    assert connection.connection is None
    # And the next finds the primary
    called(tasks.step, [str(run_id)], **which)
    assert story(run_id) == ["start", "one.forward DONE"]
    assert chain.ids == (run_id,)


@pytest.mark.parametrize("tick", [True, False])
def test_a_dispatcher_on_a_read_only_server_opens_a_new_session(jar: str, tick: bool) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    only_reads()
    called(tasks.dispatch_task, tick=tick)
    assert connection.connection is None
    called(tasks.dispatch_task, tick=tick)
    # How far it comes without a message depends on the time that this takes.
    assert state(run_id) is not State.PENDING


def test_a_deadline_on_a_read_only_server_is_left_to_the_tick(jar: str) -> None:
    run_id = sagas.start(Lab, Experiment(jar=jar))
    Carrier().run([run_id])
    only_reads()
    called(tasks.cancel, saga=Lab.name, version=1, confirmation="approval", ids=[str(run_id)])
    assert connection.connection is None
    assert state(run_id) is State.AWAITING_CONFIRM


# -- Another database ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["loyalty_pursehold", "sagas_barrier"])
@pytest.mark.parametrize("code", ["53100", "58030", "XX000"])
def test_a_failure_of_another_databases_server_costs_no_attempt(purse: str, code: str, table: str) -> None:
    # Given a cohort before its hold in the second database, which has no room
    ids = sorted(sagas.start(Afar, Experiment(jar=purse)) for _ in range(3))
    chain = before_the_third_step(*ids)
    with refusing(table, code, using="loyalty"):
        for _ in range(LONG):
            deliver(chain)
            make_due(ids)
            (chain,) = chains(claim_all())
    carry(chain)
    assert states(ids) == {State.AWAITING_CONFIRM: 3}
    assert not [line for run_id in ids for line in story(run_id) if line.endswith("FAULT")]
    assert_all_once(ids)


def test_another_database_that_is_read_only_counts_as_unreachable(purse: str) -> None:
    ids = sorted(sagas.start(Afar, Experiment(jar=purse)) for _ in range(3))
    chain = before_the_third_step(*ids)
    loyalty.execute("SET default_transaction_read_only = on")
    deliver(chain)
    assert connections["loyalty"].connection is None
    Carrier().run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 3}
    assert_all_once(ids)


# -- A database of which the engine knows nothing --------------------------------------------------------------------


@pytest.mark.parametrize("step", ["one", "two"])
def test_an_unreachable_third_database_is_a_fault_of_one_run(
    jar: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cohort, of which one asks a database that is away
    ids = sorted(sagas.start(Unconfirmed, Experiment()) for _ in range(4))
    asked: list[UUID] = []

    def ask(call: sagas.Call[Experiment]) -> None:
        if call.step == step and call.run_id == ids[1] and call.attempt == 1:
            asked.append(call.run_id)
            third = connections.create_connection("default")
            third.settings_dict = {**third.settings_dict, "HOST": "127.0.0.1", "PORT": "1"}
            third.ensure_connection()

    monkeypatch.setattr(lab, "judge", ask)
    # When
    Carrier().run(ids)
    # Then it has failed at that, as at any other system, and been tried again; its neighbours are not touched
    assert asked
    assert states(ids) == {State.SUCCEEDED: 4}
    faults = [run_id for run_id in ids for line in story(run_id) if line == f"{step}.forward FAULT"]
    assert faults == [ids[1]]
