"""The other database is away, is cut off, or is reached by a worker that the engine has given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event, Thread, current_thread
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections

import sagas
from sagas import State
from sagas.db import ConnectionLost
from sagas.decisions.messages import Chain
from sagas.definition.participants import Call
from sagas.engine.performing import perform
from sagas.store.barriers import Table
from tests.lab.sagas import Experiment, Unconfirmed
from tests.loyalty.sagas import INTERRUPTIONS, Afar
from tests.support import loyalty
from tests.support.awaiting import eventually
from tests.support.carrier import Carrier, chains, claim_all, deliver, deliver_all
from tests.support.loyalty import assert_all_once, assert_once_in_both, counts, nulls, rows, stamps
from tests.support.runs import escalation, make_due, reason, state, states, story

pytestmark = pytest.mark.usefixtures("purse")


def start(purse: str) -> UUID:
    return sagas.start(Afar, Experiment(jar=purse))


def carried(*ids: UUID) -> None:
    Carrier().run(ids)


def before_the_second_step(*ids: UUID) -> Chain:
    """The chain of these runs, which stand at their first step there."""
    (chain,) = (chain for chain in chains(claim_all()) if set(chain.ids) == set(ids))
    _, following = deliver(chain)
    assert following is not None
    return following


# -- Away -----------------------------------------------------------------------------------------------------


def test_steps_are_retried_while_their_database_is_unreachable_and_others_go_on(purse: str) -> None:
    # Given a cohort before its first step there
    ids = sorted(start(purse) for _ in range(6))
    chain = before_the_second_step(*ids)
    neighbour = sagas.start(Unconfirmed, Experiment())

    # When it is away
    with loyalty.away():
        (other,) = (chain for chain in chains(claim_all()) if chain.ids == (neighbour,))
        performed, _ = deliver(chain)
        deliver_all(other)

    # Then that is one failed attempt of each, found out once for all of them
    assert performed.survivors == []
    for run_id in ids:
        assert story(run_id) == ["start", "one.forward DONE", "two.forward FAULT"]
    # And who needs nothing of it is not held up
    assert state(neighbour) is State.SUCCEEDED
    # And when it is back, all go on
    carried(*ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 6}
    assert_all_once(ids)


def test_a_run_escalates_after_a_long_outage_and_is_undone_when_resumed(purse: str) -> None:
    # Given
    run_id = start(purse)
    chain = before_the_second_step(run_id)

    # When it is away at every attempt, forward and back
    with loyalty.away():
        deliver(chain)
        carried(run_id)

    # Then a person is called, for nobody knows what is there
    assert state(run_id) is State.ESCALATED
    assert reason(run_id)["code"] == escalation(run_id).error["code"] == "DatabaseAway"
    assert "not currently accepting connections" in reason(run_id)["detail"]
    # And when it is back, the run is undone
    sagas.resume(run_id, by="ada")
    carried(run_id)
    assert state(run_id) is State.FAILED
    assert nulls(run_id) == ["two.compensate"]
    assert_once_in_both(run_id)


def test_a_restart_of_the_other_database_costs_no_attempt(purse: str) -> None:
    run_id = start(purse)
    chain: Chain | None = before_the_second_step(run_id)
    while chain is not None:
        # The connection is kept from step to step.
        loyalty.cut()
        _, chain = deliver(chain)
    connections["loyalty"].close()
    assert state(run_id) is State.AWAITING_CONFIRM
    assert not [line for line in story(run_id) if line.endswith("FAULT")]
    assert_once_in_both(run_id)


@pytest.mark.parametrize("operation", ["two.forward", "three.try", "four.forward"])
@pytest.mark.parametrize("count", [1, 3], ids=["alone", "in company"])
def test_a_connection_lost_during_a_call_is_a_failed_attempt_of_a_single_run(
    purse: str, operation: str, count: int
) -> None:
    # Given
    ids = [start(purse) for _ in range(count)]

    def cut(_: Call[Any]) -> None:
        INTERRUPTIONS.clear()
        loyalty.cut()

    INTERRUPTIONS[operation] = cut

    # When
    carried(*ids)

    # Then it may have been what one of several did: nobody is blamed before that one is found
    assert states(ids) == {State.AWAITING_CONFIRM: count}
    for run_id in ids:
        assert story(run_id).count(f"{operation} FAULT") == (1 if count == 1 else 0)
    assert_all_once(ids)
    assert counts(purse) == (1000 - count, count, 0)


def test_the_next_attempt_finds_a_commit_whose_answer_was_lost(purse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    ids = [start(purse) for _ in range(3)]
    chain = before_the_second_step(*ids)
    there: Any = connections["loyalty"]
    there.ensure_connection()
    real = there._commit

    def commit() -> None:
        monkeypatch.undo()
        real()
        raise OperationalError("server closed the connection unexpectedly")

    # When it commits, and nobody hears of it
    monkeypatch.setattr(there, "_commit", commit)
    carrier = Carrier()
    carrier.deliver(chain)
    for run_id in ids:
        assert story(run_id)[-1] == "one.forward DONE"
        assert rows(run_id) == {"two.forward": "DONE"}

    # Then the next delivery learns it, and calls nobody
    carrier.run(ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 3}
    assert_all_once(ids)


def test_a_missing_barrier_table_costs_no_attempt_and_is_logged(purse: str) -> None:
    ids = [start(purse) for _ in range(4)]
    chain = before_the_second_step(*ids)
    loyalty.execute("ALTER TABLE sagas_barrier RENAME TO away")
    try:
        deliver(chain)
    finally:
        loyalty.execute("ALTER TABLE away RENAME TO sagas_barrier")
    for run_id in ids:
        assert story(run_id)[-1] == "two.forward FAULT"
    carried(*ids)
    assert states(ids) == {State.AWAITING_CONFIRM: 4}
    assert_all_once(ids)


# -- Cut off from the engine ----------------------------------------------------------------------------------


class Zombie:
    """A worker in a thread, which loses its connection to the engine's database, and its locks, and goes on."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.stalled = Event()
        self.released = Event()
        self.pid = 0
        self.error: BaseException | None = None
        self.thread = Thread(target=self._work, name="zombie")

    def _work(self) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                (self.pid,) = cursor.fetchone()
            perform(self.chain.links[0], self.chain.ids)
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()

    def stall(self) -> None:
        """Called by the thread, where it shall stand still."""
        self.stalled.set()
        assert self.released.wait(30)

    def walk(self) -> None:
        """Let it come to where it stalls, and cut it off."""
        self.thread.start()
        assert self.stalled.wait(30)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [self.pid])

    def end(self) -> None:
        """Let it go on, to its end."""
        self.released.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def zombie_at() -> Iterator[Callable[[Chain], Zombie]]:
    """Make a zombie of the worker that gets this chain."""
    made: list[Zombie] = []

    def make(chain: Chain) -> Zombie:
        made.append(Zombie(chain))
        return made[-1]

    yield make
    for zombie in made:
        zombie.released.set()
        zombie.thread.join(30)


