"""SQL of waiting: when locked runs are looked at again, and that what they wait for has come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from sagas.db import uuid_array
from sagas.store.runs import Row, Wait, execute


def hasten(times: Mapping[UUID, float]) -> None:
    """Look at locked runs again at these times (seconds of Unix time), if not before."""
    execute(
        "UPDATE sagas_run AS run SET due_at = LEAST(run.due_at, to_timestamp(v.at)) "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, at) WHERE run.id = v.id AND run.due_at IS NOT NULL",
        [uuid_array(times), list(times.values())],
    )


def postpone(waits: Mapping[UUID, float]) -> None:
    """Look at locked runs again after so many seconds."""
    execute(
        "UPDATE sagas_run AS run SET due_at = clock_timestamp() + v.wait * interval '1 second' "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, wait) WHERE run.id = v.id AND run.due_at IS NOT NULL",
        [uuid_array(waits), list(waits.values())],
    )


def hasten_by(waits: Mapping[UUID, float]) -> None:
    """Look at locked runs again after so many seconds, if not before."""
    execute(
        "UPDATE sagas_run AS run SET due_at = clock_timestamp() + v.wait * interval '1 second' "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, wait) "
        "WHERE run.id = v.id AND run.due_at > clock_timestamp() + v.wait * interval '1 second'",
        [uuid_array(waits), list(waits.values())],
    )


def wait_until(times: Mapping[UUID, float]) -> None:
    """Leave locked runs alone until then (seconds of Unix time): what they wait for is no lack of progress."""
    execute(
        "UPDATE sagas_run AS run SET due_at = to_timestamp(v.at), claims = 0 "
        "FROM unnest(%s::uuid[], %s::float8[]) AS v(id, at) WHERE run.id = v.id AND run.due_at IS NOT NULL",
        [uuid_array(times), list(times.values())],
    )


def leave_alone(ids: Sequence[UUID], seconds: float) -> None:
    """Leave locked, live runs alone for so many seconds: what keeps them is no lack of progress."""
    execute(
        "UPDATE sagas_run SET due_at = clock_timestamp() + %s * interval '1 second', claims = 0 "
        "WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
        [seconds, uuid_array(ids)],
    )


def put_off(ids: Sequence[UUID], seconds: float, *, sooner: bool) -> None:
    """Leave locked runs alone for so many seconds; then they are claimed as a first lease that has lapsed is.

    So they travel apart from fresh work. ``sooner`` keeps a due time that comes before that.
    """
    when = "clock_timestamp() + %s * interval '1 second'"
    execute(
        f"UPDATE sagas_run SET claims = 1, due_at = {f'LEAST(due_at, {when})' if sooner else when} "
        "WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
        [seconds, uuid_array(ids)],
    )


def answered(row: Row, step: str, *, begun: bool = True) -> Row:
    """Note for a locked run that what it waits for at a step was reported; what follows is the caller's to write.

    ``begun`` tells whether it may have taken effect.
    """
    waits = {name: asdict(wait) for name, wait in row.waits.items()}
    waits[step] |= {"until": 0, "operation": "", "begun": begun}
    pending = json.dumps(waits)
    execute("UPDATE sagas_run SET pending = %s::jsonb WHERE id = %s", [pending, row.id])
    return row._replace(pending=pending)


def begin_again(row: Row, now: float) -> None:
    """Let a locked run that a person resumes wait for nothing but answers that may still come in time.

    What it waited for in vain is asked for again, and attempts are counted from the first. ``begun`` stays: what may
    have taken effect is undone, whoever resumes it.
    """
    waits = {}
    for step, wait in row.waits.items():
        if wait.operation and wait.until > now:
            waits[step] = wait
        elif wait.begun:
            waits[step] = Wait(0, begun=True)
    pending = json.dumps({step: asdict(wait) for step, wait in waits.items()}) if waits else None
    execute("UPDATE sagas_run SET pending = %s::jsonb WHERE id = %s", [pending, row.id])


def make_due(ids: Sequence[UUID]) -> None:
    """Let the dispatcher look at locked, live runs now."""
    execute(
        "UPDATE sagas_run SET due_at = clock_timestamp(), claims = 0 WHERE id = ANY(%s::uuid[]) AND due_at IS NOT NULL",
        [uuid_array(ids)],
    )


def wake(run_id: UUID, step: str) -> None:
    """Let a run wait no more at a step: what it waits for has happened. A run that does not wait there is left alone.

    The next attempt may be due at once, so it is not one of those that wait for a claim.
    """
    execute(
        "UPDATE sagas_run SET due_at = clock_timestamp(), claims = 0, "
        "pending = jsonb_set(pending, ARRAY[%s, 'until'], '0') WHERE id = %s AND pending ? %s AND due_at IS NOT NULL",
        [step, run_id, step],
    )
