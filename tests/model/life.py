"""What may happen to a run: every transaction of the engine that moves it, every message, every fault.

What comes next for a run is decided by the engine's own pure functions (``sagas.plan``, ``sagas.retry``, and
``sagas.states`` through ``plan.Move``); what surrounds them, the conditions that the transactions read in the database,
is written here again, and ``test_replay`` holds it to the engine. Of each it is said which function it stands for.

A transaction is one action, for it holds the run's lock from its first read to its commit. With ``stepwise`` it is two,
and the lock is a part of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, NamedTuple

from sagas import plan
from sagas.definition import Definition
from sagas.participant import Phase
from sagas.plan import Due, Move, Place, Sooner, Stand
from sagas.retry import Again
from sagas.states import FINAL, LIVE, UNDECIDED, Passage, State
from tests.model.explorer import Kind
from tests.model.rules import RIGHT, Rules
from tests.model.world import (
    DEADLINE,
    NO_ROWS,
    PHASES,
    Barrier,
    Chain,
    Effects,
    Message,
    Row,
    Task,
    Wait,
    When,
    World,
    name,
)

#: Transactions that are in the middle of their work at the same time, where they are explored stepwise.
AT_ONCE = 2


class Broken(Exception):
    """What a participant raises in the model; a policy of retries asks for it."""


class Result(NamedTuple):
    """One thing that a transaction may come to.

    Attributes:
        label: what.
        kind: who makes it so.
        row: the run behind the commit.
        effect: the operation that took effect.
        out: what is published after the commit.
        there: the step's barrier rows, which were committed before, if there are any.
    """

    label: str
    kind: Kind
    row: Row
    effect: tuple[int, Phase] | None = None
    out: tuple[Message, ...] = ()
    there: tuple[int, Barrier] | None = None


Step = tuple[str, Kind, World]


class Life:
    """The model of one run of a saga.

    Args:
        definition: its saga; at most one confirmation.
        rules: which of the engine's rules hold.
        lease_limit: claims without progress, after which a person is called: ``SAGAS["LEASE_LIMIT"]``.
        foreign: whether some process claims runs that does not know the saga.
        refuses: whether the broker refuses messages, so that leases are given back.
        stepwise: whether transactions are two actions: the read, and the write.
    """

    def __init__(
        self,
        definition: Definition,
        rules: Rules = RIGHT,
        *,
        lease_limit: int = 2,
        foreign: bool = False,
        refuses: bool = False,
        stepwise: bool = False,
    ) -> None:
        assert len(definition.confirmations) <= 1
        self.definition = definition
        self.rules = rules
        self.lease_limit = lease_limit
        self.foreign = foreign
        self.refuses = refuses
        self.stepwise = stepwise
        self.onward = cache(self._onward)
        self.stand = cache(partial(plan.stand, definition))
        self.done = cache(partial(plan.done, definition))
        self.first = World(
            Row(Place(State.PENDING, 0)),
            ((0, 0, 0),) * len(definition.all_steps),
            there=tuple(NO_ROWS for _ in definition.all_steps),
        )

    def _onward(self, place: Place) -> tuple[Chain, ...]:
        return tuple(
            tuple((self.definition.index(link.step), link.phase) for link in links)
            for links in plan.onward(self.definition, place)
        )

    # -- All that may happen --------------------------------------------------------------------------------

    def successors(self, world: World) -> Iterator[Step]:
        """What may happen next."""
        yield from self._time(world)
        yield from self._ghosts(world)
        if world.working:
            yield from self._commits(world)
        if world.working and (self.rules.locks or len(world.working) >= AT_ONCE):
            return
        for message in world.air:
            called = name(self.definition, message)
            yield f"{called} is lost", Kind.FAULT, world._replace(air=world.air - {message})
            yield from self._transact(world, Task(called, "deliver", message))
        row = world.row
        if row.due is When.NOW and (row.claims == 0 or self.rules.claims_again):
            yield from self._transact(world, Task("claim", "claim"))
            if self.foreign:
                yield from self._transact(world, Task("claim", "claim unknown"))
        yield from self._transact(world, Task("the customer", "confirm"))
        yield from self._transact(world, Task("the customer", "cancel"))
        yield from self._transact(world, Task("a person", "decide"))

    def _time(self, world: World) -> Iterator[Step]:
        row = world.row
        if row.due is When.LATER:
            # A lease that is over while a message is on its way that would have made progress: somebody was late.
            late = any(self._is_welcome(row, message) for message in world.air)
            kind = Kind.FAULT if late else Kind.ENGINE
            yield "time: the lease, or the wait, is over", kind, world._replace(row=row._replace(due=When.NOW))
        if row.started and not row.over and self.definition.confirmations and row.place.state in LIVE:
            due: When | None = When.NOW if row.due is When.DEADLINE else row.due
            yield "time: the deadline is over", Kind.ENGINE, world._replace(row=row._replace(over=True, due=due))
        for wait in row.waits:
            if not wait.over:
                waits = tuple(w._replace(over=True) if w == wait else w for w in row.waits)
                due = When.NOW if row.due in {When.LATER, When.WAIT} else row.due
                label = f"time: {self._step(wait.at)} may be tried again"
                yield label, Kind.ENGINE, world._replace(row=row._replace(waits=waits, due=due))

    def _is_welcome(self, row: Row, message: Message) -> bool:
        return not isinstance(message, str) and not self._is_held(row, message[0][0]) and self._stands(row, message[0])

    # -- Transactions ---------------------------------------------------------------------------------------

    def _results(self, task: Task, row: Row, world: World) -> Iterator[Result]:
        """What a transaction may come to that has read this row."""
        match task.what:
            case "deliver":
                return self._expire(row) if isinstance(task.message, str) else self._perform(task.message, row, world)
            case "claim":
                return self._claim(row)
            case "claim unknown":
                return self._claim_of_nothing_known(row)
            case "confirm":
                return self._confirm(row)
            case "cancel":
                return self._cancel(row)
            case _:
                return self._decide(row)

    def _transact(self, world: World, task: Task) -> Iterator[Step]:
        results = self._results(task, world.row, world)
        if self.stepwise:
            if any(True for _ in results):
                working = (*world.working, (task, world.row))
                yield f"{task.who}: {task.what}: reads", Kind.ENGINE, world._replace(working=working)
            return
        for result in results:
            yield from self._fates(world, task.who, result, result.row, task.message)

    def _commits(self, world: World) -> Iterator[Step]:
        """The second half of transactions that have read the run."""
        for position, (task, read) in enumerate(world.working):
            left = world._replace(working=world.working[:position] + world.working[position + 1 :])
            yield f"{task.who}: {task.what}: dies before its commit", Kind.FAULT, left
            for result in self._results(task, read, world):
                if self.rules.guards_moves and result.row.place != read.place != world.row.place:
                    # IllegalTransition: rolled back, and delivered again.
                    yield f"{task.who}: {task.what}: is refused by the guard", Kind.FAULT, left
                    continue
                row = self._written(world.row, read, result.row)
                yield from self._fates(left, f"{task.who}: commits", result, row, task.message)

    def _written(self, now: Row, read: Row, row: Row) -> Row:
        """Write into the run as it is now what a transaction has changed of the run as it read it."""
        if now == read:
            return row
        changed: dict[str, Any] = {f: new for f, old, new in zip(Row._fields, read, row, strict=True) if old != new}
        if changed:
            # Time passes for the row, whoever reads it; but what an UPDATE sets is set.
            plan.Move(now.place, changed.get("place", now.place), plan.NOW)
        if changed.get("due") is When.DEADLINE and now.over:
            # The UPDATE computes it from the deadline as it is.
            changed["due"] = When.NOW
        return now._replace(**changed)

    def _fates(self, world: World, who: str, result: Result, row: Row, message: Message | None) -> Iterator[Step]:
        """What becomes of a commit: it is published and acked, or somebody dies on the way, or comes twice."""
        effects = world.effects
        if result.effect is not None:
            effects = _counted(effects, *result.effect)
        there = world.there
        if result.there is not None:
            index, rows = result.there
            there = (*there[:index], rows, *there[index + 1 :])
        after = World(row, effects, world.air, there, world.ghosts, world.working)
        label = f"{who}: {result.label}"
        kept, published = world.air, frozenset(result.out)
        if message is None:
            yield label, result.kind, after._replace(air=kept | published)
            if published - kept:
                yield f"{label}, dies before it publishes", Kind.FAULT, after
            return
        yield label, result.kind, after._replace(air=kept - {message} | published)
        if after != world or published - kept:
            yield f"{label}, and comes again", Kind.FAULT, after._replace(air=kept | published)
        if published - kept:
            # Acked late, so the message comes again; acked early, it is gone with the worker.
            left = kept if self.rules.acks_late else kept - {message}
            yield f"{label}, dies before it publishes", Kind.FAULT, after._replace(air=left)
        if not self.rules.acks_late:
            yield f"{who}: dies before its commit", Kind.FAULT, world._replace(air=kept - {message})

    # -- Claim: ``claim.claim`` -----------------------------------------------------------------------------

    def _claim(self, row: Row) -> Iterator[Result]:
        definition, place = self.definition, row.place
        if self._is_stuck(row):
            yield Result("gives up", Kind.ENGINE, self._escalated(row))
            return
        if self._is_overdue(row) and self.rules.tick_judges:
            yield Result("finds it overdue", Kind.ENGINE, self._turned_back(row, "expired"))
            return
        chains = self.onward(place)
        if place.state is State.AWAITING_CONFIRM:
            yield from self._follow(row)
        elif chains:
            going = tuple(c for c in chains if not self._waits_at(row, c[0]))
            if not going:
                yield Result("finds that it waits", Kind.ENGINE, row._replace(claims=0, due=When.WAIT))
                return
            begins = not row.started
            out: tuple[Message, ...] = going
            if begins and definition.confirmations:
                out = (*out, DEADLINE)
            leased = self._leased(row)
            yield Result("sends it on", Kind.ENGINE, leased, out=out)
            if self.refuses:
                given_back = self._given_back(leased)
                yield Result("is refused by the broker", Kind.FAULT, given_back)
                # A publish whose confirmation did not come in time was refused, as far as anybody knows.
                yield Result("is refused by the broker, which has it", Kind.FAULT, given_back, out=going)
        else:
            after = plan.finished(place)
            yield Result("finds nothing left to do", Kind.ENGINE, self._moved(row, after, Due.NEVER))

    def _leased(self, row: Row) -> Row:
        """``claim_store.lease``."""
        state = State.EXECUTING if row.place.state is State.PENDING else row.place.state
        place = Place(state, row.place.cursor, row.place.fork)
        due = When.LATER if self.rules.leases else None
        return self._at(row, place)._replace(claims=row.claims + 1, due=due, started=True)

    def _given_back(self, row: Row) -> Row:
        """``claim_store.release``."""
        untouched = row.place == Place(State.EXECUTING, 0) and (row.attempt, row.claims) == (0, 1) and not row.waits
        row = row._replace(claims=row.claims - 1, due=When.LATER)
        return row._replace(started=False, over=False) if untouched else row

    def _follow(self, row: Row) -> Iterator[Result]:
        """``lifecycle.follow_confirmations``, of a run that waits for one; ``claim._claim_group``."""
        if row.came:
            yield Result("finds it confirmed", Kind.ENGINE, self._confirmed(row))
        elif row.started:
            yield Result("looks at it too early", Kind.ENGINE, row._replace(claims=0, due=When.DEADLINE))
        elif self.rules.begins_before_it_waits:
            yield Result("lets its time begin", Kind.ENGINE, self._leased(row), out=(DEADLINE,))

    def _claim_of_nothing_known(self, row: Row) -> Iterator[Result]:
        """``claim._leave``, by a process that does not know the saga."""
        if self._is_stuck(row):
            yield Result("gives up a saga it does not know", Kind.FAULT, self._escalated(row))
        else:
            yield Result("does not know it", Kind.FAULT, row._replace(claims=row.claims + 1, due=When.LATER))

    def _is_stuck(self, row: Row) -> bool:
        return row.claims >= self.lease_limit

    # -- A step: ``perform.perform``, ``record.record`` --------------------------------------------------------

    def _perform(self, chain: Chain | None, row: Row, world: World) -> Iterator[Result]:
        assert chain
        index, phase = chain[0]
        if self._is_held(row, index):
            yield Result("waits for its attempt, dropped", Kind.ENGINE, row)
            return
        stand = self._stand(row, index, phase)
        if stand is Stand.BEHIND:
            yield Result("is behind it, passed on", Kind.ENGINE, row, out=self._passed_on(row.place, chain))
            return
        if stand is Stand.ELSEWHERE:
            yield Result("is elsewhere, dropped", Kind.ENGINE, row)
            return
        if not self.definition.all_steps[index].database:
            yield Result("breaks", Kind.FAULT, self._broken(row, index, phase))
            if self._may_reject(index, phase):
                yield Result("says no", Kind.CHOICE, self._turned_back(row, "rejected"))
            yield self._did(row, chain, effect=(index, phase))
            return
        for label, kind, rows, effect in self._pass(world.there[index], index, phase):
            there = (index, rows)
            if label == "breaks":
                yield Result(label, kind, self._broken(row, index, phase))
            elif label == "says no":
                yield Result(label, kind, self._turned_back(row, "rejected"), there=there)
            else:
                done = self._did(row, chain, effect=(index, phase) if effect else None)
                yield done._replace(label=f"{label}, {done.label}", there=there)

    def _did(self, row: Row, chain: Chain, *, effect: tuple[int, Phase] | None) -> Result:
        """``record._record_done``."""
        (index, phase) = chain[0]
        before = row.place
        asks = self.rules.last_step_asks_for_confirmation
        confirmed = (row.came and asks) or not self.definition.confirmations
        after, due = self.done(before, index, phase, confirmed=confirmed)
        moved = self._moved(row, after, due)
        moved = moved._replace(waits=tuple(w for w in moved.waits if w.at != index))
        out: tuple[Message, ...] = ()
        if after.state is before.state and due is not Due.KEEP:
            out = self._passed_on(after, chain)
        return Result("done", Kind.ENGINE, moved, effect, out)

    def _passed_on(self, place: Place, chain: Chain) -> tuple[Message, ...]:
        """``record.pass_on``."""
        (index, phase), rest = chain[0], chain[1:]
        if plan.chained(self.definition, index, phase):
            return (rest,) if rest else ()
        return self.onward(place)

    def _broken(self, row: Row, index: int, phase: Phase) -> Row:
        """``record._record_faults``."""
        forked = plan.is_fork(self.definition, index, phase)
        failed = next((w.failed for w in row.waits if w.at == index), row.attempt) if forked else row.attempt
        retry = self.definition.all_steps[index].actions[phase].retry
        if isinstance(retry.decide(failed + 1, Broken()), Again):
            if not forked:
                return self._moved(row, row.place, plan.NOW)._replace(attempt=failed + 1, due=When.LATER)
            others = tuple(w for w in row.waits if w.at != index)
            waits = tuple(sorted((*others, Wait(index, failed + 1, over=False))))
            # ``Sooner``: what is due is due.
            due = When.NOW if row.due is When.NOW else When.LATER
            return row._replace(attempt=0, claims=0, due=due, waits=waits)
        if self._may_reject(index, phase):
            return self._turned_back(row, "fault")
        return self._escalated(row)

    def _may_reject(self, index: int, phase: Phase) -> bool:
        """``Delivery.may_turn_back``."""
        return phase is Phase.FORWARD and index < self.definition.before_pivot

    def _stand(self, row: Row, index: int, phase: Phase) -> Stand:
        if not self.rules.reads_cursor:
            right = row.place.state is plan.state_of(self.definition, index, phase)
            return Stand.HERE if right else Stand.ELSEWHERE
        return self.stand(row.place, index, phase)

    def _stands(self, row: Row, operation: tuple[int, Phase]) -> bool:
        return self.stand(row.place, *operation) is Stand.HERE

    def _is_held(self, row: Row, index: int) -> bool:
        """``Row.waits_for_retry``; ``Row.waits_at``, for a branch."""
        waits = row.attempt > 0 and row.claims == 0 and self.rules.waits_for_its_attempt
        return waits or any(w.at == index and not w.over for w in row.waits)

    def _waits_at(self, row: Row, operation: tuple[int, Phase]) -> bool:
        index, phase = operation
        return phase is not Phase.UNDO and any(w.at == index and not w.over for w in row.waits)

    # -- In another database: ``elsewhere.collect`` -----------------------------------------------------------

    def _pass(self, rows: Barrier, index: int, phase: Phase) -> Iterator[tuple[str, Kind, Barrier, bool]]:
        """What may happen at the barrier and behind it: label, kind, the rows then, and whether there is an effect."""
        forward, confirm, undo = rows
        own = PHASES.index(phase)
        recorded = rows[own] if self.rules.barrier_remembers else None
        if recorded is Passage.DONE:
            yield "was done there before", Kind.ENGINE, rows, False
        elif recorded is not None:
            yield "says no", Kind.ENGINE, rows, False
        elif phase is Phase.UNDO and forward is not Passage.DONE and self.rules.undo_asks_forward_row:
            took = Passage.VOID if forward is None and self.rules.undo_takes_forward_row else forward
            yield "has nothing to undo there", Kind.ENGINE, (took, confirm, Passage.DONE), False
        else:
            yield "breaks", Kind.FAULT, rows, False
            if self._may_reject(index, phase):
                yield "says no", Kind.CHOICE, (Passage.REJECTED, confirm, undo), False
            after: Barrier = tuple(Passage.DONE if i == own else p for i, p in enumerate(rows))  # type: ignore[assignment]
            yield "commits there", Kind.ENGINE, after, True

    def _ghosts(self, world: World) -> Iterator[Step]:
        """Workers that have lost the run's lock, and do not know it, in another database."""
        row = world.row
        for message in world.air:
            if not isinstance(message, str):
                index, phase = message[0]
                away = bool(self.definition.all_steps[index].database) and (index, phase) not in world.ghosts
                if away and not self._is_held(row, index) and self._stands(row, (index, phase)):
                    label = f"{name(self.definition, message)}: loses its lock in the middle"
                    yield label, Kind.FAULT, world._replace(ghosts=world.ghosts | {(index, phase)})
        for index, phase in world.ghosts:
            left = world._replace(ghosts=world.ghosts - {(index, phase)})
            for label, _, rows, effect in self._pass(world.there[index], index, phase):
                there = (*world.there[:index], rows, *world.there[index + 1 :])
                effects = _counted(world.effects, index, phase) if effect else world.effects
                ghost = f"the ghost of {name(self.definition, ((index, phase),))}: {label}"
                yield ghost, Kind.FAULT, left._replace(there=there, effects=effects)

    # -- From outside: ``lifecycle`` --------------------------------------------------------------------------

    def _confirm(self, row: Row) -> Iterator[Result]:
        """``receive_confirmation``; refused ones and repeats change nothing."""
        if not self.definition.confirmations or row.came:
            return
        if row.place.state not in UNDECIDED and self.rules.confirmation_asks_for_state:
            return
        came = row._replace(came=True)
        after = self._confirmed(came) if row.place.state is State.AWAITING_CONFIRM else came
        yield Result("confirms", Kind.CHOICE, after)

    def _confirmed(self, row: Row) -> Row:
        return self._moved(row, *plan.confirming(self.definition, before=row.place.state))

    def _cancel(self, row: Row) -> Iterator[Result]:
        """``cancel_run``."""
        confirmed = bool(self.definition.confirmations) and row.came and self.rules.cancel_asks_for_confirmation
        if row.place.state in UNDECIDED and not confirmed:
            yield Result("cancels", Kind.CHOICE, self._turned_back(row, "cancelled"))

    def _expire(self, row: Row) -> Iterator[Result]:
        """``expire``."""
        judged = row.place.state in UNDECIDED or not self.rules.deadline_asks_for_state
        if not judged or not row.started or (row.came and self.rules.deadline_asks_for_confirmation):
            yield Result("is not for it", Kind.ENGINE, row)
        elif row.over:
            yield Result("turns it back", Kind.ENGINE, self._turned_back(row, "expired"))

    def _is_overdue(self, row: Row) -> bool:
        came = row.came and self.rules.deadline_asks_for_confirmation
        return row.place.state in UNDECIDED and row.started and row.over and not came

    def _decide(self, row: Row) -> Iterator[Result]:
        """``resume_run``, ``escalation.resolve``."""
        if row.place.state is not State.ESCALATED or row.escalated_from is None:
            return
        state = row.escalated_from if self.rules.resumes_where_it_stood else State.EXECUTING
        place = Place(state, row.place.cursor, row.place.fork)
        closed = row._replace(escalated_from=None)
        yield Result("resumes it", Kind.PERSON, self._moved(closed, place, plan.NOW))
        for outcome in sorted(FINAL):
            ended = self._moved(closed, Place(outcome, row.place.cursor), Due.NEVER)
            yield Result(f"resolves it as {outcome}", Kind.PERSON, ended._replace(why="by hand"))

    # -- Moves: ``turns``, ``store`` --------------------------------------------------------------------------

    def _turned_back(self, row: Row, why: str) -> Row:
        """``turns.turn_back``. What its branches waited for is nothing to an undo."""
        more = 0
        if row.came and self.definition.confirmations[0].refund is not None:
            more = 1 << len(self.definition.steps)
        after, due = plan.compensating(self.definition, row.place, more)
        return self._moved(row, after, due)._replace(why=why, waits=())

    def _escalated(self, row: Row) -> Row:
        """``turns.escalate``."""
        after = Place(State.ESCALATED, row.place.cursor, row.place.fork)
        return self._moved(row, after, Due.NEVER)._replace(escalated_from=row.place.state)

    def _at(self, row: Row, place: Place) -> Row:
        Move(row.place, place, plan.NOW)  # refuses what is not in the table
        return row._replace(place=place)

    def _moved(self, row: Row, after: Place, due: Due | Sooner | float) -> Row:
        """``move_store.move``, ``move_store.advance``: see ``move_store._set``."""
        row = self._at(row, after)
        if due is Due.KEEP:
            return row
        return row._replace(attempt=0, claims=0, due=self._due(row, due))

    def _due(self, row: Row, due: Due | Sooner | float) -> When | None:
        if due is Due.NEVER:
            return None
        if due is Due.DEADLINE and not row.started:
            # Nobody has given it a deadline yet: the dispatcher does, at once.
            return When.NOW if self.rules.begins_before_it_waits else When.LATER
        if due is Due.DEADLINE:
            return When.NOW if row.over else When.DEADLINE
        return When.NOW if due == plan.NOW else When.LATER

    def _step(self, index: int) -> str:
        return self.definition.all_steps[index].name


def _counted(effects: Effects, index: int, phase: Phase) -> Effects:
    """The effects, and one more. More than twice is as bad as twice."""
    own = PHASES.index(phase)
    counts = tuple(min(count + (i == own), 2) for i, count in enumerate(effects[index]))
    return (*effects[:index], counts, *effects[index + 1 :])


def is_at_rest(world: World) -> bool:
    """The run has ended, or a person has it."""
    return world.row.place.state in FINAL | {State.ESCALATED}
