"""Play a schedule to its end, check it, and tell what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sagas.states import State
from tests.simulator import books, checks, trace
from tests.simulator.actors import Actors
from tests.simulator.bench import Bench
from tests.simulator.cast import draw
from tests.simulator.shrink import Shrinker
from tests.simulator.simulation import Simulation, Stranded
from tests.simulator.trace import Schedule


@dataclass(slots=True)
class Played:
    """What came of a schedule.

    Attributes:
        schedule: with all the faults that struck, so that it can be played again.
        complaints: what is wrong, as (code, sentence); nothing, if all is as promised.
        story: what was done, line by line.
        states: in which the runs ended.
        activities: how many there were.
        faults: that struck, by kind.
        logs: the log of each run, as text: what two plays of one schedule must agree in.
        points: at which a fault could have struck.
        places: the faults, with where they struck.
        sagas: of the runs.
        transitions: that were written, rolled back or not.
        points_of: the same points, by activity.
    """

    schedule: Schedule
    complaints: list[tuple[str, str]]
    story: list[str]
    states: Counter[str] = field(default_factory=Counter)
    activities: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    logs: dict[str, str] = field(default_factory=dict)
    points: int = 0
    places: Counter[str] = field(default_factory=Counter)
    sagas: Counter[str] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    points_of: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> bool:
        """Whether a promise was broken."""
        return bool(self.complaints)

    def report(self) -> str:
        """All that a person needs to see what went wrong, and to see it again."""
        wrong = "\n".join(f"  [{code}] {sentence}" for code, sentence in self.complaints)
        return f'{wrong}\n\nreplay("""\n{self.schedule}\n""")\n\n' + "\n".join(self.story)


def play(bench: Bench, schedule: Schedule) -> Played:
    """Play one schedule."""
    simulation = bench.begin(schedule)
    actors = Actors(bench, simulation)
    left = books.Books()
    try:
        simulation.run()
        left = _read(actors)
        simulation.complaints += checks.check(actors, left, final=False)
        waiting = checks.escalated(left)
        # A parent and a child may wait for a person one after the other.
        for _ in range(3):
            if not waiting or simulation.complaints:
                break
            actors.mend(waiting)
            simulation.run()
            left = _read(actors)
            waiting = checks.escalated(left)
        else:
            waiting = []
        if left.escalations and not simulation.complaints:
            simulation.complaints += checks.check(actors, left, final=True)
    except Stranded as error:
        left = _read(actors)
        simulation.complain("stranded", f"{error}; {_standing(actors, left)}")
    if left.breakers:
        simulation.sessions[0].query("DELETE FROM sagas_breaker; DELETE FROM sagas_breakersample")
    if simulation.complaints:
        # What was left behind is not the next one's to find.
        bench.used.add(schedule.seed)
        _leave_nothing(bench)
    return _played(schedule, simulation, actors, left)


def play_seed(bench: Bench, seed: int, among: Sequence[str] = ()) -> Played:
    """Play what is drawn for a seed, of these sagas."""
    return play(bench, draw(seed, among))


def replay(bench: Bench, text: str) -> Played:
    """Play a schedule as it was printed."""
    return play(bench, trace.parse(text))


def _leave_nothing(bench: Bench) -> None:
    simulation = bench.simulation
    bench.wipe()
    bench.simulation = simulation


def _read(actors: Actors) -> books.Books:
    actors.have_all_code()
    wanted = {started.item.get("saga") for started in actors.runs.values()}
    return books.read(
        actors.simulation.sessions[0],
        list(actors.simulation.names),
        key=actors.key,
        slot=actors.slot,
        shop="PlaceOrder" in wanted,
        lab=bool(wanted - {"PlaceOrder"}),
        afar=any(name.startswith("Afar") for name in wanted),
    )


def _standing(actors: Actors, left: books.Books) -> str:
    return ", ".join(
        f"{actors.simulation.names[run.id]} {run.state} at {run.cursor}, {run.claims} claims"
        for run in left.runs.values()
        if run.state not in {State.SUCCEEDED, State.FAILED}
    )


def _played(schedule: Schedule, simulation: Simulation, actors: Actors, left: books.Books) -> Played:
    # A claim begins runs without a move.
    begun = sum(any(entry.outcome != "EVENT" for entry in left.log[run_id]) for run_id in left.runs)
    if begun:
        simulation.tally.transitions[State.PENDING.value, State.EXECUTING.value] += begun
    kept = [item for item in schedule.items if item.at is not None]
    return Played(
        schedule.of([*kept, *simulation.struck]),
        _unique(simulation.complaints),
        simulation.story,
        Counter(run.state.value for run in left.runs.values()),
        simulation.tally.activities,
        simulation.tally.faults,
        {_name(actors, run_id): ", ".join(map(str, log)) for run_id, log in left.log.items()},
        simulation.tally.points,
        simulation.tally.places,
        Counter(run.saga.split(".")[-1] for run in left.runs.values()),
        simulation.tally.transitions,
        simulation.tally.points_of,
    )


def _name(actors: Actors, run_id: UUID) -> str:
    return actors.simulation.names.get(run_id, str(run_id))


def _unique(complaints: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(complaints))


def shrunk(bench: Bench, played: Played) -> Played:
    """Play smaller ones of a schedule that fails, and give back the smallest that fails alike."""
    code = played.complaints[0][0]

    def fails(schedule: Schedule) -> bool:
        return any(found == code for found, _ in play(bench, schedule).complaints)

    return play(bench, Shrinker(fails).shrink(played.schedule))
