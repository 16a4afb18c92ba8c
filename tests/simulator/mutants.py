"""Engines with one mistake each, to see that the simulator finds it. Patched in by tests, never shipped.

Each takes away, or turns round, one thing that the promises rest on. ``HARMLESS`` has those behind which something
else stands, and says what.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

from payments import participants as payments
from sagas import store, tasks
from sagas.db import is_transient
from sagas.decisions import plan
from sagas.decisions.plan import Due, Move, Place, Stand
from sagas.definition.participants import Accepted, Done, Location, Phase
from sagas.delivery import dispatching, redelivery
from sagas.engine import (
    claiming,
    cohort,
    compensation,
    compressed,
    invocation,
    lifecycle,
    locks,
    performing,
    results,
    subsagas,
)
from sagas.engine.outside import barrier as step_barrier
from sagas.escalations import actions
from sagas.local import worker
from sagas.pool import resource as pool
from sagas.states import UNDECIDED, BarrierOutcome, State
from sagas.store import outbox
from sagas.store.locked_runs import LockedRun


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake.

    Attributes:
        name: what is wrong, in a few words.
        apply: makes the mistake, until it is left.
        promise: the codes of complaints, one of which must be among those that find it; any, if empty.
        among: the sagas that have what it spoils, where few have; all, if empty.
        trace: a schedule that finds it, where what must come together for that is drawn too seldom.
    """

    name: str
    apply: Callable[[], AbstractContextManager[object]]
    promise: frozenset[str] = frozenset()
    among: tuple[str, ...] = ()
    trace: str = ""


AFAR = ("Afar", "AfarForked")

MUTANTS: list[Mutant] = []
HARMLESS: list[Mutant] = []


def _mutant(
    name: str, *promise: str, among: tuple[str, ...] = (), trace: str = "", harmless: bool = False
) -> Callable[[Callable[[], AbstractContextManager[object]]], Callable[[], AbstractContextManager[object]]]:
    def take(apply: Callable[[], AbstractContextManager[object]]) -> Callable[[], AbstractContextManager[object]]:
        (HARMLESS if harmless else MUTANTS).append(Mutant(name, apply, frozenset(promise), among, trace))
        return apply

    return take


def named(name: str) -> Mutant:
    """The one of this name."""
    return next(mutant for mutant in (*MUTANTS, *HARMLESS) if mutant.name == name)


def _all(*patches: AbstractContextManager[object]) -> AbstractContextManager[object]:
    stack = ExitStack()
    for one in patches:
        stack.enter_context(one)
    return stack


# -- where a run stands -----------------------------------------------------------------------------------------------


@_mutant("a delivery is not compared with the cursor")
def _() -> AbstractContextManager[object]:
    def stand(definition: Any, place: Place, index: int, phase: Phase) -> Stand:
        same = place.state is plan.state_of(definition, index, phase)
        return Stand.HERE if same else Stand.ELSEWHERE

    return patch.object(plan, "stand", stand)


# The effect is rolled back: the trigger ``sagas_run_cursor`` refuses a cursor that rises on the way back, and a
# constraint refuses a final run that is due.
@_mutant("a forward delivery is taken in every state", harmless=True)
def _() -> AbstractContextManager[object]:
    honest = plan.stand

    def stand(definition: Any, place: Place, index: int, phase: Phase) -> Stand:
        if phase is Phase.FORWARD and place.state in {State.COMPENSATING, State.FAILED}:
            return Stand.HERE
        return honest(definition, place, index, phase)

    return patch.object(plan, "stand", stand)


@_mutant("runs are read without their locks", among=("Forked",))
def _() -> AbstractContextManager[object]:
    return _all(
        patch.object(store.runs, "lock", lambda ids, **_: store.runs.read(sorted(set(ids)))),
        patch.object(store.runs, "lock_one", lambda run_id: store.runs.read([run_id])[0]),
    )


