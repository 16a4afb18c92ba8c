"""What must hold when a schedule is over: the promises, by the book and not by the engine's own functions.

Each check yields complaints, as (code, sentence). The code says which promise is broken, and is what shrinking keeps.
"""

from __future__ import annotations

from uuid import UUID

from sagas import store
from sagas.states import FINAL, State
from tests.simulator import effect_checks, entries, life_checks, table_checks
from tests.simulator.actors import Actors, Answer, Started
from tests.simulator.books import Books, Entry, Run
from tests.simulator.entries import Complaints

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
    yield from table_checks.pools_add_up(books, actors.stock)
    yield from table_checks.keys_are_apart(actors, books)
    if final and books.locks:
        yield "keys", f"{books.locks} business keys are locked by runs that have ended"


def _absent(started: Started, books: Books) -> Complaints:
    if started.there and not started.parent:
        yield "lost", f"{started.name} was accepted, and is nowhere"
    left = books.marks.get(started.run_id, []) or books.holds.get(started.run_id, [])
    if left:
        yield "effect", f"{started.name} does not exist, and has left {left}"


def _of_run(actors: Actors, books: Books, started: Started, run: Run, *, final: bool) -> Complaints:
    definition = store.definitions.find(run.saga, run.version, run.shape)
    log = books.log[run.id]
    by_hand = any(entry.operation == "resolve" for entry in log)
    yield from life_checks.alive(run, log, final=final)
    yield from life_checks.escalations(actors, books, run, log)
    yield from life_checks.patience(definition, books, run, log)
    yield from life_checks.deadlines(definition, run, log)
    yield from life_checks.paused(definition, log)
    yield from life_checks.breaks(actors, run, log)
    yield from effect_checks.effects(definition, books, run, log)
    yield from effect_checks.order_of_effects(definition, books, run, log)
    yield from _decided_once(books, run, log)
    if by_hand:
        yield from effect_checks.given_back(definition, books, run, log)
    else:
        yield from effect_checks.ended(definition, books, run, log)
        yield from _answers(actors, books, started, run)
        yield from _family(actors, books, started, run)
    yield from effect_checks.results(run, log)
    yield from table_checks.holds_agree(definition, books, run, log)
    yield from _events(books, run)
    if run.saga == "orders.PlaceOrder":
        yield from table_checks.order_agrees(books, run, log, by_hand=by_hand)
        yield from table_checks.payment_agrees(books, run, log)


def _decided_once(books: Books, run: Run, log: list[Entry]) -> Complaints:
    """Each confirmation has come, or was refused or overdue."""
    for entry in log:
        if entry.operation in {"refuse", "expire"} and entry.step in books.confirmations[run.id]:
            yield "xor", f"its {entry.step} has come, and there is an event {entry.operation}: {entries.told(log)}"


def _answers(actors: Actors, books: Books, started: Started, run: Run) -> Complaints:
    own = {c.name for c in store.definitions.find(run.saga, run.version, run.shape).confirmations}
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
    yield from _of_group(actors, books, run)
    if set(came) - own - {"@parent"}:
        yield "answer", f"it has confirmations that nobody waits for: {set(came) - own}"


def _of_group(actors: Actors, books: Books, run: Run) -> Complaints:
    """All of a group have the one answer."""
    if len(set(actors.decisions)) > 1:
        yield "decision", f"those who decided were told {actors.decisions}"
    if not run.request.get("group", "").endswith("-g"):
        return
    formed = "formed" in books.confirmations[run.id]
    refused = (run.reason or {}).get("step") == "formed" and (run.reason or {}).get("code") == "Refused"
    by_group = refused and (run.reason or {}).get("detail") == "too few"
    if (formed and False in actors.decisions) or (by_group and True in actors.decisions):
        yield "decision", f"it has another answer than its group: {actors.decisions}"


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


def _events(books: Books, run: Run) -> Complaints:
    """What a run tells is told in order, and nothing is left out."""
    if run.events is None:
        return
    positions = sorted(position for position, _ in books.events[run.id])
    if positions != list(range(1, run.events + 1)):
        yield "events", f"it has told {run.events} events, and {positions} are there"


def escalated(books: Books) -> list[UUID]:
    """The runs that wait for a person."""
    return sorted(run.id for run in books.runs.values() if run.state is State.ESCALATED)
