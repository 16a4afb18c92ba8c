"""How an operation ended that a participant had accepted: one transaction under the run's lock.

A report names its operation. It may come twice, or late: when the run waits for the report of another operation of the
same step, has been turned back, stands with a person, or has ended.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from sagas import log_store, move_store, outcomes, plan, store, versions, wait_store
from sagas.definition import Definition
from sagas.errors import NotAwaited, UnknownStep
from sagas.lifecycle import lock_one
from sagas.limits import check_size
from sagas.messages import Kick, Message, Unlock, Wake
from sagas.outcomes import Answer
from sagas.participant import Done, Phase
from sagas.plan import Move, Stand
from sagas.record import Delivery, record
from sagas.states import LIVE, State


def receive_report(
    run_id: UUID, step: str, answer: Answer, *, operation: str = "", by: str = ""
) -> tuple[State, list[Message]]:
    """Take the outcome of an accepted operation. See ``sagas.report``."""
    if isinstance(answer, Done):
        check_size(outcomes.dump(answer.result), f"the result of {step}")
    with transaction.atomic():
        row = lock_one(run_id)
        definition = versions.find(row.saga, row.version, row.shape)
        delivery = _delivery(definition, step, operation, by)
        wait = row.waits.get(step)
        if wait is None or wait.operation != delivery.action.operation:
            if log_store.begun(run_id, step, delivery.action.operation):
                return row.state, []  # a repeat, or one that comes when it was given up already
            msg = (
                f"the {delivery.action.operation} of {definition.name}.{step} of {run_id} has not been begun: "
                "nothing is to be reported"
            )
            raise NotAwaited(msg)
        return _take(delivery, row, wait, answer)


def _take(delivery: Delivery, row: store.Row, wait: store.Wait, answer: Answer) -> tuple[State, list[Message]]:
    step = delivery.step.name
    messages: list[Message] = [Kick()]
    if plan.stand(delivery.definition, row.place, delivery.index, delivery.phase) is Stand.HERE:
        _, following = record(delivery, [wait_store.answered(row, step)._replace(attempt=wait.failed)], [answer], 0)
        # What is for other runs; what comes next for this one is the dispatcher's to find.
        messages += [message for message in following if isinstance(message, Wake | Unlock)]
    else:
        # The run was turned back while this was under way. Its undo waited for this, and need not wait any more.
        entry = delivery.entry("DONE" if isinstance(answer, Done) else "REJECTED")
        put = store.Put(step, store.Wait(0, wait.failed, begun=True))
        move_store.advance(Move(row.place, row.place, plan.NOW), [row], entry, put=put)
    (now,) = store.lock([row.id])
    if now.state in LIVE and now.state is row.state and not now.waits_for_retry:
        # What comes next goes out by the dispatcher: a web request does not wait for the broker.
        wait_store.make_due([row.id])
    return now.state, messages


def _delivery(definition: Definition, step: str, operation: str, by: str) -> Delivery:
    """The operation of a report; the forward one where it names none. ``UnknownStep`` if the step has no such one."""
    index = definition.index(step)
    actions = definition.all_steps[index].actions
    # What takes a confirmation back has no forward operation, and only one.
    first = Phase.FORWARD if Phase.FORWARD in actions else next(iter(actions))
    named = operation or actions[first].operation
    for phase, action in actions.items():
        if action.operation == named:
            return Delivery(definition, index, phase, action, by)
    msg = f"{definition.name}.{step} has no operation {operation!r}"
    raise UnknownStep(msg)
