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
    #: ``engine.compressed._Cohort``: a run that is rejected takes no part in what follows in the same transaction.
    rejected_leaves: bool = True
    #: ``store.moves.advance(held=True)``: a run with which this process goes on keeps its claim.
    keeps_claim: bool = True
    #: ``engine.claiming._Fate.has_past``: a run that comes back goes out by a message, which RabbitMQ counts.
    lapsed_by_message: bool = True
    #: ``delivery.delivering.deliver``: a delivery with a mark performs its own link only.
    marked_performs_one_link: bool = True
    #: ``local.worker.Worker._take_up_lapsed``: deaths are counted for the first branch of a fork only.
    counts_for_first: bool = True
    #: ``engine.claiming._chains_of``: branches that have waited are performed last.
    waited_last: bool = True
    #: ``store.moves._BY_BRANCHES``: a branch that is done ends the count of leases that lapsed.
    branch_ends_lapses: bool = True
    #: ``store.moves._BY_BRANCHES``: nobody has a run all of whose branches wait.
    waits_alone: bool = True
    #: ``engine.claiming._hasten``, ``store.moves._BY_BRANCHES``: the end of a wait is not counted as that of a lease.
    wait_is_no_lease: bool = True

    #: ``engine.results._with_decision``: the last step looks whether the decision for many is made.
    last_step_looks_for_decision: bool = True
    #: ``engine.shared_decisions.give_made``: so does the claim of a run that waits.
    claim_looks_for_decision: bool = True
    #: ``store.shared_decisions.settle``: a decision is open while a run is undecided, be it under way or not begun.
    settling_sees_all_undecided: bool = True


RIGHT = Rules()