@_mutant("a bit of a fork is lost")
def _() -> AbstractContextManager[object]:
    honest = plan.place_after

    def done(definition: Any, place: Place, index: int, phase: Phase, *, confirmed: bool) -> Any:
        if phase is Phase.FORWARD and place.fork and place.fork.bit_count() + 2 <= len(definition.stages[index]):
            place = replace(place, fork=0)
        return honest(definition, place, index, phase, confirmed=confirmed)

    return patch.object(plan, "place_after", done)


@_mutant("a resumed run begins again")
def _() -> AbstractContextManager[object]:
    def advance(change: Move, rows: Any, entry: Any, **more: Any) -> Any:
        if entry.operation == "resume":
            change = replace(change, after=Place(change.after.state, 0))
        return honest(change, rows, entry, **more)

    honest = store.moves.advance
    return patch.object(store.moves, "advance", advance)


# -- undoing ----------------------------------------------------------------------------------------------------------


@_mutant("only the first step is undone", "nothing")
def _() -> AbstractContextManager[object]:
    def lowest(definition: Any, cursor: int) -> int | None:
        return next((i for i in range(cursor) if definition.has_operation(i, Phase.UNDO)), None)

    return patch.object(plan, "_undoes_below", lowest)


@_mutant("branches are undone in their forward order", "order")
def _() -> AbstractContextManager[object]:
    honest = plan.operations_at

    def current(definition: Any, place: Place) -> Any:
        if place.state is State.COMPENSATING and place.fork:
            return (((place.fork & -place.fork).bit_length() - 1, Phase.UNDO),)
        return honest(definition, place)

    return patch.object(plan, "operations_at", current)


# The schema refuses what these three would write: what is seen is an engine that cannot go on.
_REFUSED = ("raised", "fault", "cause", "stranded")


@_mutant("the step that was rejected is undone too", "null", *_REFUSED)
def _() -> AbstractContextManager[object]:
    honest = plan.place_to_undo

    def compensating(definition: Any, place: Place, more: int = 0) -> Any:
        if place.state is State.EXECUTING and place.cursor < definition.before_pivot and not place.fork:
            place = replace(place, cursor=place.cursor + 1)
        return honest(definition, place, more)

    return patch.object(plan, "place_to_undo", compensating)


@_mutant("the last step that was done is not undone", "nothing")
def _() -> AbstractContextManager[object]:
    honest = plan.place_to_undo

    def compensating(definition: Any, place: Place, more: int = 0) -> Any:
        return honest(definition, replace(place, cursor=max(place.cursor - 1, 0)), more)

    return patch.object(plan, "place_to_undo", compensating)


@_mutant(
    "a step elsewhere that may have taken effect is not undone",
    "nothing",
    # One branch is killed between its two commits, and before it comes again another says no.
    trace="""
        seed 1
        0 start a saga=AfarForked reject=three
        crash two.forward(a)#1 at=6
    """,
)
def _() -> AbstractContextManager[object]:
    honest = plan.place_to_undo

    def compensating(definition: Any, place: Place, more: int = 0) -> Any:
        with ExitStack() as stack:
            for step in definition.all_steps:
                stack.enter_context(patch.object(step, "location", Location.LOCAL))
            return honest(definition, place, more)

    return patch.object(plan, "place_to_undo", compensating)


@_mutant(
    "an undo leaves no void row at the barrier",
    "hold",
    # A worker stands still at the barrier until PostgreSQL has ended its transaction here and the run is undone.
    trace="""
        seed 1
        0 start a saga=Afar
        stall three.try(a)#1 at=3 for=60
    """,
)
def _() -> AbstractContextManager[object]:
    honest = store.barriers.Table.enter

    def enter(
        self: store.barriers.Table, operations: Sequence[tuple[str, BarrierOutcome]], attempts: dict[UUID, int]
    ) -> Any:
        void = [operation for operation, outcome in operations if outcome is BarrierOutcome.VOID]
        fresh = honest(self, [one for one in operations if one[1] is not BarrierOutcome.VOID], attempts)
        for operation in void:
            there = self.read([operation], attempts)
            fresh |= {(run_id, operation) for run_id in attempts if (run_id, operation) not in there}
        return fresh

    return patch.object(store.barriers.Table, "enter", enter)


