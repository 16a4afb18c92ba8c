"""Perform one operation of a cohort: one transaction for effect, log and state of all its runs.

A cohort that breaks is bisected, each half in a transaction of its own, so that locks are always taken
in one order and neighbours of a poisonous run commit without it.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from sagas import outcomes, plan, registry, store
from sagas.conf import config
from sagas.definition import Action, Definition, Step
from sagas.errors import Rejected
from sagas.faults import ConnectionLost, is_conflict, is_lost
from sagas.messages import Chain, Kick, Link, Message
from sagas.outcomes import Broken, Fault
from sagas.participant import Call, Done, Phase, SetBased, name_of
from sagas.plan import Move, Stand
from sagas.retry import Again
from sagas.states import State
from sagas.turns import escalate, turn_back

#: One-call participants run in savepoints; past 64 in a transaction PostgreSQL slows down.
SAVEPOINTS = 50
#: How often two transactions may collide before their cohorts are made smaller.
COLLISIONS = 3


@dataclass(slots=True)
class Performed:
    """What became of a delivery.

    Attributes:
        survivors: the runs that go on to the chain's next link, in the order of their ids.
        messages: what must be published now.
        unknown: ids of which there is no run.
    """

    survivors: list[UUID] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    unknown: list[UUID] = field(default_factory=list)


def perform(link: Link, ids: Sequence[UUID], *, worker: str = "") -> Performed:
    """Perform ``link`` for those of the runs that stand at it.

    Args:
        link: the operation.
        ids: the cohort; repeats are ignored.
        worker: name of the worker, for the log.

    Returns:
        Who goes on, and what to publish. A cohort whose outcome is unknown, because the database went
        away, is among the messages: it is to be delivered again, a little later.

    Raises:
        UnknownSaga: this process does not know the saga.
        UnknownStep: the saga has no such step, or the step no such operation.
    """
    definition = registry.find(link.saga, link.version)
    index = definition.index(link.step)
    delivery = _Delivery(definition, index, link.phase, definition.action(index, link.phase), worker)
    performed = Performed()
    collisions = 0
    work = deque(_chunks(sorted(set(ids)), _size(delivery.action)))
    while work:
        cohort = work.popleft()
        try:
            delivery.perform(cohort, performed)
        except Broken as broken:
            if len(cohort) > 1:
                work.extendleft(reversed(_halves(cohort)))
            else:
                delivery.record(cohort[0], broken.error, performed)
        except DatabaseError as error:
            if is_lost(error):
                raise ConnectionLost from error
            if not is_conflict(error):
                raise
            collisions += 1
            if collisions <= COLLISIONS or len(cohort) == 1:
                if collisions > 10 * COLLISIONS:
                    raise ConnectionLost from error
                work.appendleft(cohort)
            else:
                work.extendleft(reversed(_halves(cohort)))
    return performed


def bisect(link: Link, ids: Sequence[UUID]) -> list[Message]:
    """Split a redelivered cohort: one of its runs may have killed the worker."""
    definition = registry.find(link.saga, link.version)
    following = _links_from(definition, link)
    return [Chain(following, tuple(half)) for half in _halves(sorted(set(ids)))]


def again(link: Link, ids: Sequence[UUID], delay: float) -> Message:
    """Deliver a cohort again after ``delay`` seconds, with the rest of its chain."""
    return Chain(_links_from(registry.find(link.saga, link.version), link), tuple(ids), delay)


def give_up(link: Link, run_id: UUID, error: Exception, *, worker: str = "") -> Performed:
    """Count a run that keeps killing its worker as a fault, without calling the participant again."""
    definition = registry.find(link.saga, link.version)
    index = definition.index(link.step)
    performed = Performed()
    delivery = _Delivery(definition, index, link.phase, definition.action(index, link.phase), worker)
    delivery.record(run_id, error, performed)
    return performed


@dataclass(frozen=True, slots=True)
class _Delivery:
    definition: Definition
    index: int
    phase: Phase
    action: Action
    worker: str

    @property
    def step(self) -> Step:
        return self.definition.steps[self.index]

    def perform(self, ids: Sequence[UUID], performed: Performed) -> None:
        """One transaction: lock, call, log, move. ``performed`` grows only if it commits."""
        with transaction.atomic(durable=True):
            rows = store.lock(ids)
            here, behind = self._stand(rows)
            done: list[store.Row] = []
            messages: list[Message] = []
            if here:
                calls = [self._call(row) for row in here]
                began = time.perf_counter()
                answers = outcomes.collect(self.action.participant, calls, self.step.rejects)
                duration = int((time.perf_counter() - began) * 1e6)
                done = self._apply(here, answers, duration, messages)
        known = {row.id for row in rows}
        performed.unknown += [run_id for run_id in ids if run_id not in known]
        performed.survivors += sorted([row.id for row in done] + behind)
        performed.messages += messages

    def record(self, run_id: UUID, error: Exception, performed: Performed) -> None:
        """Write, in a transaction of its own, that the operation raised for this run, and what follows."""
        answer = outcomes.as_rejection(error) if isinstance(error, self.step.rejects) else Fault(error)
        messages: list[Message] = []
        with transaction.atomic(durable=True):
            here, _ = self._stand(store.lock([run_id]))
            if here:
                self._apply(here, [answer], 0, messages)
        performed.messages += messages

    def _stand(self, rows: Sequence[store.Row]) -> tuple[list[store.Row], list[UUID]]:
        here: list[store.Row] = []
        behind: list[UUID] = []
        for row in rows:
            if (row.saga, row.version) != (self.definition.name, self.definition.version):
                continue
            match plan.stand(self.definition, row.place, self.index, self.phase):
                case Stand.HERE:
                    here.append(row)
                case Stand.BEHIND:
                    behind.append(row.id)
                case Stand.ELSEWHERE:
                    pass
        return here, behind

    def _call(self, row: store.Row) -> Call[Any]:
        return Call(
            run_id=row.id,
            step=self.step.name,
            operation=self.action.operation,
            attempt=row.attempt + 1,
            request=self.definition.load(row.request),
            results=json.loads(row.results) if row.results != "{}" else {},
        )

    def _apply(
        self,
        rows: Sequence[store.Row],
        answers: Sequence[outcomes.Answer],
        duration: int,
        messages: list[Message],
    ) -> list[store.Row]:
        """Write what the participant answered. Return the runs that go on."""
        done: list[tuple[store.Row, Done]] = []
        rejected: list[tuple[store.Row, Rejected]] = []
        faults: list[tuple[store.Row, Fault]] = []
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, Done):
                done.append((row, answer))
            elif isinstance(answer, Rejected) and self.phase is Phase.FORWARD:
                rejected.append((row, answer))
            else:
                # Nobody may say no to a confirm or a compensation: that is a fault too.
                faults.append((row, answer if isinstance(answer, Fault) else Fault(answer)))
        if done:
            self._done(done, duration, messages)
        if rejected:
            self._rejected(rejected, duration, messages)
        if faults:
            self._faults(faults, messages)
        return [row for row, _ in done]

    def _done(self, done: Sequence[tuple[store.Row, Done]], duration: int, messages: list[Message]) -> None:
        rows = [row for row, _ in done]
        results = {row.id: outcomes.dump(answer.result) for row, answer in done if answer.result is not None}
        undo = self.step.actions.get(Phase.UNDO) if self.phase is Phase.FORWARD else None
        entry = store.Entry(
            operation=self.action.operation,
            outcome="DONE",
            step=self.step.name,
            duration_us=duration,
            worker=self.worker,
            compensate=name_of(undo.participant)[:200] if undo else "",
        )
        store.log(entry, rows, results)
        keyed = (
            {run_id: f"{{{json.dumps(self.step.name)}: {result}}}" for run_id, result in results.items()}
            if self.phase is Phase.FORWARD
            else {}
        )
        moves: dict[Move, list[UUID]] = defaultdict(list)
        confirmed = self._confirmed([row.id for row in rows])
        for row in rows:
            after, due = plan.done(self.definition, self.index, self.phase, confirmed=row.id in confirmed)
            moves[Move(row.place, after, due)].append(row.id)
        for change, ids in moves.items():
            store.move(change, ids, results=keyed)
            if change.after.state is State.CONFIRMING and self.phase is Phase.FORWARD:
                messages.append(Kick())

    def _confirmed(self, ids: Sequence[UUID]) -> set[UUID]:
        """Which runs have all their confirmations; asked only where it decides what comes next."""
        if self.phase is not Phase.FORWARD or self.index + 1 < len(self.definition.steps):
            return set()
        wanted = {confirmation.name for confirmation in self.definition.confirmations}
        if not wanted:
            return set(ids)
        return {run_id for run_id, names in store.confirmations(ids).items() if wanted <= names}

    def _rejected(self, rejected: Sequence[tuple[store.Row, Rejected]], duration: int, messages: list[Message]) -> None:
        reasons = {
            row.id: outcomes.reason("rejected", self.step.name, answer.code, answer.detail) for row, answer in rejected
        }
        rows = [row for row, _ in rejected]
        entry = store.Entry(
            operation=self.action.operation,
            outcome="REJECTED",
            step=self.step.name,
            duration_us=duration,
            worker=self.worker,
        )
        store.log(entry, rows, reasons)
        turn_back(self.definition, rows, reasons)
        messages.append(Kick())

    def _faults(self, faults: Sequence[tuple[store.Row, Fault]], messages: list[Message]) -> None:
        reasons = {
            row.id: outcomes.reason("fault", self.step.name, type(fault.error).__name__, str(fault.error))
            for row, fault in faults
        }
        rows = [row for row, _ in faults]
        store.log(
            store.Entry(operation=self.action.operation, outcome="FAULT", step=self.step.name, worker=self.worker),
            rows,
            reasons,
        )
        for row in rows:
            decision = self.action.retry.decide(row.attempt + 1)
            if isinstance(decision, Again):
                wait = decision.after.total_seconds()
                store.move(Move(row.place, row.place, wait, attempt=row.attempt + 1), [row.id])
                messages.append(Kick(wait))
            elif self.phase is Phase.FORWARD:
                turn_back(self.definition, [row], reasons)
                messages.append(Kick())
            else:
                escalate(row, step=self.step.name, operation=self.action.operation, error=reasons[row.id])


def _size(action: Action) -> int:
    return config().cohort if isinstance(action.participant, SetBased) else SAVEPOINTS


def _chunks(ids: Sequence[UUID], size: int) -> list[Sequence[UUID]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _halves(ids: Sequence[UUID]) -> list[Sequence[UUID]]:
    middle = (len(ids) + 1) // 2
    return [half for half in (ids[:middle], ids[middle:]) if half]


def _links_from(definition: Definition, link: Link) -> tuple[Link, ...]:
    return plan.links(definition, plan.place_of(definition.index(link.step), link.phase))
