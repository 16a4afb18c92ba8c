"""The rules that the engine keeps. A model with one of them broken must be caught."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Each is what a line of the engine is there for. Unset one, and see what happens."""

    #: ``decisions.plan.stand``: a delivery is for runs that stand at its step.
    reads_cursor: bool = True
    #: ``store.runs.lock``: whoever decides about a run has it to himself.
    locks: bool = True
    #: ``store.moves.move``, ``store.moves.advance``: the UPDATE names the place that was read.
    guards_moves: bool = True
    #: ``engine.lifecycle.expire_unconfirmed``: a deadline asks whether the confirmation has come.
    deadline_asks_for_confirmation: bool = True
    #: ``engine.lifecycle.expire_unconfirmed``: a deadline is for undecided runs.
    deadline_asks_for_state: bool = True
    #: ``engine.lifecycle.receive_confirmation``: only undecided runs are confirmed.
    confirmation_asks_for_state: bool = True
    #: ``engine.lifecycle.cancel_run``: what is confirmed cannot be cancelled.
    cancel_asks_for_confirmation: bool = True
    #: ``engine.results._confirmed``: the last step asks whether the confirmation has come.
    last_step_asks_for_confirmation: bool = True
    #: ``task_acks_late``: a message is acked behind the commit.
    acks_late: bool = True
    #: ``claim(lapsed=True)``: runs whose lease is over are claimed again.
    claims_again: bool = True
    #: ``store.claims.lease``: a claimed run keeps a ``due_at``.
    leases: bool = True
    #: ``claim``: the tick judges the deadline whose message was lost.
    tick_judges: bool = True
    #: ``store.moves._due``, ``engine.claiming._send_out``: who has not begun begins before it waits.
    begins_before_it_waits: bool = True
    #: ``escalations.actions.resume``: back to where it stood.
    resumes_where_it_stood: bool = True
    #: ``escalations.actions.resolve``: a run that a person ends as FAILED gives back what has come from outside.
    resolving_gives_back: bool = True
    #: ``Row.waits_for_retry``: a run whose attempt is not due is left alone by messages.
    waits_for_its_attempt: bool = True
    #: ``engine.outside.barrier._enter``: an operation there that has its row is not done again.
    barrier_remembers: bool = True
    #: ``engine.outside.barrier._enter_to_undo``: an undo takes the row of the forward operation.
    undo_takes_forward_row: bool = True
    #: ``engine.outside.barrier._enter_to_undo``: an undo whose forward operation has not happened calls nobody.
    undo_asks_forward_row: bool = True


RIGHT = Rules()