@_mutant("an undo elsewhere does not look whether there is anything to undo", "null", "effect", among=AFAR)
def _() -> AbstractContextManager[object]:
    return patch.object(step_barrier, "_enter_to_undo", step_barrier._enter)


@_mutant("a redelivery elsewhere finds no row", "effect", "cause", among=AFAR)
def _() -> AbstractContextManager[object]:
    return patch.object(step_barrier, "_recorded_answer", lambda *_: None)


@_mutant("a confirmation that came is not taken back", "nothing")
def _() -> AbstractContextManager[object]:
    return patch.object(compensation, "_also_to_undo", lambda *_: {})


@_mutant("a rejection keeps what it had done", "effect", "pool")
def _() -> AbstractContextManager[object]:
    def collect(participant: Any, call: Any, rejects: Any, using: str, *, pivot: bool) -> Any:
        try:
            result = participant(call)
            return result if isinstance(result, Done | Accepted) else Done(result)
        except Exception as error:
            if is_transient(error, using):
                raise
            return invocation.as_rejection(error) if isinstance(error, rejects) else invocation.Fault(error)

    return patch.object(invocation, "_collect_one", collect)


# -- confirm or cancel ------------------------------------------------------------------------------------------------


@_mutant("a run that is being undone takes its confirmation", "xor")
def _() -> AbstractContextManager[object]:
    return patch.object(lifecycle, "UNDECIDED", UNDECIDED | {State.COMPENSATING})


def _blind(function: str) -> AbstractContextManager[object]:
    """``lifecycle.<function>`` sees no confirmations."""
    honest = getattr(lifecycle, function)

    def blind(*args: Any, **more: Any) -> Any:
        with (
            patch.object(store.confirmations, "received", lambda ids: {run_id: set() for run_id in ids}),
            patch.object(store.confirmations, "received_by", lambda _: set()),
        ):
            return honest(*args, **more)

    return patch.object(lifecycle, function, blind)


@_mutant("a deadline does not look whether the confirmation came", "xor")
def _() -> AbstractContextManager[object]:
    return _blind("expire_unconfirmed")


@_mutant("a cancel does not look whether the confirmation came", "xor")
def _() -> AbstractContextManager[object]:
    return _blind("cancel_run")


@_mutant("a refusal does not look whether its confirmation came", "xor", among=("Twice", "Small"))
def _() -> AbstractContextManager[object]:
    return _blind("decline_confirmation")


@_mutant("one of two confirmations is enough", "xor", *_REFUSED, among=("Twice",))
def _() -> AbstractContextManager[object]:
    return _awaited_at_the_last_step(lambda run: set(sorted(c.name for c in run.definition.confirmations)[:1]))


@_mutant("nobody's confirmation is enough", "xor", *_REFUSED)
def _() -> AbstractContextManager[object]:
    return _awaited_at_the_last_step(lambda _: set())


def _awaited_at_the_last_step(awaited: Callable[[LockedRun], set[str]]) -> AbstractContextManager[object]:
    """``results`` believes of each run that it awaits these confirmations."""
    honest = results._confirmed

    def confirmed(*args: Any) -> Any:
        with patch.object(LockedRun, "awaited", property(awaited)):
            return honest(*args)

    return patch.object(results, "_confirmed", confirmed)


@_mutant("what has come is kept when a step says no", "nothing", among=("Closing", "Forked"))
def _() -> AbstractContextManager[object]:
    return patch.object(compensation, "refunds_due", lambda *_: defaultdict(int))


