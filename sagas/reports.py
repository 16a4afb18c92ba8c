"""How an operation ended that a participant had accepted: one transaction under the run's lock."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from sagas import log_store, move_store, outcomes, plan, store, versions, wait_store
from sagas.definition import Definition
from sagas.errors import NotAwaited
from sagas.lifecycle import lock_one
from sagas.limits import check_size
from sagas.messages import Kick, Message, Unlock, Wake
from sagas.outcomes import Answer
from sagas.participant import Done, Phase
from sagas.plan import Move, Stand
from sagas.record import Delivery, record
from sagas.states import LIVE, State


def receive_report(run_id: UUID, step: str, answer: Answer, *, by: str = "") -> tuple[State, list[Message]]:
    """Take the outcome of an accepted operation. See ``sagas.report``."""
    if isinstance(answer, Done):
        check_size(outcomes.dump(answer.result), f"the result of {step}")
    with transaction.atomic():
        row = lock_one(run_id)
        definition = versions.find(row.saga, row.version, row.shape)
        index = definition.index(step)
        wait = row.waits.get(step)
        if wait is None or not wait.operation:
            if wait is not None or log_store.accepted(run_id, step):
                return row.state, []  # a repeat, or one that comes when it was given up already
            msg = f"{definition.name}.{step} of {run_id} has not been begun: nothing is to be reported"
            raise NotAwaited(msg)
        delivery = _delivery(definition, index, wait.operation, by)
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


def _delivery(definition: Definition, index: int, operation: str, by: str) -> Delivery:
    actions = definition.all_steps[index].actions
    phase = next(phase for phase in Phase if phase in actions and actions[phase].operation == operation)
    return Delivery(definition, index, phase, actions[phase], by)
