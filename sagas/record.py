"""Write what the participants answered: each answer's log row and the run's move, in one statement a group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sagas import outcomes, plan, store
from sagas.definition import Action, Definition, Step
from sagas.errors import Rejected
from sagas.messages import Kick, Message
from sagas.outcomes import Answer, Fault
from sagas.participant import Done, Phase, name_of
from sagas.plan import Move
from sagas.retry import Again
from sagas.states import State
from sagas.turns import escalate, turn_back


@dataclass(frozen=True, slots=True)
class Delivery:
    """One operation that came to a worker: which step of which saga, which phase, and who performs it."""

    definition: Definition
    index: int
    phase: Phase
    action: Action
    worker: str

    @property
    def step(self) -> Step:
        """The step."""
        return self.definition.steps[self.index]

    def hide(self, row: store.Row, text: str) -> str:
        """Take out of a text what is personal in the run's data: people will read it."""
        return self.definition.marks.hide(text, row.request, row.results)

    def entry(self, outcome: str, *, duration_us: int = 0, compensate: str = "") -> store.Entry:
        """What all log rows of one outcome share."""
        return store.Entry(
            operation=self.action.operation,
            outcome=outcome,
            step=self.step.name,
            duration_us=duration_us,
            worker=self.worker,
            compensate=compensate,
        )


def record(
    delivery: Delivery, rows: Sequence[store.Row], answers: Sequence[Answer], duration_us: int
) -> tuple[list[store.Row], list[Message]]:
    """Write the answers for locked runs that stand at the delivery's step.

    Returns:
        The runs that go on to the next link, and what must be published after the commit.
    """
    done: list[tuple[store.Row, Done]] = []
    rejected: list[tuple[store.Row, Rejected]] = []
    faults: list[tuple[store.Row, Fault]] = []
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, Done):
            done.append((row, answer))
        elif isinstance(answer, Rejected) and delivery.phase is Phase.FORWARD:
            rejected.append((row, answer))
        else:
            # Nobody may say no to a confirm or a compensation: that is a fault too.
            faults.append((row, answer if isinstance(answer, Fault) else Fault(answer)))
    messages: list[Message] = []
    if done:
        messages += _record_done(delivery, done, duration_us)
    if rejected:
        messages += _record_rejected(delivery, rejected, duration_us)
    if faults:
        messages += _record_faults(delivery, faults)
    return [row for row, _ in done], messages


def _record_done(delivery: Delivery, done: Sequence[tuple[store.Row, Done]], duration_us: int) -> list[Message]:
    results = {row.id: outcomes.dump(answer.result) for row, answer in done if answer.result is not None}
    forward = delivery.phase is Phase.FORWARD
    undo = delivery.step.actions.get(Phase.UNDO) if forward else None
    entry = delivery.entry("DONE", duration_us=duration_us, compensate=name_of(undo.participant)[:200] if undo else "")
    confirmed = _confirmed(delivery, [row.id for row, _ in done])
    groups: dict[bool, list[store.Row]] = defaultdict(list)
    for row, _ in done:
        groups[row.id in confirmed].append(row)
    before = plan.place_of(delivery.index, delivery.phase)
    messages: list[Message] = []
    for is_confirmed, rows in groups.items():
        after, due = plan.done(delivery.definition, delivery.index, delivery.phase, confirmed=is_confirmed)
        keep = store.Keep.RESULT if forward else store.Keep.NOTHING
        store.advance(Move(before, after, due), rows, entry, data=results, keep=keep)
        if forward and after.state is State.CONFIRMING:
            messages.append(Kick())
    return messages


def _confirmed(delivery: Delivery, ids: Sequence[UUID]) -> set[UUID]:
    """Which runs have all their confirmations; asked only where it decides what comes next."""
    if delivery.phase is not Phase.FORWARD or delivery.index + 1 < len(delivery.definition.steps):
        return set()
    wanted = {confirmation.name for confirmation in delivery.definition.confirmations}
    if not wanted:
        return set(ids)
    return {run_id for run_id, names in store.confirmations(ids).items() if wanted <= names}


def _record_rejected(
    delivery: Delivery, rejected: Sequence[tuple[store.Row, Rejected]], duration_us: int
) -> list[Message]:
    reasons = {
        row.id: outcomes.reason("rejected", delivery.step.name, answer.code, delivery.hide(row, answer.detail))
        for row, answer in rejected
    }
    entry = delivery.entry("REJECTED", duration_us=duration_us)
    turn_back(delivery.definition, [row for row, _ in rejected], entry, reasons)
    return [Kick()]


def _record_faults(delivery: Delivery, faults: Sequence[tuple[store.Row, Fault]]) -> list[Message]:
    messages: list[Message] = []
    entry = delivery.entry("FAULT")
    for row, fault in faults:
        detail = delivery.hide(row, str(fault.error))
        reason = outcomes.reason("fault", delivery.step.name, type(fault.error).__name__, detail)
        decision = delivery.action.retry.decide(row.attempt + 1)
        if isinstance(decision, Again):
            wait = decision.after.total_seconds()
            store.advance(
                Move(row.place, row.place, wait, attempt=row.attempt + 1), [row], entry, data={row.id: reason}
            )
            messages.append(Kick(wait))
        elif delivery.phase is Phase.FORWARD:
            turn_back(delivery.definition, [row], entry, {row.id: reason})
            messages.append(Kick())
        else:
            escalate(row, entry, reason)
    return messages