@_mutant(
    "what has come is kept when a person ends its run",
    "nothing",
    # It breaks behind the pivot, and the person undoes it by hand.
    trace="""
        seed 1
        0 start a saga=Forked faults=one.confirm:99
        0 confirm a what=approval
        200 resolve a
    """,
)
def _() -> AbstractContextManager[object]:
    return patch.object(actions, "refunds_due", lambda *_: {})


@_mutant("a payment that was taken is kept when its order is undone", "money", among=("PlaceOrder",))
def _() -> AbstractContextManager[object]:
    return patch.object(payments, "owe", lambda *_, **__: None)


@_mutant("a repeat is told what it said itself", "answer")
def _() -> AbstractContextManager[object]:
    honest = lifecycle.receive_confirmation

    def receive(run_id: UUID, name: str, data: str, *also: Any) -> Any:
        receipt, messages = honest(run_id, name, data, *also)
        return replace(receipt, data=json.loads(data)), messages

    return patch.object(lifecycle, "receive_confirmation", receive)


@_mutant(
    "a refusal is granted though the confirmation came",
    "answer",
    "xor",
    # Both come while the steps are on their way.
    trace="""
        seed 1
        0 start a saga=Small
        0 confirm a what=approval
        0.001 refuse a what=approval
    """,
)
def _() -> AbstractContextManager[object]:
    return _blind("decline_confirmation")


# Alone neither does harm: a child that holds looks at a parent that has ended, and ends as it did.
@_mutant("a parent does not wait until its child is confirmed, which does not look", "family", "stranded", "cause")
def _() -> AbstractContextManager[object]:
    return _all(patch.object(subsagas._Confirm, "__call__", lambda *_: Done()), _no_child_looks())


@_mutant("a parent does not undo its child, which does not look", "family", "stranded", "cause")
def _() -> AbstractContextManager[object]:
    return _all(patch.object(subsagas._Cancel, "__call__", lambda *_: Done()), _no_child_looks())


def _no_child_looks() -> AbstractContextManager[object]:
    return patch.object(store.runs, "final_state", lambda _: None)


# -- nothing is stranded ----------------------------------------------------------------------------------------------


@_mutant("the tick takes up no lapsed lease", "stranded")
def _() -> AbstractContextManager[object]:
    def fresh_only(*, lapsed: bool = False, begin: bool = True) -> claiming.Claimed:
        return claiming.Claimed() if lapsed else claiming.claim(begin=begin)

    return patch.object(dispatching, "claim", fresh_only)


@_mutant("every kick and every tick is lost", "stranded")
def _() -> AbstractContextManager[object]:
    from tests.simulator.outside import Redis
    from tests.simulator.simulation import Simulation

    return _all(
        patch.object(Redis, "send_packed_command", lambda *_, **__: None),
        patch.object(Simulation, "_tick_before", lambda *_: 0),
    )


@_mutant("a lease never ends", "stranded")
def _() -> AbstractContextManager[object]:
    # A claim of a few plain runs gives its lease by a statement of its own.
    of_a_few = store.claims._lease_few

    def endless(*, begin: bool) -> str:
        return of_a_few(begin=begin).replace("%s::interval", "1000000 * %s::interval")

    return _all(
        patch.object(store.claims, "_LEASE", store.claims._LEASE.replace("%s *", "%s * 1000000 *")),
        patch.object(store.claims, "_lease_few", endless),
    )


@_mutant("a retry has no time at which it is due", "raised", "stranded", "cause")
def _() -> AbstractContextManager[object]:
    honest = store.moves.advance

    def advance(change: Move, rows: Any, entry: Any, **more: Any) -> Any:
        if entry.outcome == "FAULT" and change.after == change.before:
            change = replace(change, due=Due.NEVER)
        return honest(change, rows, entry, **more)

    return patch.object(store.moves, "advance", advance)


