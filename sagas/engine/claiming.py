"""Claim what is due, and say what goes out for it.

One query and one code path for everything: beginning, confirming, retrying, compensating, expiring, and recovering
what a crash or a lost message left behind. Claimed runs pass the screens (``screens``), each of which takes out the
runs that it holds back, escalates or turns back. What is left goes out.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from django.db import connection, transaction

from sagas import hooks, runtime, store
from sagas.conf import config
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Deadline, Kick, Link, Message
from sagas.decisions.plan import Due, Move, Place
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.decisions.remedies import NO_PROGRESS, UNKNOWN_SAGA
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.engine import (
    breakers,
    deadlines,
    lifecycle,
    locks,
    pauses,
    poison,
    shared_decisions,
)
from sagas.engine.compensation import escalate
from sagas.engine.deadlines import undo_timed_out
from sagas.engine.results import wake_parents
from sagas.errors import UnknownSaga
from sagas.metrics import catalogue
from sagas.metrics.instruments import count_after_commit
from sagas.postgresql.transactions import Transaction
from sagas.redis import compensation_guard
from sagas.states import FINAL, UNDECIDED, State
from sagas.store.breakers import Open
from sagas.store.locked_runs import LockedRun

logger = logging.getLogger(__name__)

#: Seconds for which a process leaves runs to others of which it would perform a branch that waits.
LOOK_AGAIN = 1.0


@dataclass(slots=True)
class Claimed:
    """What a claim took.

    Attributes:
        count: runs taken.
        full: whether there may be more.
        messages: what must be published now; each ``Chain`` holds leases.
    """

    count: int = 0
    full: bool = False
    messages: list[Message] = field(default_factory=list)


def claim(
    *, lapsed: bool = False, begin: bool = True, limit: int | None = None, queues: Collection[str] = ()
) -> Claimed:
    """Take due runs and give each a lease.

    Args:
        lapsed: take runs whose lease ran out, at most ``SAGAS["RECLAIM"]``, instead of fresh ones, at most
            ``SAGAS["CLAIM"]``. Only the tick asks for them, so that an overload is not fed with repeats.
        begin: take new runs too. Confirmed runs, and those to be undone, never wait for a congestion.
        limit: take at most so many.
        queues: leave runs whose next steps are all at other queues; at none by default.
    """
    try:
        if not lapsed and not queues and (few := _claim_few(begin=begin, limit=limit)) is not None:
            return few
        return _claim(lapsed=lapsed, begin=begin, limit=limit, queues=queues, carefully=False)
    except Exception as error:
        if poison.is_systemic(error):
            raise
        # Nothing was taken. One run is the cause; a savepoint for each run is too expensive before that is known.
        logger.warning("sagas: a claim broke, and is made again in parts: %s", type(error).__name__)
    return _claim(lapsed=lapsed, begin=begin, limit=limit, queues=queues, carefully=True)


#: States in which nothing of a run has to be looked at but what ``store.claims.lease_few`` looks at.
_PLAIN_STATES = frozenset({State.PENDING, State.CONFIRMING, State.COMPENSATING})
#: Kinds of runs that are remembered to be plain, at most.
_MOST_PLAIN = 64


def _claim_few(*, begin: bool, limit: int | None) -> Claimed | None:
    """Claim a few runs at which no screen would stop, by one statement; ``None`` if the screens must look.

    It is only asked for kinds of runs that this process has sent out before.
    """
    memory = runtime.memory
    if limit is not None and limit < store.claims.FEW:
        return None
    if not memory.plain or memory.foreign or memory.elsewhere or connection.in_atomic_block:
        return None
    if hooks.is_watched(State.PENDING, State.EXECUTING):
        return None
    leased = store.claims.lease_few(memory.plain, begin=begin)
    if leased is None:
        return None
    claimed = Claimed()
    for (saga, version, shape, state, cursor), ids in leased.items():
        definition = store.definitions.find(saga, version, shape)
        (links,) = plan.next_chains(definition, Place(State(state), cursor))
        token = compensation_guard.token_of(0, 0) if links[0].phase is Phase.UNDO else 0
        claimed.count += len(ids)
        claimed.messages += [Chain(links, cohort, token=token) for cohort in _cohorts(ids)]
        claimed.messages += _deadlines(definition, ids if state == State.PENDING else [])
    return claimed


def _remember_plain(place: Place, run: Candidate) -> None:
    """Remember the kind of a run that passes the screens, if those of its kind need no look by this process."""
    definition, plain = run.definition, runtime.memory.plain
    if place.state not in _PLAIN_STATES or place.fork or len(run.chains) != 1 or len(plain) >= _MOST_PLAIN:
        return
    if run.row.pending:
        # It may stand at a fork of which the other branches wait.
        return
    if place.state is State.PENDING and any(confirmation.until for confirmation in definition.confirmations):
        return
    if store.definitions.is_own(definition):
        plain[run.row.saga, run.row.version, run.row.shape, place.state.value, place.cursor] = _shortest(definition)


def _claim(*, lapsed: bool, begin: bool, limit: int | None, queues: Collection[str], carefully: bool) -> Claimed:
    limit = limit or (config().reclaim if lapsed else config().claim)
    claimed = Claimed()
    with Transaction():
        memory = runtime.memory
        rows = store.claims.lock_due(
            limit, lapsed=lapsed, begin=begin, foreign=memory.foreign, elsewhere=_known_elsewhere()
        )
        claimed.count = len(rows)
        claimed.full = len(rows) == limit
        if rows and config().metrics:
            _count_claimed(rows, lapsed=lapsed)
        open_breakers = breakers.all_open() if rows and rows[0].guarded else {}
        if not carefully:
            claimed.messages = _take(rows, open_breakers, queues)
        else:
            claimed.messages, left = poison.bisect(rows, partial(_take, open_breakers=open_breakers, queues=queues))
            # Those are still due: the next claim takes them.
            claimed.count -= len(left)
            claimed.full = claimed.full or bool(left)
    return claimed


def _count_claimed(rows: Sequence[store.runs.Row], *, lapsed: bool) -> None:
    """Count, after the commit, leases that have lapsed, or for how long the others had been due."""
    if lapsed:
        by_saga = Counter(row.saga for row in rows)
        count_after_commit([(catalogue.LAPSED, number, {"saga": saga}) for saga, number in by_saga.items()])
    else:
        store.claims.count_claims((row.saga, row.state.value, row.waited) for row in rows)


def _take(rows: Sequence[store.runs.Row], open_breakers: Mapping[str, Open], queues: Collection[str]) -> list[Message]:
    messages: list[Message] = []
    rows, unlocked = locks.postpone_in_line(pauses.hold_rows(rows))
    by_saga: dict[tuple[str, int, int], list[store.runs.Row]] = defaultdict(list)
    for row in rows:
        by_saga[row.saga, row.version, row.shape].append(row)
    for kind, group in by_saga.items():
        try:
            definition = store.definitions.find(*kind)
        except UnknownSaga as error:
            _leave_to_others(_escalate_stuck_rows(None, group), str(error))
            continue
        runs = _candidates(definition, group)
        for screen in screens(open_breakers, queues):
            runs, following = screen(runs)
            messages += following
        messages += _send_out(definition, runs)
    return messages + unlocked


@dataclass(frozen=True, slots=True, eq=False)
class Candidate(LockedRun):
    """A claimed run, and the chains by which it goes on: one, or one for each open branch; none at an end."""

    chains: tuple[tuple[Link, ...], ...] = ()


def _candidates(definition: Definition, rows: Sequence[store.runs.Row]) -> list[Candidate]:
    chains = {
        (place.state, place.cursor, place.fork): tuple(plan.next_chains(definition, place))
        for place in store.runs.by_place(rows)
    }
    return [Candidate(row, definition, chains[row.state, row.cursor, row.fork]) for row in rows]


# -- Screens ----------------------------------------------------------------------------------------------------

#: Takes the claimed runs of one definition; returns those that go on, and what must be published for the others.
Screen = Callable[[Sequence[Candidate]], tuple[list[Candidate], list[Message]]]


def screens(open_breakers: Mapping[str, Open], queues: Collection[str] = ()) -> tuple[Screen, ...]:
    """What may keep a claimed run from going out, in order.

    Runs in line at a business key are taken out before, by one statement for all sagas; see ``locks.postpone_in_line``.
    So are paused runs, and those of paused sagas: no definition is needed for them.
    """
    return (
        _hold_paused,
        _escalate_stuck,
        _leave_foreign,
        _undo_overdue,
        undo_timed_out,
        _postpone_waiting,
        partial(_leave_elsewhere, queues),
        partial(_hold_behind_breaker, open_breakers),
    )


def _hold_paused(runs: Sequence[Candidate]) -> tuple[list[Candidate], list[Message]]:
    """Hold back the runs whose next step is paused. Those of paused sagas, and paused runs, are taken out before."""
    return pauses.hold_runs(runs, asked=True), []


def _escalate_stuck(runs: Sequence[Candidate]) -> tuple[list[Candidate], list[Message]]:
    """Escalate the runs that were claimed too often without making progress."""
    limit = _lease_limit()
    if all(run.row.claims < limit for run in runs):
        return list(runs), []
    going = {row.id for row in _escalate_stuck_rows(runs[0].definition, [run.row for run in runs])}
    return [run for run in runs if run.id in going], []


def _escalate_stuck_rows(definition: Definition | None, rows: Sequence[store.runs.Row]) -> list[store.runs.Row]:
    """Escalate the runs that were claimed too often without making progress; return the others.

    Without a definition if this process does not know their saga.
    """
    going: list[store.runs.Row] = []
    for row in rows:
        if row.claims < _lease_limit():
            going.append(row)
            continue
        onward = plan.next_chains(definition, row.place) if definition else []
        step, operation = (onward[0][0].step, onward[0][0].operation) if onward else ("", "")
        known = definition and (
            store.definitions.is_own(definition) or not store.definitions.missing_parts(definition, row.place)
        )
        code = NO_PROGRESS if known else UNKNOWN_SAGA
        detail = f"claimed {row.claims} times in {row.state} without progress"
        escalate(
            row,
            store.moves.event_entry("escalate", step=step),
            write_reason(ReasonKind.STUCK, step, code, detail),
            operation=operation,
        )
    return going


def _leave_foreign(runs: Sequence[Candidate]) -> tuple[list[Candidate], list[Message]]:
    """Leave to other processes the runs that this one cannot bring to their end: its code is of another shape."""
    if not runs or store.definitions.is_own(runs[0].definition):
        return list(runs), []
    going: list[Candidate] = []
    for place, group in _by_place(runs).items():
        definition = group[0].definition
        if why := store.definitions.missing_parts(definition, place):
            _leave_to_others([run.row for run in group], f"{definition.name} version {definition.version}: {why}")
        else:
            going += group
    return going, []


def _leave_to_others(rows: Sequence[store.runs.Row], why: str) -> None:
    """Leave runs to a process that can perform them: during a rolling deployment there is one.

    At first nothing is written. But no other process has taken a run that has been due for a lease: that run gets a
    lease, and is escalated after some of them.
    """
    kinds = {row.id: (row.saga, row.version, row.shape, row.state.value, row.cursor, row.fork) for row in rows}
    seen = [run_id for run_id, kind in kinds.items() if kind in runtime.memory.foreign]
    # Only after the commit: a claim that is made again must not take them for runs that were due for a lease.
    transaction.on_commit(lambda: runtime.memory.foreign.update(kinds.values()))
    if seen:
        logger.error("sagas: %d run(s) wait: %s", len(seen), why)
        store.claims.lease(seen, begin=False)
    elif rows:
        logger.warning("sagas: %d run(s) are left to other workers: %s", len(rows), why)


def _undo_overdue(runs: Sequence[Candidate]) -> tuple[list[Candidate], list[Message]]:
    """Undo the runs whose confirmation is overdue: the messages of their deadlines were lost."""
    with_deadline = [run for run in runs if run.row.state in UNDECIDED and run.row.deadline is not None]
    now = store.runs.clock() if with_deadline else None
    overdue = [run for run in with_deadline if now and run.row.deadline and run.row.deadline <= now]
    if not overdue or not now:
        return list(runs), []
    received = store.confirmations.received([run.id for run in overdue])
    messages: list[Message] = []
    expired: set[UUID] = set()
    for confirmation in overdue[0].definition.confirmations:
        late = [
            run
            for run in overdue
            if run.id not in expired
            and confirmation.name not in received[run.id]
            and not confirmation.is_shared
            and run.row.started_at is not None
            and deadlines.deadline_of(confirmation, run, run.row.started_at) <= now
        ]
        if late:
            messages += deadlines.expire_overdue(confirmation.name, late, by="tick")
            expired |= {run.id for run in late}
    return [run for run in runs if run.id not in expired], messages


def _postpone_waiting(runs: Sequence[Candidate]) -> tuple[list[Candidate], list[Message]]:
    """Postpone the runs that wait for an answer or for their next attempt, at each of their branches.

    A run that waits at some of its branches goes on by the others.
    """
    if not any(run.row.pending for run in runs):
        return list(runs), []
    now = store.runs.clock().timestamp()
    going: list[Candidate] = []
    waiting: list[Candidate] = []
    for run in runs:
        chains = tuple(links for links in run.chains if not run.row.waits_at(links[0].step, links[0].phase, now))
        if chains or not run.chains:
            going.append(replace(run, chains=chains))
        else:
            waiting.append(run)
    if waiting:
        store.runs.wait_until({run.id: run.row.next_wait(now) for run in waiting})
    return going, []


def _leave_elsewhere(queues: Collection[str], runs: Sequence[Candidate]) -> tuple[list[Candidate], list[Message]]:
    """Leave the runs whose next steps are all at queues that this process does not serve, as long as that takes.

    Where a branch of a fork is at a queue of this process and waits, the kind of run is left for a moment only.
    """
    if not queues:
        return list(runs), []
    going = [run for run in runs if not run.chains or any(links[0].queue in queues for links in run.chains)]
    mine = {run.id for run in going}
    kinds: dict[store.claims.Foreign, float] = {}
    for place, group in _by_place(run for run in runs if run.id not in mine).items():
        definition = group[0].definition
        waits = any(links[0].queue in queues for links in plan.next_chains(definition, place))
        until = time.monotonic() + LOOK_AGAIN if waits else math.inf
        kinds[definition.name, definition.version, group[0].row.shape, place.state.value, place.cursor, place.fork] = (
            until
        )
    if kinds:
        # Nothing is written, so the next claim must not take them for due.
        transaction.on_commit(lambda: runtime.memory.elsewhere.update(kinds))
    return going, []


def _known_elsewhere() -> list[store.claims.Foreign]:
    """The kinds of runs that ``_leave_elsewhere`` leaves now."""
    elsewhere = runtime.memory.elsewhere
    if over := [kind for kind, until in elsewhere.items() if until <= time.monotonic()]:
        for kind in over:
            del elsewhere[kind]
    return list(elsewhere)


def _hold_behind_breaker(
    open_breakers: Mapping[str, Open], runs: Sequence[Candidate]
) -> tuple[list[Candidate], list[Message]]:
    """Hold back the runs whose participant breaks too often, and end the chains of the others before such a one."""
    if not open_breakers:
        return list(runs), []
    going: list[Candidate] = []
    for group in _by_place(runs).values():
        if len(group[0].chains) != 1:
            # There are no breakers for runs with nothing left to do, nor for the branches of a fork: these go forward.
            going += group
            continue
        links, let_in = breakers.admit(group[0].chains[0], [run.row for run in group], open_breakers)
        ids = {row.id for row in let_in}
        going += [replace(run, chains=(links,)) for run in group if run.id in ids]
    return going, []


def _by_place(runs: Iterable[Candidate]) -> dict[Place, list[Candidate]]:
    groups: dict[tuple[State, int, int], list[Candidate]] = defaultdict(list)
    for run in runs:
        groups[run.row.state, run.row.cursor, run.row.fork].append(run)
    return {Place(*place): group for place, group in groups.items()}


# -- What goes out ----------------------------------------------------------------------------------------------


def _send_out(definition: Definition, runs: Sequence[Candidate]) -> list[Message]:
    """Give a lease to the runs that go on, and end those that have nothing left to do."""
    messages: list[Message] = []
    cohorts: dict[tuple[tuple[Link, ...], _Fate], list[UUID]] = {}
    # A run with several branches goes by several chains, under one lease.
    leased: dict[UUID, Candidate] = {}
    for place, group in _by_place(runs).items():
        if place.state is State.AWAITING_CONFIRM:
            # Its deadline is over, but that confirmation came before the run began; or it awaits a decision for many.
            decided, following = shared_decisions.give_made(group) if definition.shared is not None else (set(), [])
            messages += following
            for run in [run for run in group if run.id not in decided]:
                state, following = lifecycle.confirm_if_complete(run, store.confirmations.received_by(run.id))
                messages += following
                if run.row.started_at is None and state is State.AWAITING_CONFIRM:
                    # Its steps were done by a message that the broker had refused, as far as was known.
                    leased[run.id] = run
        elif group[0].chains:
            for links in _chains_of(definition, group):
                members = [run for run in group if links in run.chains]
                for fate, ids in _by_fate(links[0], members).items():
                    cohorts.setdefault((links, fate), []).extend(ids)
                leased |= {run.id: run for run in members}
            _remember_plain(place, group[0])
        elif place.state in UNDECIDED:
            messages += _pass_over(definition, group)
        else:
            rows = [run.row for run in group]
            messages += locks.release(rows)
            store.moves.move(Move(place, plan.final_place(place), Due.NEVER), rows)
            messages += wake_parents(rows)
    begun = [run for run in leased.values() if run.row.started_at is None]
    if leased:
        store.claims.lease(list(leased), begin=True, within=_shortest(definition))
        _count_begun(definition, leased.values())
        deadlines.set_first_deadlines(begun)
        _hasten([run.row for run in leased.values()])
    # The chains first: the tick judges a deadline that is not published because this process dies here.
    for (links, fate), ids in cohorts.items():
        messages += [
            Chain(links, cohort, token=fate.token, interruptions=fate.claims, by_message=fate.has_past)
            for cohort in _cohorts(ids, claims=fate.claims)
        ]
    return messages + _deadlines(definition, [run.id for run in begun])


def _pass_over(definition: Definition, runs: Sequence[Candidate]) -> list[Message]:
    """Bring runs to what follows that skip all steps before the pivot. Their deadlines begin as those of any run."""
    begun = [run for run in runs if run.row.started_at is None]
    store.claims.lease([run.id for run in runs], begin=True, within=_shortest(definition))
    _count_begun(definition, runs)
    deadlines.set_first_deadlines(begun)
    came = store.confirmations.received([run.id for run in runs])
    made = store.shared_decisions.of_runs([run.id for run in runs]).keys() if definition.shared else set()
    messages: list[Message] = []
    for confirmed, is_made in ((True, False), (True, True), (False, False), (False, True)):
        rows = [run.row for run in runs if (run.awaited <= came[run.id], run.id in made) == (confirmed, is_made)]
        if rows:
            after, due = plan.place_at_pivot(definition, confirmed=confirmed)
            messages += locks.release(rows) if after.state in FINAL else []
            if after.state is State.AWAITING_CONFIRM and is_made:
                # The next claim gives them the decision.
                due = plan.NOW
            messages += [Kick()] if due == plan.NOW else []
            store.moves.move(Move(Place(State.EXECUTING, 0), after, due), rows)
            messages += wake_parents(rows)
    return messages + _deadlines(definition, [run.id for run in begun])


def _count_begun(definition: Definition, runs: Iterable[Candidate]) -> None:
    if config().metrics:
        store.claims.count_begun({definition.name: sum(run.row.state is State.PENDING for run in runs)})


def _chains_of(definition: Definition, runs: Sequence[Candidate]) -> list[tuple[Link, ...]]:
    """The chains by which runs of one place go on, in the order of their branches.

    A branch that has waited comes behind those that could go on before. So the first branch of a run whose lease has
    lapsed again and again was the first one each time: deaths of processes that had all branches are counted for it.
    """
    found = {links[0].step: links for run in runs for links in run.chains}
    if len(found) == 1:
        return list(found.values())
    waited = store.runs.ends_of_waits(run.row for run in runs)
    return [found[step] for step in sorted(found, key=lambda step: (waited.get(step, 0.0), definition.index(step)))]


def _deadlines(definition: Definition, begun: Sequence[UUID]) -> list[Message]:
    return [
        Deadline(definition.name, definition.version, confirmation.name, confirmation.within.total_seconds(), cohort)
        for cohort in _cohorts(begun)
        for confirmation in definition.confirmations
        if confirmation.within is not None
    ]


def _shortest(definition: Definition) -> float | None:
    """Seconds from the beginning to the first deadline that is the same for all runs."""
    return min((c.within.total_seconds() for c in definition.confirmations if c.within is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Fate:
    """What the runs of one cohort have in common besides their place. A run with a past does not travel with new ones.

    Attributes:
        token: see ``Chain.token``; 0 for what is no undo.
        claims: leases that have lapsed.
        broken: whether the operation has failed before.
    """

    token: int
    claims: int
    broken: bool

    @property
    def has_past(self) -> bool:
        """Whether something went wrong with these runs where they stand."""
        return self.broken or self.claims > 0


def _by_fate(link: Link, runs: Sequence[Candidate]) -> dict[_Fate, list[UUID]]:
    found: dict[tuple[int, int, bool], list[UUID]] = defaultdict(list)
    for run in runs:
        row = run.row
        token = compensation_guard.token_of(row.attempt, row.claims) if link.phase is Phase.UNDO else 0
        found[token, row.claims, _has_failed(row, link)].append(row.id)
    return {_Fate(*fate): ids for fate, ids in found.items()}


def _has_failed(row: store.runs.Row, link: Link) -> bool:
    """Whether the operation has failed before. In a fork each branch counts its own attempts."""
    wait = row.waits.get(link.step) if row.pending else None
    return row.attempt > 0 or (wait is not None and wait.failed > 0)


def _hasten(leased: Sequence[store.runs.Row]) -> None:
    """Have branches that wait claimed when their time has come, though their run has a lease.

    Only a first lease is cut short so. What is due at the end of a wait says nothing of the branches under way, so that
    end is not counted as the end of their lease. A lease that follows a lapsed one is waited for: who does not come
    back must be counted. It is no longer than the time since the wait began, and a first lease.
    """
    waiting = [row for row in leased if row.pending and not row.claims]
    if waiting:
        now = store.runs.clock().timestamp()
        store.runs.cut_leases({row.id: row.next_wait(now) for row in waiting if row.next_wait(now) > now})


def _lease_limit() -> int:
    """Claims without progress after which a run is escalated: not before it was alone in the last of them."""
    return max(2, config().lease_limit)


def _cohorts(ids: Sequence[UUID], *, claims: int = 0) -> list[tuple[UUID, ...]]:
    """Cut runs into cohorts: the smaller the more leases of theirs have lapsed, and each run alone in the end.

    One of them may have cut off the others without anybody's notice. It must not stop them for long, and no run may be
    called one without progress for what another did.
    """
    size = config().cohort
    if claims:
        size = 1 if claims >= _lease_limit() - 1 else max(1, math.ceil(min(size, len(ids)) / 4**claims))
    ordered = sorted(ids)
    return [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]
