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
from sagas.states import FINAL, LIVE, State
from tests.model.explorer import Kind
from tests.model.rules import RIGHT, Rules
from tests.model.transactions import Result, Transactions
from tests.model.world import NO_ROWS, PHASES, Effects, Message, Row, Task, When, World, name

#: Transactions that are in the middle of their work at the same time, where they are explored stepwise.
AT_ONCE = 2

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
        self.definition = definition
        self.rules = rules
        self.foreign = foreign
        self.stepwise = stepwise
        self.transactions = Transactions(definition, rules, lease_limit=lease_limit, refuses=refuses)
        self.first = World(
            Row(Place(State.PENDING, 0)),
            ((0, 0, 0),) * len(definition.all_steps),
            there=tuple(NO_ROWS for _ in definition.all_steps),
        )

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
        return (
            not isinstance(message, str)
            and not self.transactions.is_held(row, message[0][0])
            and self.transactions.stands(row, message[0])
        )

    def _ghosts(self, world: World) -> Iterator[Step]:
        """Workers that have lost the run's lock, and do not know it, in another database."""
        row = world.row
        for message in world.air:
            if not isinstance(message, str):
                index, phase = message[0]
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
        results = self.transactions.results(task, world.row, world)
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
            for result in self.transactions.results(task, read, world):
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