# The task of the step does not find the step's code either, and passes the delivery on to another process.
@_mutant("a process takes runs for which it has no code", among=("Changing",), harmless=True)
def _() -> AbstractContextManager[object]:
    return patch.object(store.definitions, "missing_parts", lambda *_: "")


@_mutant("nobody is called for runs whose code is gone", "stranded", among=("Changing",))
def _() -> AbstractContextManager[object]:
    def never(definition: Any, rows: Any) -> Any:
        return list(rows)

    return patch.object(claiming, "_escalate_stuck_rows", never)


@_mutant("attempts are not counted", "stranded")
def _() -> AbstractContextManager[object]:
    honest = store.moves.advance

    def advance(change: Move, rows: Any, entry: Any, **more: Any) -> Any:
        if entry.outcome == "FAULT":
            change = replace(change, attempt=0)
        return honest(change, rows, entry, **more)

    return patch.object(store.moves, "advance", advance)


@_mutant("a deadline is judged a second early", "early")
def _() -> AbstractContextManager[object]:
    honest = store.runs.clock

    def hasty() -> Any:
        return honest() + timedelta(seconds=1)

    return patch.object(store.runs, "clock", hasty)


@_mutant("the tick does not judge deadlines", "cause", "stranded")
def _() -> AbstractContextManager[object]:
    return patch.object(claiming, "_undo_overdue", lambda runs: (list(runs), []))


@_mutant("nobody is told of an escalation", "escalation")
def _() -> AbstractContextManager[object]:
    honest = store.escalations.open_escalation

    # (None at all the database refuses at the COMMIT.)
    def silently(row: Any, **more: Any) -> None:
        honest(row, **more)
        store.escalations.acknowledge(row.id, by="nobody")

    return patch.object(store.escalations, "open_escalation", silently)


@_mutant("a step that breaks once is given up", "cause", "gave up")
def _() -> AbstractContextManager[object]:
    from sagas.definition.retry import GiveUp, Retry

    return patch.object(Retry, "decide", lambda *_, **__: GiveUp())


@_mutant("those in line at a key do not wait", "keys", among=("KeyedTillApproved", "KeyedParent"))
def _() -> AbstractContextManager[object]:
    return patch.object(locks, "postpone_in_line", lambda rows: (list(rows), []))


# -- the books --------------------------------------------------------------------------------------------------------


class _LastOnly(Counter[Any]):
    """Keeps the last of what is added for a key."""

    def __getitem__(self, key: Any) -> int:
        return 0


@_mutant("what a cohort takes of one pool row is not summed", "pool")
def _() -> AbstractContextManager[object]:
    return patch.object(pool, "Counter", _LastOnly)


@_mutant("a hold is found by its step alone", "hold", "pool")
def _() -> AbstractContextManager[object]:
    honest = pool.PoolResource._execute

    def execute(self: pool.PoolResource[Any], sql: str, params: Sequence[Any], **more: Any) -> Any:
        sql = sql.replace("WHERE run_id = ANY(%s::uuid[]) AND", "WHERE %s::uuid[] IS NOT NULL AND")
        return honest(self, sql, params, **more)

    return patch.object(pool.PoolResource, "_execute", execute)


# The pool compares its counts with the holds, and refuses: a fault, which the honest engine has not.
@_mutant("holds are given back twice", "pool", "raised", "cause", "fault")
def _() -> AbstractContextManager[object]:
    honest = vars(pool.PoolResource)["_settle_sql"].func

    def settle_sql(self: pool.PoolResource[Any]) -> dict[str, str]:
        texts: dict[str, str] = honest(self)
        return {**texts, "available": texts["available"].replace("sum(quantity)", "2 * sum(quantity)")}

    # A property goes before what the resource has cached.
    return patch.object(pool.PoolResource, "_settle_sql", property(settle_sql))


