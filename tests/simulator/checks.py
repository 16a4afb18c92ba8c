"""What must hold when a schedule is over: the promises, by the book and not by the engine's own functions.

Each check yields complaints, as (code, sentence). The code says which promise is broken, and is what shrinking keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from uuid import UUID

from sagas import versions
from sagas.definition import Definition
from sagas.nested import SubSaga
from sagas.participant import Phase
from sagas.states import FINAL, State
from sagas.steps import Refund, Step
from tests.simulator.actors import Actors, Answer, Started
from tests.simulator.books import Books, Entry, Run

Complaints = Iterator[tuple[str, str]]

#: Why a run may have been undone although it was confirmed: a step could not be done.
_STEPS_FAULT = frozenset({"rejected", "fault"})


def check(actors: Actors, books: Books, *, final: bool) -> Complaints:
    """Check all that a schedule has left.

    Args:
        actors: who started what, and what they were told.
        books: what the database says.
        final: whether everything was mended, so that nothing may wait for a person any more.
    """
    for started in actors.runs.values():
        run = books.runs.get(started.run_id)
        if run is None:
            yield from _absent(started, books)
            continue
        for code, sentence in _of_run(actors, books, started, run, final=final):
            yield code, f"{started.name} ({started.saga.__name__}, {run.state} at {run.cursor}): {sentence}"
    yield from _pools(books, actors.stock)
    yield from _keys(actors, books)
    if final and books.locks:
        yield "keys", f"{books.locks} business keys are locked by runs that have ended"


def _absent(started: Started, books: Books) -> Complaints:
    if started.there and not started.parent:
        yield "lost", f"{started.name} was accepted, and is nowhere"
    left = books.marks.get(started.run_id, []) or books.holds.get(started.run_id, [])
    if left:
        yield "effect", f"{started.name} does not exist, and has left {left}"


def _of_run(actors: Actors, books: Books, started: Started, run: Run, *, final: bool) -> Complaints:
    definition = versions.find(run.saga, run.version, run.shape)
    log = books.log[run.id]
    by_hand = any(entry.operation == "resolve" for entry in log)
    yield from _alive(books, run, log, final=final)
    yield from _escalations(actors, books, run, log)
    yield from _patience(definition, books, run, log)
    yield from _breaks(run, log)
    yield from _effects(definition, books, run, log)
    yield from _order_of_effects(definition, books, run, log)
    yield from _decided_once(books, run, log)
    if not by_hand:
        yield from _ended(definition, books, run, log)
        yield from _answers(actors, books, started, run)
        yield from _family(actors, books, started, run)
    yield from _results(run, log)
    yield from _holds(definition, books, run, log)
    yield from _events(books, run)
    if run.saga == "orders.PlaceOrder":
        yield from _order(books, run, log, by_hand=by_hand)


# -- none is stranded -------------------------------------------------------------------------------------------------


def _alive(books: Books, run: Run, log: list[Entry], *, final: bool) -> Complaints:
    if run.state in FINAL:
        if run.due or not run.finished:
            yield "stranded", "it has ended, and is due, or nobody knows when it ended"
    elif run.state is State.ESCALATED:
        if final:
            yield "stranded", "everything was mended, and it still waits for a person"
    elif final or not _waits_for_a_person(books, run):
        yield "stranded", f"nothing is on its way, and it has not ended: {_told(log)}"
    if (run.reason is not None) is not (run.state in {State.FAILED, State.COMPENSATING}) and run.state in FINAL:
        yield "reason", f"its reason is {run.reason}"


def _waits_for_a_person(books: Books, run: Run) -> bool:
    """Whether a person has its child, its parent or its parent's other child, or somebody in front of it in a line."""
    persons = [other for other in books.runs.values() if other.state is State.ESCALATED]
    in_line = run.state is State.PENDING and bool(run.request.get("keys"))
    return any(
        run.parent == other.id
        or (other.parent is not None and other.parent in {run.id, run.parent})
        or (in_line and other.request.get("keys"))
        for other in persons
    )


def _escalations(actors: Actors, books: Books, run: Run, log: list[Entry]) -> Complaints:
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


