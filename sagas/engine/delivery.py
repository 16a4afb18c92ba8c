"""A delivery: one operation that came to a worker. Which of its runs it is for, and how it is delivered again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sagas import store
from sagas.conf import config
from sagas.decisions import choreography, plan
from sagas.decisions.messages import Chain, Link, Message
from sagas.decisions.plan import Place, Stand
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.definition.steps import Action, Refund, Step
from sagas.redis import compensation_guard
from sagas.serialization import dump_json
from sagas.store.locked_runs import LockedRun


@dataclass(frozen=True, slots=True)
class Delivery:
    """One operation that came to a worker.

    Attributes:
        definition: the saga.
        index: position of the step in ``definition.all_steps``.
        phase: forward, confirm or undo.
        action: who performs it, and how often it is tried.
        worker: name of the worker, for the log.
        held: whether this process means to go on with the runs that are done; see ``sagas.delivery.short_path``.
    """

    definition: Definition
    index: int
    phase: Phase
    action: Action
    worker: str
    held: bool = False

    @property
    def step(self) -> Step:
        """The step."""
        return self.definition.all_steps[self.index]

    @property
    def forked(self) -> bool:
        """Whether other operations of the same run are performed at the same time."""
        return plan.is_fork(self.definition, self.index, self.phase)

    @property
    def choreographed(self) -> bool:
        """Whether the runs travel by events."""
        return config().is_choreographed(self.definition.name, self.definition.carrier)

    @property
    def compensatable(self) -> bool:
        """Whether a run may be undone from here: it goes forward, and is not behind the pivot."""
        return self.phase is Phase.FORWARD and self.index < self.definition.before_pivot

    def locked(self, rows: Sequence[store.runs.Row]) -> list[LockedRun]:
        """The runs of these locked rows, all of which follow the delivery's definition."""
        return [LockedRun(row, self.definition) for row in rows]

    def hide(self, row: store.runs.Row, text: str) -> str:
        """Take personal data of the run out of a text that people will read."""
        results = row.results
        if self.definition.marks and isinstance(self.step, Refund):
            came = store.confirmations.data_of([row.id], self.step.name).get(row.id, "null")
            results = dump_json({**json.loads(results), self.step.name: json.loads(came)})
        return self.definition.marks.hide(text, row.request, results)

    def entry(self, outcome: str, *, duration_us: int = 0, compensate: str = "") -> store.moves.Entry:
        """What all log rows of one outcome share."""
        return store.moves.Entry(
            operation=self.action.operation,
            outcome=outcome,
            step=self.step.name,
            duration_us=duration_us,
            worker=self.worker,
            compensate=compensate,
        )


def unknown_of(saga: str, missing: Sequence[UUID]) -> list[UUID]:
    """Of ids of which there is no run, those that never had one. Those of pruned runs are left out: they are late."""
    gone = store.retention.pruning.pruned(saga, missing) if missing else set()
    return [run_id for run_id in missing if run_id not in gone]


def delivery_of(link: Link, worker: str, *, held: bool = False) -> Delivery:
    """The delivery of a link to a worker; ``held`` as in ``Delivery``.

    Raises:
        UnknownSaga: this process does not know the saga.
        UnknownStep: the saga has no such step, or the step has no such operation.
    """
    definition = store.definitions.find(link.saga, link.version, link.shape)
    index = definition.index(link.step)
    return Delivery(definition, index, link.phase, definition.action(index, link.phase), worker, held)