@_mutant("the result of a step is not kept", "result")
def _() -> AbstractContextManager[object]:
    return patch.dict(store.moves._KEPT, {store.moves.Keep.RESULT: ("", 0)})


@_mutant("an event is told without being counted", "events", "raised", "cause")
def _() -> AbstractContextManager[object]:
    honest = outbox.branch

    def branch(told: Any, *, data: bool) -> Any:
        made = honest(told, data=data)
        return replace(made, counted=(0,)) if made.counted else made

    return patch.object(outbox, "branch", branch)


@_mutant("effect and log are two transactions", "effect", "pool", "hold", "raised", "cause", "shop")
def _() -> AbstractContextManager[object]:
    honest = cohort._answers

    def answers(*args: Any) -> Any:
        from django.db import connection

        given = honest(*args)
        # What the participants did is committed before it is written down.
        connection.connection.commit()
        return given

    return _all(patch.object(cohort, "_answers", answers))


# -- the short path ---------------------------------------------------------------------------------------------------


@_mutant("an attempt is carried over on the short path", "attempt", "raised", "cause", "gave up", "stranded")
def _() -> AbstractContextManager[object]:
    honest = store.moves.advance

    def advance(change: Move, rows: Any, entry: Any, **more: Any) -> Any:
        if more.get("held"):
            change = replace(change, attempt=rows[0].attempt + 1)
        return honest(change, rows, entry, **more)

    return patch.object(store.moves, "advance", advance)


@_mutant("a redelivery goes on by the short path", "path")
def _() -> AbstractContextManager[object]:
    return patch.object(tasks, "_number", lambda *_: 0)


@_mutant("the short path leaves runs as if nobody had them", "path")
def _() -> AbstractContextManager[object]:
    honest = store.moves.advance

    def advance(change: Move, rows: Any, entry: Any, **more: Any) -> Any:
        return honest(change, rows, entry, **(more | {"held": False}))

    return patch.object(store.moves, "advance", advance)


# -- without a broker -------------------------------------------------------------------------------------------------


@_mutant(
    "a death without a broker is counted for every branch",
    "blame",
    trace="""
        seed 5 work=yes
        0 start a saga=Pivoted kills=left.forward
        1 confirm a what=approval
    """,
)
def _() -> AbstractContextManager[object]:
    honest = worker.Worker._perform

    def perform(self: worker.Worker, chain: Any, *, deaths: int = 0) -> None:
        honest(self, chain, deaths=chain.interruptions or deaths)

    # The other branches keep the number, too.
    kept = patch.object(worker, "replace", lambda chain, **_: chain)
    return _all(kept, patch.object(worker.Worker, "_perform", perform))


@_mutant(
    "nobody without a broker takes up a lapsed lease",
    "stranded",
    trace="""
        seed 5 work=yes
        0 start a saga=Small
        crash work#1 at=12
    """,
)
def _() -> AbstractContextManager[object]:
    return patch.object(worker.Worker, "_take_up_lapsed", lambda _: None)


@_mutant("results are handed on as the participants gave them", "result")
def _() -> AbstractContextManager[object]:
    honest_record, honest_call = results.record_answers, cohort._call
    given: dict[UUID, dict[str, Any]] = {}

    def record(delivery: Any, rows: Any, answers: Any, duration: int) -> Any:
        for row, answer in zip(rows, answers, strict=True):
            if delivery.held and isinstance(answer, Done) and answer.result is not None:
                given.setdefault(row.id, {})[delivery.step.name] = answer.result
        return honest_record(delivery, rows, answers, duration)

    def call(delivery: Any, row: Any, came: Any) -> Any:
        made = honest_call(delivery, row, came)
        return replace(made, results={**made.results, **given.get(row.id, {})})

    return _all(patch.object(cohort, "record_answers", record), patch.object(cohort, "_call", call))


# -- the compressed lifecycle -----------------------------------------------------------------------------------------


