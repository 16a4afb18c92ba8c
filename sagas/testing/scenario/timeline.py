"""Formats a run's log as a table, for messages of assertions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sagas import store
from sagas.errors import UnknownSaga
from sagas.models import Log, Run

#: The most characters of a row's data.
WIDTH = 72
_HEAD = ("after", "step", "operation", "outcome", "try", "")


def table(run_id: UUID) -> str:
    """Format a run's log, a line for each row, with the seconds since the first row."""
    entries = list(Log.objects.filter(run_id=run_id).order_by("id"))
    lines: list[Sequence[str]] = [_HEAD]
    for entry in entries:
        after = (entry.at - entries[0].at).total_seconds()
        text = " ".join(_format(entry.data).split())  # errors of databases contain line breaks
        shown = text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
        happened = entry.outcome != "EVENT"
        outcome, attempt = (entry.outcome, str(entry.attempt)) if happened else ("", "")
        lines.append((f"{after:.1f} s", entry.step, entry.operation, outcome, attempt, shown))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    run = Run.objects.get(pk=run_id)
    why = f", because {run.reason['code']}: {run.reason['detail']}" if run.reason else ""
    return "\n".join([f"{run.saga} {run_id} is {run.state}{why}{_skipped(run)}", "", *rows])


def _skipped(run: Run) -> str:
    try:
        names = [name for _, name in store.definitions.find(run.saga, run.version, run.shape).skipped]
    except UnknownSaga:
        names = []
    return f"; it skips {', '.join(names)}" if names else ""


def _format(data: Any) -> str:
    """Format a result as JSON, and an error as code and detail."""
    if data is None:
        return ""
    if isinstance(data, dict) and {"code", "detail"} <= set(data):
        return f"{data['code']}: {data['detail']}"
    return json.dumps(data, ensure_ascii=False)