def _patience(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
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


# -- effects happen once ----------------------------------------------------------------------------------------------


def _done(definition: Definition, log: list[Entry]) -> list[tuple[int, Phase, Entry]]:
    """The effects that the log knows, in order."""
    phases = {
        (step.name, str(action.operation)): (index, phase)
        for index, step in enumerate(definition.all_steps)
        for phase, action in step.actions.items()
    }
    return [(*phases[e.step, e.operation], e) for e in log if e.outcome == "DONE"]


#: What may break in a simulation: a participant on demand, another database, a worker that is killed again and again,
#: a child whose key another run holds: it does not wait, for its parent would wait with it.
_FAULTS = frozenset({"Boom", "Rejected", "DatabaseAway", "WorkerKilled", "Locked"})


def _breaks(run: Run, log: list[Entry]) -> Complaints:
    """What the log calls a fault is one of the participants', and not one of the engine's."""
    for entry in log:
        if entry.outcome == "FAULT" and entry.data.get("kind") != "timeout" and entry.data["code"] not in _FAULTS:
            yield "fault", f"{entry.step}.{entry.operation} broke: {entry.data}"


def _unrecorded(definition: Definition, books: Books, run: Run, log: list[Entry]) -> dict[int, str]:
    """Forward operations that were done in the other database, of which the engine never learnt: position, operation.

    Who performed them died between the two commits, and the run was turned back before they were delivered again.
    """
    known = {(e.step, e.operation) for e in log if e.outcome == "DONE"}
    actions = {
        (step.name, step.actions[Phase.FORWARD].operation.value): (index, step.actions[Phase.FORWARD].operation.value)
        for index, step in enumerate(definition.all_steps)
        if step.database and Phase.FORWARD in step.actions
    }
    return dict(actions[one] for one in books.passed[run.id] - known if one in actions)


def _is_null(entry: Entry) -> bool:
    return isinstance(entry.data, dict) and entry.data.get("null") is True


def _effects(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """What the participants did is what the log says, each once."""
    done = _done(definition, log)
    twice = [f"{e.step}.{e.operation}" for (e, n) in Counter(e for _, _, e in _plain(done)).items() if n > 1]
    if twice:
        yield "twice", f"done twice, as the log says: {twice}"
    marked = Counter(books.marks[run.id])
    expected = Counter(
        f"{e.step}.{e.operation}" for index, _, e in done if not _is_null(e) and _leaves_marks(definition, index)
    )
    expected.update(
        f"{definition.all_steps[index].name}.{operation}"
        for index, operation in _unrecorded(definition, books, run, log).items()
        if _leaves_marks(definition, index)
    )
    if marked != expected and run.saga != "orders.PlaceOrder":
        yield "effect", f"the participants did {dict(marked)}, and the log says {dict(expected)}: {_told(log)}"


def _plain(done: list[tuple[int, Phase, Entry]]) -> list[tuple[int, Phase, Entry]]:
    return [(index, phase, Entry(e.step, e.operation, e.outcome, None)) for index, phase, e in done]


def _leaves_marks(definition: Definition, index: int) -> bool:
    step = definition.all_steps[index]
    return not isinstance(step, SubSaga) and not _is_tcc(step)


def _is_tcc(step: Step) -> bool:
    return Phase.FORWARD in step.actions and step.actions[Phase.FORWARD].operation == "try"


def _order_of_effects(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """Forward in order, stage by stage; then either confirmed in order, or undone in the reverse one."""
    done = _done(definition, log)
    phases = [phase for _, phase, _ in done]
    forward = [index for index, phase, _ in done if phase is Phase.FORWARD]
    stages = [definition.stage(index).start for index in forward]
    if stages != sorted(stages):
        yield "order", f"steps out of order: {_told(log)}"
    for index in forward:
        before = set(range(definition.stage(index).start))
        if not before <= set(forward[: forward.index(index)]):
            yield "order", f"{definition.steps[index].name} was done before what comes before it: {_told(log)}"
    confirms = [index for index, phase, _ in done if phase is Phase.CONFIRM]
    if confirms != sorted(confirms):
        yield "order", f"confirms out of order: {_told(log)}"
    undone = [index for index, phase, e in done if phase is Phase.UNDO]
    if undone != sorted(undone, reverse=True):
        yield "order", f"undone in another order than the reverse one: {_told(log)}"
    if undone and confirms:
        yield "xor", f"confirmed and undone: {_told(log)}"
    if undone and Phase.FORWARD in phases[phases.index(Phase.UNDO) :]:
        yield "dangling", f"a step was done after an undo: {_told(log)}"
    for index, phase, e in done:
        step = definition.all_steps[index]
        if phase is not Phase.UNDO or isinstance(step, SubSaga | Refund) or _is_null(e):
            continue
        if index not in forward and index not in _unrecorded(definition, books, run, log):
            yield "null", f"{step.name} was undone and never done: {_told(log)}"


def _ended(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """All or nothing."""
    done = _done(definition, log)
    forward = {index for index, phase, _ in done if phase is Phase.FORWARD}
    confirmed = {index for index, phase, _ in done if phase is Phase.CONFIRM}
    undone = {index for index, phase, _ in done if phase is Phase.UNDO}
    came = set(books.confirmations[run.id])
    if run.state is State.SUCCEEDED:
        all_of_it = set(range(len(definition.steps)))
        to_confirm = {i for i in range(definition.before_pivot) if definition.has(i, Phase.CONFIRM)}
        if forward != all_of_it or confirmed != to_confirm or undone:
            yield "all", f"it is not wholly confirmed: {_told(log)}"
        missing = {c.name for c in definition.confirmations} - came
        if missing:
            yield "xor", f"it succeeded without {missing}"
    if run.state is State.FAILED:
        refunds = {definition.index(c.name) for c in definition.confirmations if c.refund and c.name in came}
        happened = forward | set(_unrecorded(definition, books, run, log))
        wanted = {index for index in happened if definition.has(index, Phase.UNDO)} | refunds
        if confirmed or wanted - undone:
            left = [definition.all_steps[index].name for index in sorted(wanted - undone)]
            yield "nothing", f"it is not wholly undone, {left} are left: {_told(log)}"
        own = {c.name for c in definition.confirmations}
        kind = (run.reason or {}).get("kind")
        if own and own <= came and kind in {"timeout", "cancelled", "refused"} and not _timed_out(definition, run):
            yield "xor", f"all its confirmations came, and it was {kind}"
    if run.state is State.ESCALATED:
        yield from _stands(definition, books, run, forward=forward, confirmed=confirmed, undone=undone)


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
            right = confirmed == {i for i in range(run.cursor) if definition.has(i, Phase.CONFIRM)}
        case State.CONFIRMING:
            right = forward == set(range(run.cursor)) | bits
        case _:
            can = {index for index in range(run.cursor) if definition.has(index, Phase.UNDO)}
            right = not undone & (can | bits) and can - undone <= forward
    if not right:
        yield (
            "cursor",
            f"it stands at {run.cursor}, {run.fork:b} of {state}: "
            f"done {forward}, confirmed {confirmed}, undone {undone}",
        )


def _results(run: Run, log: list[Entry]) -> Complaints:
    for entry in log:
        if entry.outcome == "DONE" and entry.operation in {"forward", "try"} and entry.data is not None:
            if run.results.get(entry.step) != entry.data:
                yield "result", f"{entry.step} gave {entry.data}, and the run has {run.results.get(entry.step)}"
        elif entry.outcome == "DONE" and entry.step in run.results and entry.operation not in {"forward", "try"}:
            continue
    known = {e.step for e in log if e.outcome == "DONE" and e.operation in {"forward", "try"}}
    if not set(run.results) <= known:
        yield "result", f"it has results of {set(run.results) - known}, which were not done"


# -- confirm or cancel, never both ------------------------------------------------------------------------------------


def _decided_once(books: Books, run: Run, log: list[Entry]) -> Complaints:
    """Each confirmation has come, or was refused or overdue."""
    for entry in log:
        if entry.operation in {"refuse", "expire"} and entry.step in books.confirmations[run.id]:
            yield "xor", f"its {entry.step} has come, and there is an event {entry.operation}: {_told(log)}"


def _answers(actors: Actors, books: Books, started: Started, run: Run) -> Complaints:
    own = {c.name for c in versions.find(run.saga, run.version, run.shape).confirmations}
    mine = [answer for answer in actors.answers if answer.run == started.name and answer.verb != "resume"]
    came = books.confirmations[run.id]
    taken: dict[str, Answer] = {}
    for answer in mine:
        if answer.verb == "confirm" and answer.ok:
            if answer.what not in came:
                yield "answer", f"its {answer.what} was taken, and is not on record"
            first = taken.setdefault(answer.what, answer)
            if first.data != answer.data:
                yield "answer", f"two answers to {answer.what}: {first.data} and {answer.data}"
        if answer.verb in {"cancel", "refuse"} and answer.ok and run.state is State.SUCCEEDED:
            yield "answer", f"the {answer.verb} was granted, and it succeeded"
        refused = answer.verb in {"cancel", "refuse"} and not answer.ok and answer.state is not State.ESCALATED
        if answer.what in came:
            continue  # that one had come, and another was refused
        if refused and run.state is State.FAILED and (run.reason or {}).get("kind") not in {*_STEPS_FAULT, "timeout"}:
            yield "answer", f"the {answer.verb} was refused, and it failed: {run.reason}"
    if set(came) - own - {"@parent"}:
        yield "answer", f"it has confirmations that nobody waits for: {set(came) - own}"


def _family(actors: Actors, books: Books, started: Started, run: Run) -> Complaints:
    """A child ends as its parent does."""
    if not started.parent or run.state not in FINAL:
        return
    parent = books.runs.get(actors.runs[started.parent].run_id)
    if parent is None:
        yield "family", "it is a step of nothing"
    elif any(entry.operation == "resolve" for entry in books.log[parent.id]):
        return
    elif parent.state in FINAL and parent.state is not run.state:
        yield "family", f"its parent is {parent.state}"


# -- the books of the shop and of the laboratory ----------------------------------------------------------------------


def _pools(books: Books, stock: int) -> Complaints:
    sums: Counter[tuple[str, str, str]] = Counter()
    for holds in books.holds.values():
        for pool, key, _, quantity, state in holds:
            sums[pool, key, state] += quantity
    for (pool, key), (available, held, sold) in books.pools.items():
        if available + held + sold != stock:
            yield "pool", f"{pool} {key}: {available} + {held} + {sold} is not {stock}"
        if (held, sold) != (sums[pool, key, "HELD"], sums[pool, key, "CONFIRMED"]):
            yield "pool", f"{pool} {key}: {held} held and {sold} sold, and its holds say {dict(sums)}"


def _holds(definition: Definition, books: Books, run: Run, log: list[Entry]) -> Complaints:
    """A hold says what the log says."""
    last: dict[str, str] = {}
    for _, _, entry in _done(definition, log):
        if not _is_null(entry):
            last[entry.step] = {"try": "HELD", "confirm": "CONFIRMED", "cancel": "CANCELLED"}.get(entry.operation, "")
    wanted = {step: state for step, state in last.items() if _is_tcc(definition.all_steps[definition.index(step)])}
    if definition.name != "orders.PlaceOrder" and not run.request.get("jar"):
        wanted = {}
    found = {step: state for _, _, step, _, state in books.holds[run.id]}
    if found != wanted:
        yield "hold", f"it has {found}, and its log says {wanted}: {_told(log)}"


def _order(books: Books, run: Run, log: list[Entry], *, by_hand: bool) -> Complaints:
    order = books.orders.get(run.id)
    if order is None:
        yield "order", "there is no order for it"
        return
    status, total, lines = order
    done = {f"{e.step}.{e.operation}" for e in log if e.outcome == "DONE"}
    if "create_order.confirm" in done:
        wanted = {"CONFIRMED"}
    elif "create_order.compensate" in done:
        wanted = {"REJECTED"}
    elif "create_order.forward" in done:
        wanted = {"PLACED"}
    else:
        # The hook that rejects what was never placed may be lost.
        wanted = {"RECEIVED", "REJECTED"} if run.state in {State.FAILED, State.COMPENSATING} else {"RECEIVED"}
    if by_hand:
        wanted |= {"RECEIVED", "REJECTED"}
    if status not in wanted:
        yield "shop", f"the order is {status}: {_told(log)}"
    item = run.request["items"][0]
    ordered = [[item["sku"], item["quantity"], item["unit_price_cents"]]] if "create_order.forward" in done else []
    if lines != ordered:
        yield "shop", f"the order's lines are {lines}, and not {ordered}"
    if ordered and total != max(item["quantity"] * item["unit_price_cents"] - run.request["discount_cents"], 0):
        yield "shop", f"the order costs {total}"
    coupon = run.request["coupon"]
    state = ""
    if coupon is not None and "apply_coupon.forward" in done:
        state = "REFUNDED" if "apply_coupon.compensate" in done else "REDEEMED"
    if books.redemptions[run.id] != ([(coupon, state)] if state else []):
        yield "shop", f"its redemptions are {books.redemptions[run.id]}, and not {coupon} {state}"
    redeemed = [c for found in books.redemptions.values() for c, state in found if state == "REDEEMED"]
    if coupon is not None and (
        len(redeemed) != len(set(redeemed)) or books.coupons[coupon] is not (coupon in redeemed)
    ):
        yield "shop", f"coupon {coupon}: used is {books.coupons[coupon]}, redeemed are {redeemed}"


def _keys(actors: Actors, books: Books) -> Complaints:
    """No two families are at the same business key at once."""
    spans: dict[tuple[str, str], list[int]] = {}
    for started in actors.runs.values():
        if started.saga.locks and (effects := [e.id for e in books.log[started.run_id] if e.outcome == "DONE"]):
            family = started.name.split(".")[0]
            for key in books.runs[started.run_id].request.get("keys", ())[: len(started.saga.locks)]:
                spans.setdefault((key, family), []).extend(effects)
    for (key, family), effects in spans.items():
        for (other_key, other), theirs in spans.items():
            if other_key == key and family < other and min(effects) < max(theirs) and min(theirs) < max(effects):
                yield "keys", f"{family} and {other} were both at {key}"


def _events(books: Books, run: Run) -> Complaints:
    """What a run tells is told in order, and nothing is left out."""
    if run.events is None:
        return
    positions = sorted(position for position, _ in books.events[run.id])
    if positions != list(range(1, run.events + 1)):
        yield "events", f"it has told {run.events} events, and {positions} are there"


def _told(log: list[Entry]) -> str:
    return ", ".join(map(str, log))


def escalated(books: Books) -> list[UUID]:
    """The runs that wait for a person."""
    return sorted(run.id for run in books.runs.values() if run.state is State.ESCALATED)
