"""What a run's log says, read by the definition of its saga."""

from __future__ import annotations

from collections.abc import Iterator

from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.definition.steps import Step
from tests.simulator.books import Books, Entry, Run

#: What is wrong, as (code, sentence).
Complaints = Iterator[tuple[str, str]]


def done(definition: Definition, log: list[Entry]) -> list[tuple[int, Phase, Entry]]:
    """The effects that the log knows, in order."""
    phases = {
        (step.name, str(action.operation)): (index, phase)
        for index, step in enumerate(definition.all_steps)
        for phase, action in step.actions.items()
    }
    return [(*phases[e.step, e.operation], e) for e in log if e.outcome == "DONE"]


def unrecorded(definition: Definition, books: Books, run: Run, log: list[Entry]) -> dict[int, str]:
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


def is_null(entry: Entry) -> bool:
    """Whether it was an undo that found nothing to undo."""
    return isinstance(entry.data, dict) and entry.data.get("null") is True


def is_tcc(step: Step) -> bool:
    """Whether it tries, and leaves a hold."""
    return Phase.FORWARD in step.actions and step.actions[Phase.FORWARD].operation == "try"


def told(log: list[Entry]) -> str:
    """The log as a complaint tells it."""
    return ", ".join(map(str, log))
