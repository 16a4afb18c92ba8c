"""Claim what is due, and say what goes out for it.

One query and one code path for everything: beginning, confirming, retrying, compensating, expiring, and
recovering what a crash or a lost message left behind. Where a run stands says what it needs.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from django.db import transaction

from sagas import store
from sagas.conf import config
from sagas.decisions import plan
from sagas.decisions.messages import Chain, Deadline, Link, Message
from sagas.decisions.plan import Due, Move
from sagas.decisions.reasons import ReasonKind, write_reason
from sagas.decisions.remedies import NO_PROGRESS, UNKNOWN_SAGA
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.engine import (
    breakers,
    deadlines,
    lifecycle,
    locks,
    poison,
)
from sagas.engine.compensation import escalate
from sagas.engine.deadlines import undo_timed_out
from sagas.engine.results import parents_of
from sagas.errors import UnknownSaga
from sagas.states import UNDECIDED, State
from sagas.store.breakers import Open
from sagas.store.locked_runs import LockedRun, by_place

logger = logging.getLogger(__name__)


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


def claim(*, lapsed: bool = False, begin: bool = True) -> Claimed:
    """Take due runs and give each a lease.

    Args:
        lapsed: take runs whose lease ran out, at most ``SAGAS["RECLAIM"]``, instead of fresh ones, at most
            ``SAGAS["CLAIM"]``. Only the tick asks for them, so that an overload is not fed with repeats.
        begin: take new runs too. Confirmed runs, and those to be undone, never wait for a congestion.
    """
    try:
        return _claim(lapsed=lapsed, begin=begin, carefully=False)
    except Exception as error:
        if poison.is_systemic(error):
            raise
        # Nothing was taken. One run is to blame, and a savepoint for each is too dear to have before it is known.
        logger.warning("sagas: a claim broke, and is made again in parts: %s", type(error).__name__)
    return _claim(lapsed=lapsed, begin=begin, carefully=True)


def _claim(*, lapsed: bool, begin: bool, carefully: bool) -> Claimed:
    limit = config().reclaim if lapsed else config().claim
    claimed = Claimed()
    with transaction.atomic(durable=True):
        rows = store.claims.claimable(limit, lapsed=lapsed, begin=begin, foreign=_foreign)
        claimed.count = len(rows)
        claimed.full = len(rows) == limit
        open_breakers = breakers.open_now() if rows and rows[0].guarded else {}
        if not carefully:
            claimed.messages = _take(rows, open_breakers)
        else:
            claimed.messages, left = poison.bisect(rows, partial(_take, open_breakers=open_breakers))
            # Those are still due: the next claim takes them.
            claimed.count -= len(left)
            claimed.full = claimed.full or bool(left)
    return claimed


def _take(rows: Sequence[store.runs.Row], open_breakers: Mapping[str, Open]) -> list[Message]:
    messages: list[Message] = []
    rows, unlocked = locks.sort_out(rows)
    by_saga: dict[tuple[str, int, int], list[store.runs.Row]] = defaultdict(list)
    for row in rows:
        by_saga[row.saga, row.version, row.shape].append(row)
    for kind, group in by_saga.items():
        try:
            definition = store.definitions.find(*kind)
        except UnknownSaga as error:
            _leave(_escalate_stuck(None, group), str(error))
            continue
        going = _escalate_stuck(definition, group)
        if not store.definitions.is_own(definition):
            going = _leave_foreign(definition, going)
        messages += _claim_group([LockedRun(row, definition) for row in going], open_breakers)
    return messages + unlocked


#: Kinds of runs that this process was seen not to be able to perform. Few: sagas, times places.
_foreign: set[store.claims.Foreign] = set()


def _leave_foreign(definition: Definition, rows: Sequence[store.runs.Row]) -> list[store.runs.Row]:
    """Take out the runs that this process cannot bring to their end: its code is of another shape than theirs."""
    going: list[store.runs.Row] = []
    for place, group in store.runs.by_place(rows).items():
        if why := store.definitions.lacks(definition, place):
            _leave(group, f"{definition.name} version {definition.version}: {why}")
        else:
            going += group
    return going


def _leave(rows: Sequence[store.runs.Row], why: str) -> None:
    """Leave runs to a process that can perform them: during a rolling deploy there is one.

    At once, and nothing is written. But what has been due for a lease, nobody else has taken: it is claimed, and after
    some leases a person is called.
    """
    kinds = {row.id: (row.saga, row.version, row.shape, row.state.value, row.cursor, row.fork) for row in rows}
    seen = [run_id for run_id, kind in kinds.items() if kind in _foreign]
    # Not before: a claim that is made again must not take them for what it has left for a lease already.
    transaction.on_commit(partial(_foreign.update, list(kinds.values())))
    if seen:
        logger.error("sagas: %d run(s) wait: %s", len(seen), why)
        store.claims.lease(seen, begin=False)
    elif rows:
        logger.warning("sagas: %d run(s) are left to other workers: %s", len(rows), why)


def _escalate_stuck(definition: Definition | None, rows: Sequence[store.runs.Row]) -> list[store.runs.Row]:
    """Take out the runs that were claimed too often without making progress: a person must look.

    Without a definition, because nobody knows their saga here.
    """
    going: list[store.runs.Row] = []
    for row in rows:
        if row.claims < _lease_limit():
            going.append(row)
            continue
        onward = plan.onward(definition, row.place) if definition else []
        step, operation = (onward[0][0].step, onward[0][0].operation) if onward else ("", "")
        known = definition and (
            store.definitions.is_own(definition) or not store.definitions.lacks(definition, row.place)
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


def _claim_group(runs: Sequence[LockedRun], open_breakers: Mapping[str, Open]) -> list[Message]:
    """Claim what is left of the runs of one definition."""
    runs, messages = _expire(runs)
    runs, following = undo_timed_out(runs)
    messages += following
    if not runs:
        return messages
    definition = runs[0].definition
    cohorts: dict[tuple[tuple[Link, ...], _Fate], list[UUID]] = {}
    # A run with several branches goes by several chains, under one lease.
    leased: dict[UUID, store.runs.Row] = {}
    for _, place, group in by_place(runs):
        onward = plan.onward(definition, place)
        if place.state is State.AWAITING_CONFIRM:
            # The deadline that it had is over, but that confirmation came before the run began.
            for row in group:
                state, following = lifecycle.follow_confirmations(LockedRun(row, definition))
                messages += following
                if row.started_at is None and state is State.AWAITING_CONFIRM:
                    # Its steps were done by a message that the broker had, as far as anybody knew, refused.
                    leased[row.id] = row
        elif onward:
            for sequence, members in _going(onward, group).items():
                links, let_in = breakers.gate(sequence, members, open_breakers)
                for fate, some in _by_fate(links[0], let_in).items():
                    cohorts.setdefault((links, fate), []).extend(some)
                leased |= {row.id: row for row in let_in}
        else:
            messages += locks.leave(group)
            store.moves.move(Move(place, plan.finished(place), Due.NEVER), group)
            messages += parents_of(group)
    begun = [row for row in leased.values() if row.started_at is None]
    if leased:
        store.claims.lease(list(leased), begin=True, within=_shortest(definition))
        deadlines.set_first_deadlines([LockedRun(row, definition) for row in begun])
        _hasten(list(leased.values()))
    # The chains first: a deadline that is not published, because we die here, is the tick's to judge.
    for (links, fate), cohort_ids in cohorts.items():
        messages += [
            Chain(links, ids, issue=fate.issue, interruptions=fate.claims)
            for ids in _cohorts(cohort_ids, claims=fate.claims)
        ]
    for cohort in _cohorts([row.id for row in begun]):
        messages += [
            Deadline(
                definition.name, definition.version, confirmation.name, confirmation.within.total_seconds(), cohort
            )
            for confirmation in definition.confirmations
            if confirmation.within is not None
        ]
    return messages


def _shortest(definition: Definition) -> float | None:
    """Seconds from the beginning to the first deadline that is the same for all runs."""
    return min((c.within.total_seconds() for c in definition.confirmations if c.within is not None), default=None)


def _going(
    onward: Sequence[tuple[Link, ...]], rows: Sequence[store.runs.Row]
) -> dict[tuple[Link, ...], list[store.runs.Row]]:
    """Which runs go on by which chain: those that do not wait there, for an answer or their next attempt."""
    if not any(row.pending for row in rows):
        return {links: list(rows) for links in onward}
    now = store.runs.clock().timestamp()
    going: dict[tuple[Link, ...], list[store.runs.Row]] = {}
    for links in onward:
        members = [row for row in rows if not row.waits_at(links[0].step, links[0].phase, now)]
        if members:
            going[links] = members
    moved = {row.id for members in going.values() for row in members}
    still = [row for row in rows if row.id not in moved]
    if still:
        store.waits.wait_until({row.id: row.next_wait(now) for row in still})
    return going


@dataclass(frozen=True, slots=True)
class _Fate:
    """What runs of one cohort have in common besides their place: those to which something happened travel apart.

    Attributes:
        issue: which issue of the link's operation this is; only an undo is asked for it.
        claims: leases that have lapsed.
        broken: whether it has broken before.
    """

    issue: int
    claims: int
    broken: bool


def _by_fate(link: Link, rows: Sequence[store.runs.Row]) -> dict[_Fate, list[UUID]]:
    found: dict[_Fate, list[UUID]] = defaultdict(list)
    for row in rows:
        issue = row.issue if link.phase is Phase.UNDO else 0
        found[_Fate(issue, row.claims, row.attempt > 0)].append(row.id)
    return dict(found)


def _hasten(leased: Sequence[store.runs.Row]) -> None:
    """See to it that the branches which wait are looked at when their time has come, lease or not."""
    waiting = [row for row in leased if row.pending]
    if waiting:
        now = store.runs.clock().timestamp()
        store.waits.hasten({row.id: row.next_wait(now) for row in waiting if row.next_wait(now) > now})


def _expire(runs: Sequence[LockedRun]) -> tuple[list[LockedRun], list[Message]]:
    """Undo the runs whose confirmation is overdue: the tick's share, where RabbitMQ's message was lost."""
    with_deadline = [run for run in runs if run.row.state in UNDECIDED and run.row.deadline is not None]
    now = store.runs.clock() if with_deadline else None
    overdue = [run for run in with_deadline if now and run.row.deadline and run.row.deadline <= now]
    if not overdue or not now:
        return list(runs), []
    received = store.confirmations.confirmations([run.id for run in overdue])
    messages: list[Message] = []
    expired: set[UUID] = set()
    for confirmation in overdue[0].definition.confirmations:
        late = [
            run
            for run in overdue
            if run.id not in expired
            and confirmation.name not in received[run.id]
            and run.row.started_at is not None
            and deadlines.deadline_of(confirmation, run, run.row.started_at) <= now
        ]
        if late:
            messages += deadlines.expire_overdue(confirmation.name, late, by="tick")
            expired |= {run.id for run in late}
    return [run for run in runs if run.id not in expired], messages


def _lease_limit() -> int:
    """Claims without progress after which a run is escalated: not before it was alone in the last of them."""
    return max(2, config().lease_limit)


def _cohorts(ids: Sequence[UUID], *, claims: int = 0) -> list[tuple[UUID, ...]]:
    """Cut runs into cohorts: the smaller the more leases of theirs have lapsed, and each run alone in the end.

    One of them may be what has cut off the others, in a way that nobody saw: it must not stop them for long, and none
    may be called a run without progress for what another did.
    """
    size = config().cohort
    if claims:
        size = 1 if claims >= _lease_limit() - 1 else max(1, math.ceil(min(size, len(ids)) / 4**claims))
    ordered = sorted(ids)
    return [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]
