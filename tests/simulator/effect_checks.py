"""Effects happen once and in order, and are all confirmed or all undone: what was done, as the log says."""

from __future__ import annotations

from collections import Counter

from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.definition.steps import Refund
from sagas.engine.subsagas import SubSaga
from sagas.states import State
from tests.simulator import entries
from tests.simulator.books import Books, Entry, Run
from tests.simulator.entries import Complaints


def effects(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """What the participants did is what the log says, each once."""
    done = entries.done(definition, log)
    twice = [f"{e.step}.{e.operation}" for (e, n) in Counter(e for _, _, e in _plain(done)).items() if n > 1]
    if twice:
        yield "twice", f"done twice, as the log says: {twice}"
    marked = Counter(books.marks[run.id])
    expected = Counter(
        f"{e.step}.{e.operation}" for index, _, e in done if not entries.is_null(e) and _leaves_marks(definition, index)
    )
    expected.update(
        f"{definition.all_steps[index].name}.{operation}"
        for index, operation in entries.unrecorded(definition, books, run, log).items()
        if _leaves_marks(definition, index)
    )
    if marked != expected and run.saga != "orders.PlaceOrder":
        yield "effect", f"the participants did {dict(marked)}, and the log says {dict(expected)}: {entries.told(log)}"


def _plain(done: list[tuple[int, Phase, Entry]]) -> list[tuple[int, Phase, Entry]]:
    return [(index, phase, Entry(e.step, e.operation, e.outcome, None)) for index, phase, e in done]


def _leaves_marks(definition: Definition, index: int) -> bool:
    step = definition.all_steps[index]
    return not isinstance(step, SubSaga) and not entries.is_tcc(step)


def order_of_effects(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """Forward in order, stage by stage; then either confirmed in order, or undone in the reverse one."""
    done = entries.done(definition, log)
    phases = [phase for _, phase, _ in done]
    forward = [index for index, phase, _ in done if phase is Phase.FORWARD]
    stages = [definition.stages[index].start for index in forward]
    if stages != sorted(stages):
        yield "order", f"steps out of order: {entries.told(log)}"
    for index in forward:
        before = set(range(definition.stages[index].start))
        if not before <= set(forward[: forward.index(index)]):
            yield "order", f"{definition.steps[index].name} was done before what comes before it: {entries.told(log)}"
    confirms = [index for index, phase, _ in done if phase is Phase.CONFIRM]
    if confirms != sorted(confirms):
        yield "order", f"confirms out of order: {entries.told(log)}"
    undone = [index for index, phase, e in done if phase is Phase.UNDO]
    if any(entry.operation == "resolve" for entry in log):
        # What has come from outside is given back, whatever else the person vouches for.
        undone = [index for index in undone if index < len(definition.steps)]
        phases = [phase for index, phase, _ in done if index < len(definition.steps)]
    if undone != sorted(undone, reverse=True):
        yield "order", f"undone in another order than the reverse one: {entries.told(log)}"
    if undone and confirms:
        yield "xor", f"confirmed and undone: {entries.told(log)}"
    if undone and Phase.FORWARD in phases[phases.index(Phase.UNDO) :]:
        yield "dangling", f"a step was done after an undo: {entries.told(log)}"
    for index, phase, e in done:
        step = definition.all_steps[index]
        if phase is not Phase.UNDO or isinstance(step, SubSaga | Refund) or entries.is_null(e):
            continue
        if index not in forward and index not in entries.unrecorded(definition, books, run, log):
            yield "null", f"{step.name} was undone and never done: {entries.told(log)}"


def ended(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """All or nothing."""
    done = entries.done(definition, log)
    forward = {index for index, phase, _ in done if phase is Phase.FORWARD}
    confirmed = {index for index, phase, _ in done if phase is Phase.CONFIRM}
    undone = {index for index, phase, _ in done if phase is Phase.UNDO}
    came = set(books.confirmations[run.id])
    if run.state is State.SUCCEEDED:
        all_of_it = set(range(len(definition.steps)))
        to_confirm = {i for i in range(definition.before_pivot) if definition.has_operation(i, Phase.CONFIRM)}
        if forward != all_of_it or confirmed != to_confirm or undone:
            yield "all", f"it is not wholly confirmed: {entries.told(log)}"
        missing = {c.name for c in definition.confirmations} - came
        if missing:
            yield "xor", f"it succeeded without {missing}"
    if run.state is State.FAILED:
        refunds = {definition.index(c.name) for c in definition.confirmations if c.refund and c.name in came}
        happened = forward | set(entries.unrecorded(definition, books, run, log))
        wanted = {index for index in happened if definition.has_operation(index, Phase.UNDO)} | refunds
        if confirmed or wanted - undone:
            left = [definition.all_steps[index].name for index in sorted(wanted - undone)]
            yield "nothing", f"it is not wholly undone, {left} are left: {entries.told(log)}"
        own = {c.name for c in definition.confirmations}
        kind = (run.reason or {}).get("kind")
        if own and own <= came and kind in {"timeout", "cancelled", "refused"} and not _timed_out(definition, run):
            yield "xor", f"all its confirmations came, and it was {kind}"
    if run.state is State.ESCALATED:
        yield from _stands(definition, books, run, forward=forward, confirmed=confirmed, undone=undone)


def given_back(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """Of a run that a person has ended: what has come is given back, unless that had broken, and they vouch for it."""
    if run.state is not State.FAILED:
        return
    undone = {index for index, phase, _ in entries.done(definition, log) if phase is Phase.UNDO}
    for confirmation in definition.confirmations:
        name = confirmation.name
        if confirmation.refund is None or name not in books.confirmations[run.id]:
            continue
        broken = any(entry.step == name and entry.operation != "confirmation" for entry in log)
        if definition.index(name) not in undone and not broken:
            yield "nothing", f"it was ended by hand, and its {name} was not given back: {entries.told(log)}"


def _timed_out(definition: Definition, run: Run) -> bool:
    """Whether it was undone because its steps, and not its confirmation, took too long; or by its parent."""
    if run.parent is not None:
        return True
    reason = run.reason or {}
    return reason.get("kind") == "timeout" and reason.get("code") == "TimedOut"


def _stands(
    definition: Definition, books: Books, run: Run, *, forward: set[int], confirmed: set[int], undone: set[int]
) -> Complaints:
    """The cursor of a run that a person has says what the log says."""
    state = next((escalation.state for escalation in books.escalations[run.id] if escalation.open), None)
    if state is None:
        return
    bits = {index for index in range(run.fork.bit_length()) if run.fork >> index & 1}
    match state:
        case State.PENDING | State.EXECUTING | State.AWAITING_CONFIRM:
            right = forward == set(range(run.cursor)) | bits
        case State.CONFIRMING if run.cursor < definition.before_pivot:
            right = confirmed == {i for i in range(run.cursor) if definition.has_operation(i, Phase.CONFIRM)}
        case State.CONFIRMING:
            right = forward == set(range(run.cursor)) | bits
        case _:
            can = {index for index in range(run.cursor) if definition.has_operation(index, Phase.UNDO)}
            right = not undone & (can | bits) and can - undone <= forward
    if not right:
        yield (
            "cursor",
            f"it stands at {run.cursor}, {run.fork:b} of {state}: "
            f"done {forward}, confirmed {confirmed}, undone {undone}",
        )


def results(run: Run, log: list[Entry]) -> Complaints:
    """The run has the results that its steps gave, and no others."""
    gave = {e.step: e.data for e in log if e.outcome == "DONE" and e.operation in {"forward", "try"}}
    for step, data in gave.items():
        if data is not None and run.results.get(step) != data:
            yield "result", f"{step} gave {data}, and the run has {run.results.get(step)}"
    if not set(run.results) <= set(gave):
        yield "result", f"it has results of {set(run.results) - set(gave)}, which were not done"