def sort_by_stand(
    delivery: Delivery, rows: Sequence[store.runs.Row]
) -> tuple[list[store.runs.Row], dict[Place, list[UUID]]]:
    """Return the runs that stand at the delivery's step, and those right behind it. All others are dropped."""
    here: list[store.runs.Row] = []
    behind: dict[Place, list[UUID]] = {}
    definition = delivery.definition
    mine = [
        row
        for row in rows
        if row.saga == definition.name
        and row.version == definition.version
        # A run counts its steps by the definition it began with; 0 is from before that was on record.
        and row.shape in {0, definition.shape.number}
        and not row.waits_for_retry
    ]
    for place, group in store.runs.by_place(mine).items():
        match plan.stand(definition, place, delivery.index, delivery.phase):
            case Stand.HERE:
                here += group
            case Stand.BEHIND:
                if passed := _passed(delivery, [row.id for row in group]):
                    behind[place] = passed
            case Stand.ELSEWHERE:
                pass
    if any(row.pending for row in here):
        here = _not_waiting(delivery, here)
    return here, behind


def _passed(delivery: Delivery, ids: list[UUID]) -> list[UUID]:
    """Which of the runs right behind an operation have been through it.

    All, except for an undo that an event has led to. A rejection leads to the undo of the rejected step too, which has
    nothing to undo unless its effect may be in another system. No event may say that such a step was undone.
    """
    if not delivery.choreographed or delivery.phase is not Phase.UNDO:
        return ids
    undone = store.log.with_effect(ids, delivery.step.name, delivery.action.operation)
    return [run_id for run_id in ids if run_id in undone]


def _not_waiting(delivery: Delivery, rows: Sequence[store.runs.Row]) -> list[store.runs.Row]:
    """The runs that do not wait at the delivery's step, for an answer or for their next attempt."""
    now = store.runs.clock().timestamp()
    here: list[store.runs.Row] = []
    for row in rows:
        if row.waits_at(delivery.step.name, delivery.phase, now):
            continue
        wait = row.waits.get(delivery.step.name)
        # In a fork each branch counts its own attempts.
        here.append(row._replace(attempt=wait.failed) if delivery.forked and wait else row)
    return here


def continue_chain(delivery: Delivery, place: Place, ids: Sequence[UUID]) -> tuple[list[UUID], list[Message]]:
    """Say how runs go on that stand at ``place``, right behind the delivery's step.

    Returns:
        The runs that go on to the next link of their chain; and, where the chain ends here, the chains that follow.
    """
    if not delivery.choreographed and plan.has_next_link(delivery.definition, delivery.index, delivery.phase):
        return list(ids), []
    event = choreography.done(delivery.definition, delivery.index, delivery.phase) if delivery.choreographed else ""
    return [], [Chain(links, tuple(ids), event=event) for links in plan.next_chains(delivery.definition, place)]


def redeliver(link: Link, ids: Sequence[UUID], delay: float, *, token: int = 0, interruptions: int = 0) -> Message:
    """Deliver an operation to a cohort again after ``delay`` seconds, with the rest of its chain.

    Args:
        link: the operation.
        ids: the cohort.
        delay: seconds.
        token: the token of the delivery before.
        interruptions: see ``Chain.interruptions``.
    """
    definition = store.definitions.find(link.saga, link.version, link.shape)
    links = plan.links_from(definition, definition.index(link.step), link.phase)
    return Chain(
        links,
        tuple(ids),
        delay,
        token=compensation_guard.token_after(token),
        interruptions=interruptions,
        by_message=True,
    )


def triggered_links(chain: Chain) -> Sequence[Link]:
    """The links to which a chain leads: its first link or, under choreography, all that react to its event."""
    first = chain.links[0]
    if not travels_by_events(chain):
        return [first]
    definition = store.definitions.find(first.saga, first.version, first.shape)
    event = chain.event or choreography.trigger(definition, definition.index(first.step), first.phase)
    links = [plan.link(definition, *operation) for operation in choreography.reacting(definition, event)]
    # A delayed message goes only to the queue for which it was delayed.
    return [link for link in links if not chain.delay or link.queue == first.queue]


def travels_by_events(chain: Chain) -> bool:
    """Whether a chain's runs are choreographed."""
    first = chain.links[0]
    definition = store.definitions.find(first.saga, first.version, first.shape)
    return config().is_choreographed(definition.name, definition.carrier)