# The database refuses what it would do next: the transaction is rolled back, and the ordinary way does it right.
@_mutant("a rejected run goes on in its compressed transaction", harmless=True)
def _() -> AbstractContextManager[object]:
    def forget(delivery: Any, rows: Any, *more: Any) -> Any:
        return list(rows), results.record_answers(delivery, rows, *more)[1]

    return patch.object(compressed, "record_answers", forget)


# The trigger ``sagas_run_cursor`` refuses a cursor that rises by more steps than were logged.
@_mutant("a compressed transaction logs its last step only", harmless=True)
def _() -> AbstractContextManager[object]:
    honest = store.moves.advance_through

    def advance(change: Move, rows: Any, passed: Sequence[Any], **more: Any) -> None:
        honest(change, rows, passed[-1:], **more)

    return patch.object(store.moves, "advance_through", advance)


# -- of which something else takes care -------------------------------------------------------------------------------


# What is lost with its worker is like a lost message: the lease lapses, and the tick sends the runs out again.
@_mutant("a delivery is acked before it is performed", harmless=True)
def _() -> AbstractContextManager[object]:
    from tests.simulator.machines import Machines

    return patch.object(Machines, "_again", lambda *_: None)


# When the lease of its runs lapses, they are sent out again in smaller cohorts, and each run alone in the end.
@_mutant("a cohort that has killed its worker is not halved", harmless=True)
def _() -> AbstractContextManager[object]:
    def whole(link: Any, ids: Sequence[UUID], *, token: int = 0, **_: Any) -> Any:
        return performing.perform(link, list(ids), worker="", token=token).messages

    return patch.object(redelivery, "redeliver_in_halves", whole)


# The runs it would have carried on are claimed again when their lease lapses.
@_mutant("a redelivery right behind the step is dropped", harmless=True)
def _() -> AbstractContextManager[object]:
    honest = plan.stand

    def stand(*args: Any) -> Stand:
        found = honest(*args)
        return Stand.ELSEWHERE if found is Stand.BEHIND else found

    return patch.object(plan, "stand", stand)


# The tick finds all that is due, a second later.
@_mutant("every kick is lost", harmless=True)
def _() -> AbstractContextManager[object]:
    from tests.simulator.outside import Redis

    return patch.object(Redis, "send_packed_command", lambda *_, **__: None)


# Rows are locked and read by id, each once, however often an id is named.
@_mutant("a run twice in a cohort is not noticed", harmless=True)
def _() -> AbstractContextManager[object]:
    @contextmanager
    def doubling() -> Iterator[None]:
        honest = performing.perform

        def twice(link: Any, ids: Sequence[UUID], **more: Any) -> Any:
            return honest(link, [*ids, *ids], **more)

        with patch.object(redelivery, "perform", twice):
            yield

    return doubling()


# What is decided rests on the state, which is read under the lock. A deadline that is taken for not yet over by a
# clock that was read too early is armed again, and judged then.
@_mutant("the clock is read before the lock", harmless=True)
def _() -> AbstractContextManager[object]:
    @contextmanager
    def early() -> Iterator[None]:
        read: list[Any] = []
        lock, lock_one, clock, lock_due = store.runs.lock, store.runs.lock_one, store.runs.clock, store.claims.lock_due

        def lock_late(ids: Any, **more: Any) -> Any:
            read[:] = [clock()]
            return lock(ids, **more)

        def lock_one_late(run_id: UUID) -> Any:
            read[:] = [clock()]
            return lock_one(run_id)

        def claim_late(*args: Any, **more: Any) -> Any:
            read[:] = [clock()]
            return lock_due(*args, **more)

        with (
            patch.object(store.runs, "lock", lock_late),
            patch.object(store.runs, "lock_one", lock_one_late),
            patch.object(store.claims, "lock_due", claim_late),
            patch.object(store.runs, "clock", lambda: read[0]),
        ):
            yield

    return early()
