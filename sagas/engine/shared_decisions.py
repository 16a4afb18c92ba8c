"""One decision for many runs: how it meets each of them.

The decision is a row that is inserted once. It is given to runs by the same transaction in two places:

- ``settle_some``, from every tick until no undecided run of the key is left, gives it to a cohort.
- A claim gives it to a run that has come to wait for its confirmations (``give_made``). A step that brings a run there
  looks whether the decision is made, and only then makes the run due at once.

No run is missed. A run whose last step looked before the decision was committed was committed as undecided before that,
by its start at the latest; so the last look of the settling, which takes no lock and comes after the decision's
commit, finds it, and the settling goes on. A run that this look does not find, because its start or its resume was not
committed, does its own look after that, and finds the decision. Both need READ COMMITTED, and a statement of its own
for each look, behind the run's lock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sagas import limits, runtime, store
from sagas.conf import config
from sagas.decisions import plan
from sagas.decisions.messages import Kick, Message
from sagas.decisions.plan import Move
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.definition import registry
from sagas.definition.confirmations import why_no_key
from sagas.definition.definition import Definition
from sagas.engine import lifecycle, poison
from sagas.engine.compensation import begin_compensation
from sagas.errors import DecidedOtherwise, InvalidArgument, UnknownSaga
from sagas.postgresql.transactions import Transaction
from sagas.states import State
from sagas.store.locked_runs import PARENT, LockedRun, by_place
from sagas.store.shared_decisions import Decision
from sagas.validation import printable

logger = logging.getLogger(__name__)

#: Decisions that one turn looks at, at most.
_MOST = 50


def decide(
    definition: Definition, name: str, key: str, data: str | None, *, reason: str, message: str, by: str
) -> Decision:
    """Decide for all runs of a key; ``data`` is JSON text, ``None`` to refuse. See ``sagas.decide``."""
    if not definition.confirmation(name).is_shared:  # or raises UnknownConfirmation
        msg = f"{definition.name}.{name} is not declared with decided_by=: confirm each run"
        raise InvalidArgument(msg)
    if why := why_no_key(key):
        msg = f"the key of the decision {definition.name}.{name} {why}"
        raise InvalidArgument(msg)
    made = store.shared_decisions.decide(
        definition.name,
        name,
        key,
        data,
        reason=printable(reason)[: limits.DETAIL],
        message=printable(message)[: limits.DETAIL],
        by=printable(by)[: limits.WORKER_NAME],
    )
    if made is None:
        msg = f"{name} of {key!r} was decided since this transaction began, and its isolation level hides how"
        raise InvalidArgument(msg)
    decision, is_same = made
    if not is_same:
        answer = "refused" if decision.declined else "decided with other data" if data is not None else "decided"
        msg = f"{name} of {key!r} was {answer} at {decision.decided_at.isoformat(timespec='seconds')}"
        raise DecidedOtherwise(msg, declined=decision.declined, data=decision.data)
    return decision


@dataclass(slots=True)
class Settled:
    """What a turn has done.

    Attributes:
        more: whether more may wait. Where others have locked the runs that are left, the next tick is soon enough.
        messages: what must be published now.
    """

    more: bool = False
    messages: list[Message] = field(default_factory=list)


def settle_some() -> Settled:
    """Give decisions to their undecided runs, to at most a cohort of runs. Others get their turn before it goes on."""
    settled = Settled()
    sagas = {definition.name for definition in registry.all_definitions() if definition.shared is not None}
    if not sagas:
        return settled
    memory = runtime.memory
    left = config().cohort
    decisions = store.shared_decisions.unsettled(sagas, after=memory.decided_last, limit=_MOST)
    memory.are_decisions_open = bool(decisions)
    progress = False
    for decision in decisions:
        memory.decided_last = decision.id
        given, following = _give_next(decision, left)
        settled.messages += following
        left -= given
        if left <= 0:
            settled.more = True
            return settled
        # In a statement of its own, behind the commit: no transaction locks both runs and a decision.
        progress |= store.shared_decisions.settle(decision) or given > 0
    settled.more = progress and len(decisions) == _MOST
    return settled


def _give_next(decision: Decision, limit: int) -> tuple[int, list[Message]]:
    """Give a decision to the next of its undecided runs, at most ``limit``, in one transaction.

    Returns:
        How many runs it was given to, and what must be published after the commit.
    """
    try:
        with Transaction():
            rows = store.shared_decisions.lock_undecided(decision, limit)
            return len(rows), give(decision, rows)[1]
    except Exception as error:
        if poison.is_systemic(error):
            raise
        logger.warning("sagas: a cohort of a decision broke, and gets it in parts: %s", type(error).__name__)
    with Transaction():
        rows = store.shared_decisions.lock_undecided(decision, limit)
        return len(rows), poison.bisect(rows, lambda part: give(decision, part)[1])[0]


def give_made(runs: Sequence[LockedRun]) -> tuple[set[UUID], list[Message]]:
    """Give locked runs the decision that they await, if it is made.

    Returns:
        The runs that are undecided no more, and what must be published after the commit.
    """
    made = store.shared_decisions.of_runs([run.id for run in runs])
    decided: set[UUID] = set()
    messages: list[Message] = []
    for decision in {decision.id: decision for decision in made.values()}.values():
        mine = [run.row for run in runs if run.id in made and made[run.id].id == decision.id]
        stay, following = give(decision, mine)
        decided |= {row.id for row in mine} - {row.id for row in stay}
        messages += following
    return decided, messages


def give(decision: Decision, rows: Sequence[store.runs.Row]) -> tuple[list[store.runs.Row], list[Message]]:
    """Give a decision to locked, undecided runs of its key.

    Returns:
        The runs that stay undecided, because they are not through their steps or another confirmation is missing; and
        what must be published after the commit.
    """
    runs = _known(rows)
    if not runs:
        return list(rows), []
    if decision.declined:
        return [], _refuse(decision, runs)
    received = store.confirmations.received([run.id for run in runs])
    for names in received.values():
        names.add(decision.name)
    going = [run for run in runs if run.row.state is State.AWAITING_CONFIRM and run.awaited <= received[run.id]]
    ids = {run.id for run in going}
    staying = [run for run in runs if run.id not in ids]
    store.shared_decisions.give(decision, [run.row for run in runs], stay=[run.id for run in staying])
    for definition, place, group in by_place(going):
        after, due = plan.place_to_confirm(definition, before=place.state)
        store.moves.move(Move(place, after, due), group)
    messages: list[Message] = [Kick()] if going else []
    for run in staying:
        if run.row.parent_id is not None and received[run.id] >= run.awaited - {PARENT}:
            messages += lifecycle.confirm_if_complete(run, received[run.id])[1]
    known = {run.id for run in runs}
    return [run.row for run in staying] + [row for row in rows if row.id not in known], messages


def _refuse(decision: Decision, runs: Sequence[LockedRun]) -> list[Message]:
    kind = ReasonKind.REFUSED
    reasons = {
        run.id: write_reason(
            kind, decision.name, kind.capitalize(), run.hide(decision.reason), message=run.hide(decision.message)
        )
        for run in runs
    }
    begin_compensation(runs, store.moves.event_entry("refuse", step=decision.name, by=decision.by), reasons)
    return [Kick()]


def _known(rows: Sequence[store.runs.Row]) -> list[LockedRun]:
    """The runs whose definition is known, in this process or on record; the claim sees to the others."""
    found: list[LockedRun] = []
    for row in rows:
        try:
            found.append(LockedRun.of(row))
        except UnknownSaga as error:
            logger.warning("sagas: run %s does not get its decision: %s", row.id, error)
    return found
