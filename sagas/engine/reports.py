"""Reports of accepted operations, and the answers that come when their run has moved on.

A report is one transaction under the run's lock, and names its operation. It may come twice, and it may come late:
when the run waits for another operation of the same step, is being undone, is escalated, or has ended.
"""

from __future__ import annotations

import json
from functools import partial
from uuid import UUID

from django.db import transaction

from sagas import store
from sagas.decisions import plan
from sagas.decisions.messages import Kick, Message, Unlock, Wake
from sagas.decisions.plan import Due, Move, Stand
from sagas.decisions.reasons import ReasonKind, error_text, write_reason, write_rejection
from sagas.definition.definition import Definition
from sagas.definition.participants import Done, Location, Phase
from sagas.engine.delivery import Delivery
from sagas.engine.invocation import Fault
from sagas.engine.results import log_failure_after_commit, record_answers
from sagas.errors import InvalidArgument, NotAwaited, Rejected, UnknownStep
from sagas.serialization import dump_json, dump_limited
from sagas.states import FINAL, LIVE, State
from sagas.store.locked_runs import LockedRun

#: The log's entry for an answer that comes while the run is escalated.
LATE = "late_answer"


def receive_report(
    run_id: UUID, step: str, answer: Done | Rejected, *, operation: str = "", by: str = ""
) -> tuple[State, list[Message]]:
    """Take the outcome of an accepted operation. See ``sagas.report``."""
    _check_outcome(step, answer)
    with transaction.atomic():
        run = LockedRun.lock(run_id)
        row, definition = run.row, run.definition
        delivery = _find_delivery(definition, step, operation, by)
        here = plan.stand(definition, row.place, delivery.index, delivery.phase) is Stand.HERE
        wait = row.waits.get(step)
        if wait is None or wait.operation != delivery.action.operation:
            begun = store.log.begun_as(run_id, step, delivery.action.operation)
            if not begun:
                msg = f"the {delivery.action.operation} of {definition.name}.{step} of {run_id} has not been begun: "
                raise NotAwaited(msg + "nothing is to be reported")
            if not (here and "ACCEPTED" in begun and _settles_operation(delivery, answer)):
                return row.state, []  # a repeat, or a report of an operation that was given up
            # It came too late, but before the next attempt was begun: the outcome counts.
            return _record_report(
                delivery, row._replace(attempt=max(0, (wait.failed if wait else row.attempt) - 1)), answer
            )
        if here:
            return _record_report(delivery, store.runs.note_answer(row, step)._replace(attempt=wait.failed), answer)
        if row.state in FINAL:
            return row.state, []
        record_late_answer(delivery, row, wait, answer)
        return row.state, [Kick()]


def _check_outcome(step: str, answer: object) -> None:
    """Refuse an outcome that cannot be stored, before the run is locked."""
    if isinstance(answer, Done):
        dump_limited(answer.result, f"the result of {step}")
    elif not isinstance(answer, Rejected):
        msg = f"an outcome of {step} is Done or Rejected, not {type(answer).__name__}"
        raise InvalidArgument(msg)


def _settles_operation(delivery: Delivery, answer: Done | Rejected) -> bool:
    """Whether an answer counts for an operation that waits for its next attempt.

    Not for an operation on a child: its outcome is read from the child.
    """
    definition = delivery.definition
    if definition.action(delivery.index, delivery.phase).location is Location.CHILD:
        return False
    return isinstance(answer, Done) or delivery.compensatable


def _record_report(delivery: Delivery, row: store.runs.Row, answer: Done | Rejected) -> tuple[State, list[Message]]:
    """Record the answer for a locked run that stands at this operation."""
    _, following = record_answers(delivery, [row], [answer], 0)
    # Messages to other runs only. The dispatcher sends this run on: a web request does not wait for the broker.
    messages: list[Message] = [Kick(), *(message for message in following if isinstance(message, Wake | Unlock))]
    (now,) = store.runs.lock([row.id])
    # At a fork, the branches that are left say when.
    stands = delivery.forked and now.cursor == row.cursor
    if now.state in LIVE and now.state is row.state and not now.waits_for_retry and not stands:
        store.runs.make_due([row.id])
    return now.state, messages


def _find_delivery(definition: Definition, step: str, operation: str, by: str) -> Delivery:
    """The operation of a report, by default the forward one; ``UnknownStep`` if the step has no such operation."""
    index = definition.index(step)
    actions = definition.all_steps[index].actions
    # The step that takes a confirmation back has one operation, which is no forward one.
    first = Phase.FORWARD if Phase.FORWARD in actions else next(iter(actions))
    named = operation or actions[first].operation
    for phase, action in actions.items():
        if action.operation == named:
            return Delivery(definition, index, phase, action, by)
    msg = f"{definition.name}.{step} has no operation {operation!r}"
    raise UnknownStep(msg)


def record_late_answer(
    delivery: Delivery,
    row: store.runs.Row,
    wait: store.runs.Wait,
    answer: Done | Rejected | Fault,
    *,
    begun: bool = True,
    duration_us: int = 0,
) -> None:
    """Record how an operation ended, for a locked run that still waits for it but stands elsewhere by now.

    The operation's undo need not wait any more. The run does not move: it is being undone, is escalated, or has ended.

    Args:
        delivery: the operation.
        row: the run.
        wait: the run's wait for this operation.
        answer: the outcome.
        begun: whether the operation may have taken effect.
        duration_us: how long it took.
    """
    step = delivery.step.name
    outcome, said = _outcome_of(delivery, row, answer)
    put = store.runs.Put(step, store.runs.Wait(0, wait.failed, begun=begun))
    due = plan.NOW if row.state is State.COMPENSATING else Due.KEEP
    change = Move(row.place, row.place, due, row.attempt)
    if row.state is State.ESCALATED:
        # No effect row: the log takes an effect once, and a run that is resumed at this operation asks again, with the
        # same key. The result is left out, because it may be personal: the participant returns it again.
        entry = store.moves.event_entry(LATE, step=step, by=delivery.worker)
        why = {} if isinstance(answer, Done) else json.loads(said or "{}")
        said = dump_json({**why, "operation": delivery.action.operation, "outcome": outcome})
    else:
        entry = delivery.entry(outcome, duration_us=duration_us)
    if row.state in FINAL:
        # The run may have been erased: the log says that there was an answer, and not what it was.
        said = None
    data = {row.id: said} if said is not None else None
    begun_as = row._replace(attempt=wait.failed)
    store.moves.advance(change, [begun_as], entry, data=data, put=put)
    if isinstance(answer, Fault) and row.state not in FINAL:
        log_failure_after_commit(delivery, begun_as, answer.error, f"its run is {row.state} since", final=False)


def _outcome_of(delivery: Delivery, row: store.runs.Row, answer: Done | Rejected | Fault) -> tuple[str, str | None]:
    """The log's word for an answer, and its data as JSON text: the result, or the reason why there is none."""
    step = delivery.step.name
    if isinstance(answer, Done):
        return "DONE", None if answer.result is None else dump_json(answer.result)
    if isinstance(answer, Rejected):
        return "REJECTED", write_rejection(answer, step, partial(delivery.hide, row))
    error = answer.error
    return "FAULT", write_reason(ReasonKind.FAULT, step, type(error).__name__, delivery.hide(row, error_text(error)))
