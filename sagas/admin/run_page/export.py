"""A run as JSON: everything that its page shows, whole, to be read by a program or looked at on another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sagas.models import Escalation, Log
from sagas.operations.inspection import Inspection

#: Grows if a member changes its meaning.
FORMAT = 1


def as_json(found: Inspection) -> Mapping[str, Any]:
    """Everything on record of a run. Moments are ISO 8601; what is personal is as it was read."""
    run = found.run
    return {
        "format": FORMAT,
        "exported_at": found.facts.now,
        "shows_personal": found.shows_personal,
        "is_cut": found.is_cut,
        "run": {
            "id": run.pk,
            "saga": run.saga,
            "version": run.version,
            "shape": run.shape,
            "business_key": run.business_key,
            "state": run.state,
            "cursor": run.cursor,
            "fork": run.fork,
            "attempt": run.attempt,
            "reason": run.reason,
            "pending": run.pending,
            "trace_id": run.trace_id.hex,
            "parent_id": run.parent_id,
            "parent_step": run.parent_step,
            "created_at": run.created_at,
            "started_at": run.started_at,
            "deadline": run.deadline,
            "due_at": run.due_at,
            "finished_at": run.finished_at,
        },
        "definition": json.loads(found.definition.shape.dump()) if found.definition is not None else None,
        "request": found.request,
        "results": found.results,
        "log": [_entry(entry) for entry in found.entries],
        "confirmations": [
            {"name": each.name, "received_at": each.received_at, "data": each.data} for each in found.confirmations
        ],
        "escalations": [_escalation(each) for each in found.escalations],
        "family": [
            {"id": each.id, "saga": each.saga, "state": each.state, "parent_id": each.parent_id, "step": each.step}
            for each in found.family
        ],
    }


def _entry(entry: Log) -> Mapping[str, Any]:
    return {
        "id": entry.pk,
        "step": entry.step,
        "operation": entry.operation,
        "outcome": entry.outcome,
        "attempt": entry.attempt,
        "at": entry.at,
        "duration_us": entry.duration_us,
        "performed_by": entry.performed_by,
        "undone_by": entry.undone_by,
        "data": entry.data,
    }


def _escalation(each: Escalation) -> Mapping[str, Any]:
    return {
        "state": each.state,
        "step": each.step,
        "operation": each.operation,
        "error": each.error,
        "suggestion": each.suggestion,
        "created_at": each.created_at,
        "assignee": each.assignee,
        "acknowledged_at": each.acknowledged_at,
        "acknowledged_by": each.acknowledged_by,
        "resolved_at": each.resolved_at,
        "resolution": each.resolution,
        "resolved_by": each.resolved_by,
        "note": each.note,
    }
