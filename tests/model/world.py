"""What the model knows in a state: the run's row, the effects, the barrier's rows, and what is in the air.

Time is not counted, for nothing in the engine may depend on how long something takes. Of a time that is ahead only
this matters: whether it has passed.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.states import BarrierOutcome, State


class When(Enum):
    """When the dispatcher looks at a run again: ``Run.due_at``, of which is NULL what is ``None`` here."""

    NOW = "now"
    #: When a lease, or the wait for an attempt, is over.
    LATER = "later"
    #: When the first of its branches may be tried again.
    WAIT = "when a branch may be tried"
    #: When the confirm deadline is over.
    DEADLINE = "deadline"


class Wait(NamedTuple):
    """A branch of a fork that waits for its next attempt: an entry of ``Run.pending``."""

    at: int
    failed: int
    over: bool


class Row(NamedTuple):
    """The run, and its confirmation: what its lock guards. The fields are those of ``models.Run``, but for the last."""

    place: Place
    attempt: int = 0
    claims: int = 0
    due: When | None = When.NOW
    #: Whether it has its ``started_at``, and with it its deadline.
    started: bool = False
    #: Whether that deadline is over.
    over: bool = False
    waits: tuple[Wait, ...] = ()
    #: Whether the confirmation has come.
    came: bool = False
    #: Of the open escalation: from where.
    escalated_from: State | None = None
    #: Why it was turned back, or that a person has ended it.
    why: str = ""
    #: Not of the run: the decision for many, as the transaction that works on it has seen it.
    seen: str = ""


#: A chain of operations in the order of its links, as (position, phase); or a confirm deadline.
Chain = tuple[tuple[int, Phase], ...]
DEADLINE = "deadline"


class Mark(Enum):
    """Why a chain's message performs its own link only, where others go on by the short path."""

    #: RabbitMQ says so: a worker died while it had the message.
    AGAIN = "delivered again"
    #: ``Chain.by_message``: something went wrong with these runs before.
    ALONE = "by messages"


class Marked(NamedTuple):
    """The message of a chain, with a mark."""

    chain: Chain
    mark: Mark


Message = Chain | Marked | str


class Own(NamedTuple):
    """A chain in the memory of a process that works without a broker."""

    message: Chain | Marked
    #: How many leases had lapsed when it was claimed: so often a process may have ended at its first operation.
    deaths: int = 0
    #: How many of them had lapsed while this operation was the first to perform.
    its_own: int = 0

    @property
    def chain(self) -> Chain:
        """Its links."""
        return self.message.chain if isinstance(self.message, Marked) else self.message


#: A process that works without a broker: its chains, in the order in which it performs them.
Process = tuple[Own, ...]

#: Of a step in another database: the rows of its forward operation, its confirm and its undo.
Barrier = tuple[BarrierOutcome | None, BarrierOutcome | None, BarrierOutcome | None]
NO_ROWS: Barrier = (None, None, None)
#: In the order of a ``Barrier``, and of counts.
PHASES = (Phase.FORWARD, Phase.CONFIRM, Phase.UNDO)


#: By step, how often each of its phases took effect: forward, confirm, undo.
Effects = tuple[tuple[int, ...], ...]


class Task(NamedTuple):
    """A transaction that somebody begins: who, what, and the message that it is about."""

    who: str
    what: str
    message: Message | None = None


class World(NamedTuple):
    """A state of the model.

    Attributes:
        row: the run.
        effects: by step, how often each of its phases took effect.
        air: the messages that may still come: a set, for whatever was delivered may come once more.
        there: by step, its barrier rows, where it is in another database.
        ghosts: operations in another database that a worker is in the middle of which has lost its run's lock.
        working: transactions that have read the run and not written yet, with what they read. Where transactions are
            explored whole, there are none.
        hands: on the short path, the links that a process goes on with itself: no message has them.
        died: operations in the middle of which such a process has died.
        decided: the decision for many that the run awaits: ``YES`` or ``NO``, once it is made.
        settled: whether it was found that no undecided run is left.
        hidden: whether the run's start is not committed.
        processes: those that work without a broker, and have chains.
        lapses: how often the lease lapsed while an operation was the first to perform, since the run was last moved.
        given: the operations that the last claim gave out, while it is counted.
        wronged: what was given up for deaths that were not its own.
    """

    row: Row
    effects: Effects
    air: frozenset[Message] = frozenset()
    there: tuple[Barrier, ...] = ()
    ghosts: frozenset[tuple[int, Phase]] = frozenset()
    working: tuple[tuple[Task, Row], ...] = ()
    hands: frozenset[Chain] = frozenset()
    died: frozenset[tuple[int, Phase]] = frozenset()
    processes: frozenset[Process] = frozenset()
    lapses: tuple[tuple[tuple[int, Phase], int], ...] = ()
    given: tuple[tuple[int, Phase], ...] = ()
    wronged: str = ""
    decided: str = ""
    settled: bool = False
    hidden: bool = False


#: Decisions for many.
YES, NO = "formed", "not formed"


def name(definition: Definition, message: Message) -> str:
    """A message in few words."""
    if isinstance(message, str):
        return message
    if isinstance(message, Marked):
        return f"{name(definition, message.chain)}, {message.mark.value}"
    return " ".join(f"{definition.all_steps[index].name}.{phase}" for index, phase in message)


def describe(definition: Definition, world: World) -> str:
    """A state in few words, for traces."""
    row = world.row
    done = [
        f"{step.name}.{phase}" + (f" x{count}" if count > 1 else "")
        for step, counts in zip(definition.all_steps, world.effects, strict=True)
        for phase, count in zip(PHASES, counts, strict=True)
        if count
    ]
    parts = [
        f"{row.place.state} {row.place.cursor}" + (f"/{row.place.fork:b}" if row.place.fork else ""),
        f"due {row.due.value}" if row.due else "not due",
        f"attempt {row.attempt}" if row.attempt else "",
        f"claims {row.claims}" if row.claims else "",
        "confirmed" if row.came else "",
        world.decided,
        row.why,
        f"[{' '.join(done)}]",
    ]
    return " ".join(part for part in parts if part)
