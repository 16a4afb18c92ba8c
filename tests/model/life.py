"""What may happen to a run: every transaction of the engine that moves it, every message, every fault.

A transaction is one action, for it holds the run's lock from its first read to its commit. With ``stepwise`` it is two,
and the lock is a part of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagas.decisions import plan
from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.states import FINAL, LIVE, UNDECIDED, State
from tests.model.explorer import Kind
from tests.model.rules import RIGHT, Rules
from tests.model.transactions import Result, Transactions
from tests.model.world import (
    NO,
    NO_ROWS,
    PHASES,
    YES,
    Chain,
    Effects,
    Mark,
    Marked,
    Message,
    Process,
    Row,
    Task,
    When,
    World,
    name,
)

#: Transactions that are in the middle of their work at the same time, where they are explored stepwise.
AT_ONCE = 2
#: Processes without a broker that have the run in their memory at the same time: a lease may lapse before they die.
MOST = 2

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
        compresses: whether some workers perform all operations of a chain in one transaction.
        short_path: whether a process may go on with the next link itself, without a message.
        hidden: whether the first state is before the commit of the run's start, where it awaits a decision for many.
        works: whether there are processes without a broker: ``manage.py sagas work``.
        broker: whether there are a broker and its workers.
        deliveries: lapsed leases for which they give an operation up.
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
        compresses: bool = False,
        short_path: bool = False,
        hidden: bool = True,
        works: bool = False,
        broker: bool = True,
        deliveries: int = 2,
    ) -> None:
        self.marks = short_path or works
        self.works = works
        self.broker = broker
        self.definition = definition
        self.rules = rules
        self.foreign = foreign
        self.stepwise = stepwise
        self.transactions = Transactions(
            definition,
            rules,
            lease_limit=lease_limit,
            refuses=refuses,
            compresses=compresses,
            short_path=short_path,
            works=works,
            deliveries=deliveries,
        )
        self.first = World(
            Row(Place(State.PENDING, 0)),
            ((0, 0, 0),) * len(definition.all_steps),
            there=tuple(NO_ROWS for _ in definition.all_steps),
            hidden=hidden and definition.shared is not None,
        )

    def successors(self, world: World) -> Iterator[Step]:
        """What may happen next."""
        for label, kind, after in self._successors(world):
            # Progress was made: what lapsed before says nothing.
            counted = after.row.claims or not (after.lapses or after.given)
            yield label, kind, after if counted else after._replace(lapses=(), given=())

    def _successors(self, world: World) -> Iterator[Step]:
        yield from self._group(world)
        if world.hidden:
            yield "the start: commits", Kind.ENGINE, world._replace(hidden=False)
            return
        yield from self._time(world)
        yield from self._ghosts(world)
        yield from self._hands(world)
        if self.works:
            yield from self._processes(world)
        if world.working:
            yield from self._commits(world)
        if world.working and (self.rules.locks or len(world.working) >= AT_ONCE):
            return
        for message in world.air:
            called = name(self.definition, message)
            yield f"{called} is lost", Kind.FAULT, world._replace(air=world.air - {message})
            yield from self._transact(world, Task(called, "deliver", message))
        row = world.row
        if self.broker and row.due is When.NOW and (row.claims == 0 or self.rules.claims_again):
            yield from self._transact(world, Task("claim", "claim"))
            if self.foreign:
                yield from self._transact(world, Task("claim", "claim unknown"))
        if world.decided and not world.settled and self._is_undecided(row):
            yield from self._transact(world, Task("the tick", "give"))
        yield from self._transact(world, Task("the customer", "confirm"))
        yield from self._transact(world, Task("the customer", "cancel"))
        yield from self._transact(world, Task("a person", "decide"))

    def _group(self, world: World) -> Iterator[Step]:
        """Who decides for many, in the end; and the look of the settling, which waits for no lock.

        The hour does not pass after which a waiting run is claimed: no run may need it.
        """
        if self.definition.shared is None:
            return
        if not world.decided:
            for answer in (YES, NO):
                yield f"the group: is {answer}", Kind.ENGINE, world._replace(decided=answer)
            return
        seen = self.rules.settling_sees_all_undecided or world.row.place.state is State.AWAITING_CONFIRM
        if not world.settled and (world.hidden or not (self._is_undecided(world.row) and seen)):
            yield "the tick: finds it settled", Kind.ENGINE, world._replace(settled=True)

    def _is_undecided(self, row: Row) -> bool:
        return row.place.state in UNDECIDED and not row.came

    def _time(self, world: World) -> Iterator[Step]:
        row = world.row
        if row.due is When.LATER:
            # A lease that is over while a message is on its way that would have made progress: somebody was late.
            held = [own.message for process in world.processes for own in process]
            late = any(self._is_welcome(row, message) for message in (*world.air, *world.hands, *held))
            kind = Kind.FAULT if late else Kind.ENGINE
            after = world._replace(row=row._replace(due=When.NOW), lapses=self._lapsed(world))
            yield "time: the lease, or the wait, is over", kind, after
        timed = self.definition.confirmations and self.definition.shared is None
        if row.started and not row.over and timed and row.place.state in LIVE:
            due: When | None = When.NOW if row.due is When.DEADLINE else row.due
            yield "time: the deadline is over", Kind.ENGINE, world._replace(row=row._replace(over=True, due=due))
        for wait in row.waits:
            if not wait.over:
                waits = tuple(w._replace(over=True) if w == wait else w for w in row.waits)
                # A first lease that a wait does not cut short is over before the wait is.
                if row.due is When.LATER and row.claims == 1 and self.rules.waits_alone:
                    continue
                due = When.NOW if row.due is When.WAIT else row.due
                label = f"time: {self._step(wait.at)} may be tried again"
                yield label, Kind.ENGINE, world._replace(row=row._replace(waits=waits, due=due))

    def _is_welcome(self, row: Row, message: Message) -> bool:
        if isinstance(message, str):
            return False
        first = (message.chain if isinstance(message, Marked) else message)[0]
        return not self.transactions.is_held(row, first[0]) and self.transactions.stands(row, first)

    def _hands(self, world: World) -> Iterator[Step]:
        """Processes that go on without a message, or die on the way."""
        for chain in world.hands:
            left = world._replace(hands=world.hands - {chain})
            called = f"{name(self.definition, chain)}, on the short path"
            yield from self._transact(left, Task(called, "go on", chain))
            yield f"{called}: dies between two commits", Kind.FAULT, left
            if self._is_welcome(world.row, chain):
                died = left._replace(died=world.died | {chain[0]})
                yield f"{called}: dies in the middle", Kind.FAULT, died

    def _lapsed(self, world: World) -> tuple[tuple[tuple[int, Phase], int], ...]:
        """Note at which operation the lease has lapsed."""
        counted = self.works and world.row.claims
        at = self.transactions.lapsed_at(world.row, world.given) if counted else None
        if at is None:
            return world.lapses
        counts = dict(world.lapses)
        counts[at] = min(counts.get(at, 0) + 1, self.transactions.deliveries)
        return tuple(sorted(counts.items()))

    def _processes(self, world: World) -> Iterator[Step]:
        """Processes of ``manage.py sagas work``. One that dies takes all that it has along, at any moment."""
        row = world.row._replace(seen=world.decided)
        is_due = row.due is When.NOW and (row.claims == 0 or self.rules.claims_again)
        if is_due and len(world.processes) < MOST:
            for result in self.transactions.take_up(row, world):
                yield self._worked(world, "a process", result, ())
        for process in world.processes:
            left = world._replace(processes=world.processes - {process})
            called = f"{name(self.definition, process[0].message)}, in a process"
            yield f"{called}: dies", Kind.FAULT, left
            for result in self.transactions.work(process[0], row, world):
                yield self._worked(left, called, result, process[1:])

    def _worked(self, world: World, who: str, result: Result, rest: Process) -> Step:
        effects = world.effects
        for effect in result.effects:
            effects = _counted(effects, *effect)
        process = (*result.first, *rest, *result.last)
        processes = world.processes | {process} if process else world.processes
        row = result.row._replace(seen="")
        after = world._replace(row=row, effects=effects, processes=processes, wronged=result.wronged)
        after = after._replace(given=world.given if result.given is None else result.given)
        return f"{who}: {result.label}", result.kind, after

    def _ghosts(self, world: World) -> Iterator[Step]:
        """Workers that have lost the run's lock, and do not know it, in another database."""
        row = world.row
        for message in world.air:
            if not isinstance(message, str):
                index, phase = (message.chain if isinstance(message, Marked) else message)[0]
                away = bool(self.definition.all_steps[index].database) and (index, phase) not in world.ghosts
                if away and not self.transactions.is_held(row, index) and self.transactions.stands(row, (index, phase)):
                    label = f"{name(self.definition, message)}: loses its lock in the middle"
                    yield label, Kind.FAULT, world._replace(ghosts=world.ghosts | {(index, phase)})
        for index, phase in world.ghosts:
            left = world._replace(ghosts=world.ghosts - {(index, phase)})
            for label, _, rows, effect in self.transactions.pass_barrier(world.there[index], index, phase):
                there = (*world.there[:index], rows, *world.there[index + 1 :])
                effects = _counted(world.effects, index, phase) if effect else world.effects
                ghost = f"the ghost of {name(self.definition, ((index, phase),))}: {label}"
                yield ghost, Kind.FAULT, left._replace(there=there, effects=effects)

    # -- Transactions ---------------------------------------------------------------------------------------

    def _transact(self, world: World, task: Task) -> Iterator[Step]:
        read = world.row._replace(seen=world.decided)
        results = self.transactions.results(task, read, world)
        if self.stepwise:
            if any(True for _ in results):
                working = (*world.working, (task, read))
                yield f"{task.who}: {task.what}: reads", Kind.ENGINE, world._replace(working=working)
            return
        for result in results:
            message = None if task.what == "go on" else task.message
            yield from self._fates(world, task.who, result, result.row, message)

    def _commits(self, world: World) -> Iterator[Step]:
        """The second half of transactions that have read the run."""
        for position, (task, read) in enumerate(world.working):
            left = world._replace(working=world.working[:position] + world.working[position + 1 :])
            yield f"{task.who}: {task.what}: dies before its commit", Kind.FAULT, left
            for result in self.transactions.results(task, read, world):
                if self.rules.guards_moves and result.row.place != read.place != world.row.place:
                    # IllegalTransition: rolled back, and delivered again.
                    yield f"{task.who}: {task.what}: is refused by the guard", Kind.FAULT, left
                    continue
                row = self._written(world.row, read._replace(seen=""), result.row._replace(seen=""))
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
        for effect in result.effects:
            effects = _counted(effects, *effect)
        there = world.there
        if result.there is not None:
            index, rows = result.there
            there = (*there[:index], rows, *there[index + 1 :])
        if result.kind is Kind.PERSON:
            # What ended processes is mended. One that still goes on is to the run as resumed what a late message is.
            world = world._replace(air=world.air | world.hands, hands=frozenset(), died=frozenset())
        hands = world.hands | {result.hand} if result.hand else world.hands
        given = world.given if result.given is None or not self.works else result.given
        after = world._replace(row=row._replace(seen=""), effects=effects, there=there, hands=hands, given=given)
        label = f"{who}: {result.label}"
        kept, published = world.air, frozenset(result.out)
        if message is None:
            yield label, result.kind, after._replace(air=kept | published)
            if published - kept:
                yield f"{label}, dies before it publishes", Kind.FAULT, after._replace(hands=world.hands)
            return
        yield label, result.kind, after._replace(air=kept - {message} | published)
        again = kept - {message} | {self._again(message)}
        if after != world or published - kept:
            yield f"{label}, and comes again", Kind.FAULT, after._replace(air=again | published)
            if again != kept:
                yield f"{label}, and comes twice", Kind.FAULT, after._replace(air=kept | published)
        if published - kept:
            # Acked late, so the message comes again; acked early, it is gone with the worker.
            left = again if self.rules.acks_late else kept - {message}
            yield f"{label}, dies before it publishes", Kind.FAULT, after._replace(air=left, hands=world.hands)
        if not self.rules.acks_late:
            yield f"{who}: dies before its commit", Kind.FAULT, world._replace(air=kept - {message})

    def _again(self, message: Message) -> Message:
        """The message, delivered again. Without the short path it is performed as it was before."""
        if isinstance(message, str) or not self.marks:
            return message
        chain: Chain = message.chain if isinstance(message, Marked) else message
        return Marked(chain, Mark.AGAIN)

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