def is_zombie() -> bool:
    return current_thread().name == "zombie"


def deliver_apart(chain: Chain) -> None:
    """Deliver in a thread, on connections of its own."""
    deliver(chain)
    connections.close_all()


@pytest.mark.parametrize("step", ["two", "three", "four"])
def test_a_late_forward_operation_after_the_undo_does_nothing(
    purse: str, step: str, zombie_at: Callable[[Chain], Zombie], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that stalls right before the barrier, and loses its run's lock
    run_id = start(purse)
    chain = before_the_second_step(run_id)
    while chain.links[0].step != step:
        _, following = deliver(chain)
        assert following is not None
        chain = following
    zombie = zombie_at(chain)
    enter = Table.enter

    def stalling(table: Table, *args: Any) -> Any:
        if is_zombie():
            zombie.stall()
        return enter(table, *args)

    monkeypatch.setattr(Table, "enter", stalling)
    zombie.walk()

    # When the run is cancelled and undone, and the worker goes on
    sagas.cancel(run_id)
    carried(run_id)
    assert state(run_id) is State.FAILED
    undone = (stamps(run_id), counts(purse), story(run_id), rows(run_id))
    zombie.end()

    # Then it has done nothing, here or there
    assert isinstance(zombie.error, ConnectionLost)
    assert (stamps(run_id), counts(purse), story(run_id), rows(run_id)) == undone
    assert step in {null.split(".")[0] for null in nulls(run_id)}
    assert_once_in_both(run_id)


@pytest.mark.parametrize("ends_well", [True, False])
def test_an_undo_waits_for_a_late_forward_operation_and_undoes_it(
    purse: str, ends_well: bool, zombie_at: Callable[[Chain], Zombie]
) -> None:
    # Given a worker that stalls behind its effect, before the commit there, and loses its run's lock
    run_id = start(purse)
    chain = before_the_second_step(run_id)
    zombie = zombie_at(chain)

    def stalling(_: Call[Any]) -> None:
        if is_zombie():
            zombie.stall()
            if not ends_well:
                raise RuntimeError("too late")

    INTERRUPTIONS["two.forward"] = stalling
    zombie.walk()

    # When the run is cancelled, its undo waits for the row
    sagas.cancel(run_id)
    (undo,) = chains(claim_all())
    undoing = Thread(target=deliver_apart, args=[undo])
    undoing.start()
    loyalty.await_waiting_there()
    zombie.end()
    undoing.join(30)

    # Then it undoes what is there, and nothing else
    assert isinstance(zombie.error, ConnectionLost)
    assert stamps(run_id) == ({"two.forward": 1, "two.compensate": 1} if ends_well else {})
    assert nulls(run_id) == ([] if ends_well else ["two.compensate"])
    make_due([run_id])
    carried(run_id)
    assert state(run_id) is State.FAILED


def test_the_engines_database_ends_a_session_that_idles_too_long(purse: str) -> None:
    # Given an engine's database that allows a tenth of a second
    run_id = start(purse)
    chain = before_the_second_step(run_id)
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = '100ms'")
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()

    def dawdle(_: Call[Any]) -> None:
        def ended() -> bool:
            # In a transaction it is always the same picture, unless one asks for a new one.
            loyalty.execute("SELECT pg_stat_clear_snapshot()")
            return not loyalty.execute("SELECT pid FROM pg_stat_activity WHERE pid = %s", pid)

        eventually(ended, what="the engine's session ended")

    INTERRUPTIONS["two.forward"] = dawdle

    # When the participant takes longer
    with pytest.raises(ConnectionLost):
        deliver(chain)
    connection.close()
    INTERRUPTIONS.clear()

    # Then the effect is there, and the same message records it: that was no failed attempt
    assert stamps(run_id) == {"two.forward": 1}
    deliver(chain)
    assert story(run_id) == ["start", "one.forward DONE", "two.forward DONE"]
    make_due([run_id])
    carried(run_id)
    assert_once_in_both(run_id)


def test_a_second_delivery_waits_for_the_first_and_uses_its_outcome(
    purse: str, zombie_at: Callable[[Chain], Zombie]
) -> None:
    # Given a worker in the middle of its effect, cut off from the engine
    run_id = start(purse)
    chain = before_the_second_step(run_id)
    zombie = zombie_at(chain)
    INTERRUPTIONS["two.forward"] = lambda _: zombie.stall() if is_zombie() else None
    zombie.walk()

    # When the message comes again meanwhile
    again = Thread(target=deliver_apart, args=[chain])
    again.start()
    loyalty.await_waiting_there()
    zombie.end()
    again.join(30)

    # Then it has waited for the first, and taken its outcome
    assert stamps(run_id) == {"two.forward": 1}
    assert story(run_id) == ["start", "one.forward DONE", "two.forward DONE"]
    make_due([run_id])
    carried(run_id)
    assert_once_in_both(run_id)
