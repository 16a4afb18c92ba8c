"""Open a new escalation for an escalated run whose open escalation is gone, so that a person can resolve the run.

The schema refuses to lose an escalation, but the owner of the tables can delete it. The run's own row, its
confirmations and its log still tell in which state the run was escalated.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction

from sagas import store
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.decisions.remedies import ESCALATION_LOST, suggest
from sagas.definition.participants import Phase
from sagas.errors import UnknownSaga
from sagas.serialization import dump_json
from sagas.states import State
from sagas.store.locked_runs import LockedRun

logger = logging.getLogger(__name__)


def open_escalation_of(row: store.runs.Row, meant: int | None = None) -> store.escalations.Open | None:
    """The open escalation of a locked run. If the run is ESCALATED and has none, one is opened now.

    Raises:
        AlreadyDecided: the open escalation is not the one that was ``meant``.
        UnknownSaga: an escalation must be opened, and this process does not know the run's saga.
    """
    found = store.escalations.find_open(row.id, meant)
    if found is not None or row.state is not State.ESCALATED:
        return found
    _reopen(row)
    return store.escalations.find_open(row.id, meant)


def reopen_lost_escalations() -> list[UUID]:
    """Open an escalation for every run that is ESCALATED and has none, each in a transaction of its own.

    A run whose saga this process does not know is left as it is, with a line in the log.
    """
    done = []
    for run_id in store.escalations.runs_without_escalation():
        try:
            with transaction.atomic():
                rows = [row for row in store.runs.lock([run_id]) if row.state is State.ESCALATED]
                if rows and store.escalations.find_open(run_id) is None:
                    _reopen(rows[0])
                    done.append(run_id)
        except UnknownSaga as error:
            logger.error("sagas: no escalation is opened of run %s: %s", run_id, error)  # noqa: TRY400 - says it all
    return done


def _reopen(row: store.runs.Row) -> None:
    stood = _state_before(row)
    error = write_reason(ReasonKind.LOST, "", ESCALATION_LOST, "its open escalation was gone")
    suggestion = suggest(stood, "", "", error)
    store.escalations.open_escalation(
        row._replace(state=stood), step="", operation="", error=error, suggestion=suggestion
    )
    store.moves.log(store.moves.event_entry("reopen"), [row], {row.id: dump_json({"state": stood})})
    logger.error("sagas: run %s was ESCALATED without an open escalation; it stood in %s", row.id, stood)


def _state_before(row: store.runs.Row) -> State:
    """The state in which a run was escalated."""
    if store.escalations.has_reason(row.id):
        # A run has a reason when it is being undone, and none while it goes forward.
        return State.COMPENSATING
    run = LockedRun.of(row)
    done = store.log.effects_of(row.id)
    steps = run.definition.steps[: run.definition.before_pivot]
    if any((step.name, step.actions[Phase.FORWARD].operation) not in done for step in steps):
        return State.EXECUTING if row.started_at is not None or row.cursor or row.fork else State.PENDING
    complete = run.awaited <= store.confirmations.received_by(row.id)
    return State.CONFIRMING if complete else State.AWAITING_CONFIRM
