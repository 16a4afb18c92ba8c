"""What must hold in every state: the promises of the engine, asked of the model's world."""

from __future__ import annotations

from collections.abc import Callable

from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.states import FINAL, LIVE, State
from tests.model.world import NO, PHASES, YES, Row, World

#: Each says in which of its worlds it does not hold, and why.
Invariant = Callable[[Definition, World], str | None]
_FORWARD, _CONFIRM, _UNDO = range(3)
#: Why a run has ended: a person has ended it; and vouched even for the compensation at which it stood.
BY_HAND, VOUCHED = "by hand", "by hand, and vouched for"


def _by_hand(row: Row) -> bool:
    return row.why in {BY_HAND, VOUCHED}


def effects_once(definition: Definition, world: World) -> str | None:
    """No operation takes effect twice."""
    for step, counts in zip(definition.all_steps, world.effects, strict=True):
        for phase, count in zip(PHASES, counts, strict=True):
            if count > 1:
                return f"{step.name}.{phase} took effect twice"
    return None


def confirm_xor_cancel(definition: Definition, world: World) -> str | None:
    """A confirmation that was accepted is not overtaken by its deadline or by a cancel; nothing is both ways."""
    row = world.row
    if row.came and row.why in {"expired", "cancelled"}:
        return f"confirmed, and {row.why}"
    # A person who ends it gives back what has come, whatever else they vouch for.
    undone = any(
        counts[_UNDO] for counts in (world.effects[: len(definition.steps)] if _by_hand(row) else world.effects)
    )
    if undone and any(counts[_CONFIRM] for counts in world.effects):
        return "some of it was confirmed, some of it undone"
    if definition.confirmations and not row.came and row.place.state in {State.CONFIRMING, State.SUCCEEDED}:
        return None if _by_hand(row) else f"{row.place.state} without a confirmation"
    return None


def no_undo_without_effect(definition: Definition, world: World) -> str | None:
    """A participant is asked to undo only what it has done; a payment is refunded only if it came."""
    for index, counts in enumerate(world.effects):
        there = counts[_FORWARD] if index < len(definition.steps) else world.row.came
        if counts[_UNDO] > there:
            return f"{definition.all_steps[index].name} was undone, and had not been done"
    return None


def undone_in_reverse(definition: Definition, world: World) -> str | None:
    """Before a step is undone, all that was done after it has been."""
    standing = False
    for index in reversed(range(len(definition.steps))):
        done, _, undone = world.effects[index]
        if undone and standing:
            return f"{definition.steps[index].name} was undone before a later step"
        standing |= bool(done and not undone and definition.has_operation(index, Phase.UNDO))
    return None


def one_answer(definition: Definition, world: World) -> str | None:
    """What a run has got is the decision for its group."""
    shared = definition.shared is not None
    if shared and ((world.row.came and world.decided != YES) or (world.row.why == "refused" and world.decided != NO)):
        return f"its group is {world.decided or 'undecided'}"
    return None


def live_is_due(definition: Definition, world: World) -> str | None:
    """Exactly the runs that the engine moves have a time at which it looks at them."""
    row = world.row
    if (row.place.state in LIVE) != (row.due is not None):
        return f"{row.place.state} and {'due' if row.due else 'not due'}"
    return None


def escalated_is_open(definition: Definition, world: World) -> str | None:
    """Exactly the runs that a person has have an open escalation."""
    row = world.row
    if (row.place.state is State.ESCALATED) != (row.escalated_from is not None):
        return f"{row.place.state}, and its escalation is {'open' if row.escalated_from else 'closed'}"
    return None


def ends_whole(definition: Definition, world: World) -> str | None:
    """Whoever has SUCCEEDED has every effect, confirmed; who has FAILED has none left, now and for ever.

    Ends that a person made are theirs to vouch for, but for what has come from outside: see
    ``escalations.actions.resolve``.
    """
    row = world.row
    if row.place.state not in FINAL:
        return None
    refund = definition.confirmations and definition.confirmations[0].refund is not None
    left = refund and row.came and row.place.state is State.FAILED and not world.effects[-1][_UNDO]
    if left and row.why != VOUCHED:
        return "FAILED, and what came with the confirmation was not given back"
    if _by_hand(row):
        return None
    for index, (done, confirmed, undone) in enumerate(world.effects[: len(definition.steps)]):
        step = definition.steps[index].name
        if row.place.state is State.FAILED:
            if done > undone and definition.has_operation(index, Phase.UNDO):
                return f"FAILED, and the effect of {step} is there"
            if done and index >= definition.before_pivot:
                return f"FAILED, and {step} is behind the pivot"
        elif not done or undone or confirmed != definition.has_operation(index, Phase.CONFIRM):
            return f"SUCCEEDED, and {step} is not done and confirmed"
    return None


def pivot_first(definition: Definition, world: World) -> str | None:
    """Nothing is confirmed, and nothing behind the pivot done, before all steps up to it are."""
    before = [counts[_FORWARD] for counts in world.effects[: definition.before_pivot]]
    if all(before):
        return None
    for index, (done, confirmed, _) in enumerate(world.effects):
        if confirmed or (done and definition.before_pivot <= index < len(definition.steps)):
            return f"{definition.all_steps[index].name} came before a step before the pivot"
    return None


def death_is_counted(definition: Definition, world: World) -> str | None:
    """Where a process has died, no other one goes without a message: RabbitMQ counts the deaths by messages."""
    for chain in world.hands:
        if chain[0] in world.died:
            index, phase = chain[0]
            return f"a process has died in {definition.all_steps[index].name}.{phase}, and another goes on there"
    return None


def blames_who_lapsed(definition: Definition, world: World) -> str | None:
    """Without a broker, an operation is given up for as many lapsed leases as are allowed, and these were its own."""
    return world.wronged or None


INVARIANTS: tuple[Invariant, ...] = (
    effects_once,
    confirm_xor_cancel,
    one_answer,
    no_undo_without_effect,
    undone_in_reverse,
    live_is_due,
    escalated_is_open,
    ends_whole,
    pivot_first,
    death_is_counted,
    blames_who_lapsed,
)


def broken(definition: Definition, world: World) -> str | None:
    """Which of them does not hold, and why; ``None`` if all do."""
    for invariant in INVARIANTS:
        why = invariant(definition, world)
        if why is not None:
            return f"{invariant.__name__}: {why}"
    return None
