"""None is stranded: every run ends, or waits for a person with a cause; and what breaks is tried as often as it may."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sagas.definition.definition import Definition
from sagas.definition.participants import Location, Phase
from sagas.states import FINAL, State
from tests.simulator import entries
from tests.simulator.actors import Actors
from tests.simulator.books import Books, Entry, Run
from tests.simulator.entries import Complaints

#: Seconds by which two times may differ that are the same: what is left of a microsecond in a float.
_GRAIN = 2e-6

#: Deaths after which an operation is given up (``SAGAS["DELIVERIES"]``).
DEATHS = 3
#: What may break in a simulation: a participant on demand, another database, a worker that is killed again and again,
#: a child whose key another run holds: it does not wait, for its parent would wait with it. A worker that stands still,
#: and whose session the server ends, looks like a participant that does: a run with lapsed leases is given up for it.
_FAULTS = frozenset({"Boom", "Rejected", "DatabaseAway", "WorkerKilled", "CutOff", "Locked"})


def alive(run: Run, log: list[Entry], *, final: bool) -> Complaints:
    if run.state in FINAL:
        if run.due or not run.finished:
            yield "stranded", "it has ended, and is due, or nobody knows when it ended"
    elif run.state is State.ESCALATED:
        if final:
            yield "stranded", "everything was mended, and it still waits for a person"
    elif final or not run.waits:
        yield "stranded", f"nothing is on its way, and it has not ended: {entries.told(log)}"
    if (run.reason is not None) is not (run.state in {State.FAILED, State.COMPENSATING}) and run.state in FINAL:
        yield "reason", f"its reason is {run.reason}"


def escalations(actors: Actors, books: Books, run: Run, log: list[Entry]) -> Complaints:
    found = books.escalations[run.id]
    still = [escalation for escalation in found if escalation.open]
    if (run.state is State.ESCALATED) is not (len(still) == 1):
        yield "escalation", f"{len(still)} open escalations"
    if any(not escalation.told for escalation in still):
        yield "escalation", "nobody is told of it"
    for escalation in found:
        why = _uncaused(actors, run, escalation.error, f"{escalation.step}.{escalation.operation}")
        if why:
            yield "cause", f"escalated without a cause ({why}): {escalation.error}"


def _uncaused(actors: Actors, run: Run, error: Mapping[str, object], operation: str) -> str:
    """Why nothing that was done to the run explains an escalation; nothing, if something does."""
    faults = run.request.get("faults", {})
    tally = actors.simulation.tally.faults
    strikes = sum(tally.values())
    match error.get("kind"):
        case "fault" | "breaker":
            if error.get("code") in {"WorkerKilled"}:
                others = strikes - tally["poison"]
                return "" if operation in run.request.get("kills", ()) or others >= 3 else f"{others} faults"
            if error.get("code") in {"Boom", "Rejected"}:
                return "" if operation in faults or _refuses(run, operation) else f"{operation} never breaks"
            return "" if strikes else "nothing struck"
        case "stuck" if error.get("code") == "UnknownSaga":
            return "" if tally["rollback"] else "no code was taken back"
        case "stuck":
            # Each claim that saw no progress needs a fault that took its message, or held it up. A neighbour that
            # kills the process in which both are performed is none: whose fault it is must be found out.
            others = strikes - tally["poison"]
            return "" if run.request.get("kills") or others >= 3 else f"{others} faults"
    return f"unknown kind {error.get('kind')}"


def _refuses(run: Run, operation: str) -> bool:
    return operation.split(".", maxsplit=1)[0] in run.request.get("reject", ())


def patience(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """What breaks is tried as often as its step says, before it is given up."""
    given_up = [(e.step, e.operation, e.error) for e in books.escalations[run.id]]
    if run.state is State.FAILED and run.reason and run.reason["step"] in {step.name for step in definition.steps}:
        step = definition.steps[definition.index(run.reason["step"])]
        given_up.append((step.name, step.actions[Phase.FORWARD].operation, run.reason))
    for name, operation, error in given_up:
        if error.get("kind") != "fault":
            continue
        failed = sum((e.step, e.operation, e.outcome) == (name, operation, "FAULT") for e in log)
        actions = definition.all_steps[definition.index(name)].actions.values()
        wanted = next(action.retry.attempts for action in actions if action.operation == operation)
        if failed < wanted:
            yield "gave up", f"{name}.{operation} was given up after {failed} of {wanted} attempts"


def deadlines(definition: Definition, run: Run, log: list[Entry]) -> Complaints:
    """No deadline fires before it is due."""
    for entry in log:
        if entry.operation != "expire":
            continue
        confirmation = next(c for c in definition.confirmations if c.name == entry.step)
        if run.started is None:
            yield "early", f"its {entry.step} expired, and no deadline has begun to count"
            continue
        began = datetime.fromtimestamp(run.started, UTC)
        due = confirmation.deadline(began, lambda: definition.load(json.dumps(run.request))).timestamp()
        if entry.at < due - _GRAIN:
            yield "early", f"its {entry.step} expired {due - entry.at:.6f} s before its deadline"


def breaks(actors: Actors, run: Run, log: list[Entry]) -> Complaints:
    """What the log calls a fault is one of the participants', and not one of the engine's."""
    tally = actors.simulation.tally.faults
    for entry in log:
        if entry.outcome == "FAULT" and entry.data["code"] == "WorkerKilled":
            operation = f"{entry.step}.{entry.operation}"
            if operation not in run.request.get("kills", ()) and sum(tally.values()) - tally["poison"] < DEATHS:
                yield "blame", f"{operation} was given up for what another has done: {entries.told(log)}"
        if entry.outcome == "FAULT" and entry.data.get("kind") != "timeout" and entry.data["code"] not in _FAULTS:
            yield "fault", f"{entry.step}.{entry.operation} broke: {entry.data}"


def paused(definition: Definition, log: list[Entry]) -> Complaints:
    """While a run is paused nothing is performed for it, and nothing turns it back.

    What was under way in another system may still be answered.
    """
    is_paused = False
    for entry in log:
        if entry.outcome == "EVENT":
            is_paused = entry.operation == "pause" or (is_paused and entry.operation != "unpause")
            if is_paused and entry.operation in {"expire", "timeout"}:
                yield "paused", f"it was turned back by {entry.operation} while it was paused"
        elif is_paused and definition.all_steps[definition.index(entry.step)].location is not Location.REMOTE:
            yield "paused", f"{entry.step}.{entry.operation} was performed while it was paused"
