"""Probes of consistency: runs are compared with their logs, confirmations and escalations.

They also look for what the schema refuses: the tables' owner can bypass its triggers and constraints, and a restored or
patched database may contradict itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sagas import store
from sagas.conf import config
from sagas.definition import registry
from sagas.definition.definition import Definition
from sagas.definition.participants import Location, Phase
from sagas.errors import UnknownSaga
from sagas.operations.doctor.finding import Finding, Severity
from sagas.operations.doctor.query import one, rows
from sagas.states import UNDECIDED, State
from sagas.store.locked_runs import PARENT

#: Number of runs whose logs are read in one query.
BATCH = 500
#: Number of runs, the latest ones, of which the finished are compared with their logs.
ENDED = 5000
#: Number of rows of the log, the latest ones, of which the runs must exist.
LAST = 20_000
#: A run that waits for nothing is due within this time at the latest.
FAR = timedelta(hours=2)


def escalated() -> Iterator[Finding]:
    """Report escalated runs without an open escalation, and open escalations of runs that are not escalated."""
    lost = store.escalations.runs_without_escalation()
    if lost:
        yield Finding(
            Severity.ERROR,
            f"{len(lost)} run(s) are ESCALATED without an open escalation, so that nobody is notified (run {lost[0]}).",
            len(lost),
            "Run manage.py sagas reopen, then repair the cause and resume the runs. To resume or resolve a run by its "
            "id opens its escalation, too.",
        )
    stray, example = one(
        "SELECT count(*), min(run.id::text) FROM sagas_escalation AS e JOIN sagas_run AS run ON run.id = e.run_id "
        "WHERE e.resolved_at IS NULL AND run.state <> 'ESCALATED'"
    )
    if stray:
        yield Finding(
            Severity.ERROR,
            f"{stray} open escalation(s) are of runs that are not ESCALATED, and cause useless notices ({example}).",
            stray,
            "Find out who changed the runs by hand. Close the escalations as the tables' owner: UPDATE "
            "sagas_escalation SET resolved_at = now(), notify_at = NULL for those runs.",
        )
    if not lost and not stray:
        yield Finding(Severity.FINE, "Every escalated run has its open escalation.")


def times() -> Iterator[Finding]:
    """Report live runs that are due so late that the engine cannot have written it."""
    longest = _longest_wait()
    found = rows(
        "SELECT count(*), min(run.id::text), max(due_at) FROM sagas_run AS run WHERE due_at > now() + CASE state "
        # Such a run is due at its deadline, or, if it waits for its parent, within an hour.
        "WHEN 'AWAITING_CONFIRM' THEN GREATEST(COALESCE(deadline - now(), interval '0'), interval '0') + %s "
        "ELSE %s END "
        "AND NOT EXISTS (SELECT FROM jsonb_each(run.pending) AS wait "
        "WHERE to_timestamp((wait.value->>'until')::float8) + interval '1 hour' > run.due_at)",
        [FAR + timedelta(seconds=config().grace), longest],
    )
    count, example, until = found[0]
    if count:
        yield Finding(
            Severity.ERROR,
            f"{count} live run(s) are due far ahead, until {until:%Y-%m-%d %H:%M}, and wait for nothing ({example}).",
            count,
            "Somebody wrote due_at by hand, or the database's clock was wrong. As the tables' owner: UPDATE sagas_run "
            "SET due_at = now() for those runs. The next claim finds out what they need.",
        )
    else:
        yield Finding(Severity.FINE, "Every live run is due in time.")


def _longest_wait() -> timedelta:
    """Compute how far ahead a live run may be due: the longest delay of a retry, lease or probe."""
    retries = [
        action.retry.max_delay * 2
        for definition in registry.all_definitions()
        for step in definition.all_steps
        for action in step.actions.values()
    ]
    lease = timedelta(seconds=config().lease * 2 ** min(config().lease_limit, 16))
    return max([*retries, lease, timedelta(seconds=config().breaker_probe), FAR])


# -- The log against the runs ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    """A run and its place; for an escalated run, its state before the escalation."""

    id: UUID
    saga: str
    version: int
    shape: int
    state: State
    cursor: int
    fork: int
    parent_id: UUID | None
    started_at: datetime | None


_COLUMNS = "run.id, run.saga, run.version, run.shape, {state}, run.cursor, run.fork, run.parent_id, run.started_at"


def logs() -> Iterator[Finding]:
    """Compare the place of unfinished and recently finished runs with their logs and confirmations."""
    wrong: dict[str, list[UUID]] = defaultdict(list)
    looked = 0
    for batch in _batches():
        looked += len(batch)
        for run, why in _compare(batch):
            wrong[why].append(run.id)
    for why, ids in wrong.items():
        yield Finding(
            Severity.ERROR,
            f"{len(ids)} run(s) contradict their logs: {why} (run {ids[0]}).",
            len(ids),
            "Somebody changed the run or its log without the engine. Compare its log with its effects. Then cancel the "
            "run, or confirm or undo all of its effects by hand.",
        )
    forged, example = one(
        "SELECT count(*), min(run_id::text) FROM (SELECT run_id FROM sagas_log ORDER BY run_id DESC LIMIT %s) AS entry "
        "WHERE NOT EXISTS (SELECT FROM sagas_run AS run WHERE run.id = entry.run_id)",
        [LAST],
    )
    if forged:
        yield Finding(
            Severity.ERROR,
            f"{forged} of the log's rows of the last runs belong to runs that do not exist (run {example}).",
            remedy="Runs were deleted without their logs, or somebody wrote the log by hand.",
        )
    if not wrong and not forged:
        yield Finding(Severity.FINE, f"The log agrees with the runs ({looked} compared).")


def _batches() -> Iterator[list[_Run]]:
    last = UUID(int=0)
    while True:
        batch = _read(
            f"SELECT {_COLUMNS.format(state='run.state')} FROM sagas_run AS run "
            "WHERE run.due_at IS NOT NULL AND run.id > %s ORDER BY run.id LIMIT %s",
            [last, BATCH],
        )
        if not batch:
            break
        yield batch
        last = batch[-1].id
    yield _read(
        f"SELECT {_COLUMNS.format(state='e.state')} FROM sagas_escalation AS e "
        "JOIN sagas_run AS run ON run.id = e.run_id AND run.state = 'ESCALATED' WHERE e.resolved_at IS NULL LIMIT %s",
        [ENDED],
    )
    # The primary key gives the latest runs: their ids are in order of time.
    yield _read(
        f"SELECT {_COLUMNS.format(state='run.state')} FROM (SELECT * FROM sagas_run ORDER BY id DESC LIMIT %s) AS run "
        "WHERE run.state IN ('SUCCEEDED', 'FAILED')",
        [ENDED],
    )


def _read(sql: str, params: Sequence[object]) -> list[_Run]:
    return [_Run(r[0], r[1], r[2], r[3], State(r[4]), *r[5:]) for r in rows(sql, params)]


def _compare(batch: Sequence[_Run]) -> Iterator[tuple[_Run, str]]:
    ids = [run.id for run in batch]
    done: dict[UUID, set[tuple[str, str]]] = defaultdict(set)
    events: dict[UUID, set[str]] = defaultdict(set)
    for run_id, step, operation, outcome in rows(
        "SELECT run_id, step, operation, outcome FROM sagas_log WHERE run_id = ANY(%s::uuid[]) "
        "AND outcome IN ('DONE', 'EVENT')",
        [ids],
    ):
        if outcome == "DONE":
            done[run_id].add((step, operation))
        else:
            events[run_id].add(operation)
    came: dict[UUID, set[str]] = defaultdict(set)
    for run_id, name in rows("SELECT run_id, name FROM sagas_confirmation WHERE run_id = ANY(%s::uuid[])", [ids]):
        came[run_id].add(name)
    # Leave out a run that moved while its log was read.
    now = {
        run_id: (state, cursor, fork)
        for run_id, state, cursor, fork in rows(
            "SELECT run.id, COALESCE(e.state, run.state), run.cursor, run.fork FROM sagas_run AS run "
            "LEFT JOIN sagas_escalation AS e ON e.run_id = run.id AND e.resolved_at IS NULL "
            "WHERE run.id = ANY(%s::uuid[])",
            [ids],
        )
    }
    for run in batch:
        if now.get(run.id) != (run.state, run.cursor, run.fork):
            continue
        if "start" not in events[run.id]:
            yield run, "their log does not begin with their start"
            continue
        if "resolve" in events[run.id]:
            continue  # a person has ended it, and vouched for its effects
        try:
            definition = store.definitions.find(run.saga, run.version, run.shape)
        except UnknownSaga:
            continue  # another probe reports it
        if why := _wrong(definition, run, done[run.id], came[run.id]):
            yield run, f"{run.saga} {run.state}, {why}"


def _wrong(definition: Definition, run: _Run, done: set[tuple[str, str]], came: set[str]) -> str:
    """Describe what is impossible about a run's place; '' if nothing is."""
    steps = range(len(definition.steps))
    if run.cursor > len(definition.steps):
        return f"behind the last of its {len(definition.steps)} steps"
    forward, confirmed, undone = ({i for i in steps if _operation(definition, i, phase) in done} for phase in Phase)
    undoable = {i for i in steps if definition.has_operation(i, Phase.UNDO)}
    before = set(range(definition.before_pivot))
    wanted = {c.name for c in definition.confirmations} | ({PARENT} if run.parent_id else set())
    if run.state in UNDECIDED:
        branches = {i for i in steps if run.fork >> i & 1}
        must = before if run.state is State.AWAITING_CONFIRM else set(range(run.cursor)) | branches
        if undone:
            return "and steps of it were undone"
        return "" if forward == must else _differ(definition, "done", forward, must)
    if run.state in {State.CONFIRMING, State.SUCCEEDED}:
        if not wanted <= came:
            return f"without {', '.join(sorted(wanted - came))}"
        final = run.state is State.SUCCEEDED
        ahead = set() if final else {i for i in steps if i >= run.cursor}
        confirms = {i for i in before if definition.has_operation(i, Phase.CONFIRM)}
        if undone:
            return "and steps of it were undone"
        if not before <= forward:
            return _differ(definition, "done", forward, before)
        if confirms - ahead - confirmed:
            return _differ(definition, "confirmed", confirmed, confirms - ahead)
        if final and forward != set(steps):
            return _differ(definition, "done", forward, set(steps))
        return ""
    if confirmed:
        return "and steps of it were confirmed"
    left = set() if run.state is State.FAILED else {i for i in steps if i < run.cursor or run.fork >> i & 1}
    if missing := (forward & undoable) - undone - left:
        return f"and {_names(definition, missing)} not undone"
    local = {i for i in left if i < run.cursor and definition.steps[i].location is not Location.OTHER_DATABASE}
    if local - forward:
        return f"with more to undo than was done: {_names(definition, local - forward)}"
    return ""


def _operation(definition: Definition, index: int, phase: Phase) -> tuple[str, str]:
    step = definition.steps[index]
    action = step.actions.get(phase)
    return step.name, action.operation.value if action is not None else ""


def _differ(definition: Definition, what: str, found: Iterable[int], must: Iterable[int]) -> str:
    found, must = set(found), set(must)
    parts = []
    if must - found:
        parts.append(f"and {_names(definition, must - found)} not {what} as the log says")
    if found - must:
        parts.append(f"and {_names(definition, found - must)} {what} already as the log says")
    return ", ".join(parts)


def _names(definition: Definition, positions: Iterable[int]) -> str:
    return ", ".join(definition.steps[i].name for i in sorted(positions))
