"""What comes of an operation when its run stands elsewhere: it was turned back, a person has it, or it has ended."""

from __future__ import annotations

import json
from functools import partial

from sagas import store
from sagas.decisions import plan
from sagas.decisions.plan import Due, Move
from sagas.decisions.reasons import ReasonKind, error_text, write_reason, write_rejection
from sagas.definition.participants import Done
from sagas.engine.compensation import event
from sagas.engine.delivery import Delivery
from sagas.engine.invocation import Fault
from sagas.engine.results import tell
from sagas.errors import Rejected
from sagas.serialization import dump_json
from sagas.states import FINAL, State

#: The log's entry for what is told while a person has the run.
LATE = "late_answer"


def take(
    delivery: Delivery,
    row: store.runs.Row,
    wait: store.runs.Wait,
    answer: Done | Rejected | Fault,
    *,
    begun: bool = True,
    duration_us: int = 0,
) -> None:
    """Put on record how an operation ended for which a locked run waits, and where it does not stand.

    Its undo need not wait for that any more. What comes next is for whoever has the run now.

    Args:
        delivery: the operation.
        row: the run.
        wait: what it waits for: this very operation.
        answer: what came of it.
        begun: whether it may have taken effect.
        duration_us: how long it took.
    """
    step = delivery.step.name
    outcome, said = _said(delivery, row, answer)
    put = store.runs.Put(step, store.runs.Wait(0, wait.failed, begun=begun))
    due = plan.NOW if row.state is State.COMPENSATING else Due.KEEP
    change = Move(row.place, row.place, due, row.attempt)
    if row.state is State.ESCALATED:
        # No effect row: where the run still stands at this operation, it asks again when it is resumed, by the same
        # key, and the log takes an effect once. What was returned may be personal: the participant says it again.
        entry = event(LATE, step=step, by=delivery.worker)
        why = {} if isinstance(answer, Done) else json.loads(said or "{}")
        said = dump_json({**why, "operation": delivery.action.operation, "outcome": outcome})
    else:
        entry = delivery.entry(outcome, duration_us=duration_us)
    if row.state in FINAL:
        # It may have been erased: that there was an answer goes on record, and nothing of what it said.
        said = None
    data = {row.id: said} if said is not None else None
    begun_as = row._replace(attempt=wait.failed)
    store.moves.advance(change, [begun_as], entry, data=data, put=put)
    if isinstance(answer, Fault) and row.state not in FINAL:
        tell(delivery, begun_as, answer.error, f"its run is {row.state} since", final=False)


def _said(delivery: Delivery, row: store.runs.Row, answer: Done | Rejected | Fault) -> tuple[str, str | None]:
    """The log's word for an answer, and its data as JSON text: what was returned, or why nothing was."""
    step = delivery.step.name
    if isinstance(answer, Done):
        return "DONE", None if answer.result is None else dump_json(answer.result)
    if isinstance(answer, Rejected):
        return "REJECTED", write_rejection(answer, step, partial(delivery.hide, row))
    error = answer.error
    return "FAULT", write_reason(ReasonKind.FAULT, step, type(error).__name__, delivery.hide(row, error_text(error)))
