"""What each transaction of the engine may come to, for a run that it has read under its lock.

What comes next is decided by the engine's own pure functions (``sagas.decisions.plan``, ``sagas.definition.retry``,
and ``sagas.states`` through ``plan.Move``); what surrounds them, the conditions that the transactions read in the
database, is written here again, and ``test_replay`` holds it to the engine. Of each it is said which function it
stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

from sagas.decisions import plan
from sagas.decisions.plan import Due, Move, Place, Sooner, Stand
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.definition.retry import Again
from sagas.states import FINAL, UNDECIDED, BarrierOutcome, State
from tests.model.explorer import Kind
from tests.model.rules import RIGHT, Rules
from tests.model.world import DEADLINE, PHASES, Barrier, Chain, Message, Row, Task, Wait, When, World


class Broken(Exception):
    """What a participant raises in the model; a policy of retries asks for it."""


class Result(NamedTuple):
    """One thing that a transaction may come to.

    Attributes:
        label: what.
        kind: who makes it so.
        row: the run behind the commit.
        effect: the operation that took effect.
        out: what is published after the commit.
        there: the step's barrier rows, which were committed before, if there are any.
    """

    label: str
    kind: Kind
    row: Row
    effect: tuple[int, Phase] | None = None
    out: tuple[Message, ...] = ()
    there: tuple[int, Barrier] | None = None


class Transactions:
    """The engine's transactions, on one run.

    Args:
        definition: its saga; at most one confirmation.
        rules: which of the engine's rules hold.
        lease_limit: claims without progress, after which a person is called: ``SAGAS["LEASE_LIMIT"]``.
        refuses: whether the broker refuses messages, so that leases are given back.
    """

    def __init__(
        self, definition: Definition, rules: Rules = RIGHT, *, lease_limit: int = 2, refuses: bool = False
    ) -> None:
        assert len(definition.confirmations) <= 1
        self.definition = definition
        self.rules = rules
        self.lease_limit = lease_limit
        self.refuses = refuses
        self.onward = cache(self._onward)
        self.stand = cache(partial(plan.stand, definition))
        self.done = cache(partial(plan.place_after, definition))

    def _onward(self, place: Place) -> tuple[Chain, ...]:
        return tuple(
            tuple((self.definition.index(link.step), link.phase) for link in links)
            for links in plan.next_chains(self.definition, place)
        )

    def results(self, task: Task, row: Row, world: World) -> Iterator[Result]:
        """What a transaction may come to that has read this row."""
        match task.what:
            case "deliver":
                return self._expire(row) if isinstance(task.message, str) else self._perform(task.message, row, world)
            case "claim":
                return self._claim(row)
            case "claim unknown":
                return self._claim_of_nothing_known(row)
            case "confirm":
                return self._confirm(row)
            case "cancel":
                return self._cancel(row)
            case _:
                return self._decide(row)

    # -- Claim: ``engine.claiming.claim`` -----------------------------------------------------------------------------

    def _claim(self, row: Row) -> Iterator[Result]:
        definition, place = self.definition, row.place
        if self._is_stuck(row):
            yield Result("gives up", Kind.ENGINE, self._escalated(row))
            return
        if self._is_overdue(row) and self.rules.tick_judges:
            yield Result("finds it overdue", Kind.ENGINE, self._turned_back(row, "expired"))
            return
        chains = self.onward(place)
        if place.state is State.AWAITING_CONFIRM:
            yield from self._follow(row)
        elif chains:
            going = tuple(c for c in chains if not self._waits_at(row, c[0]))
            if not going:
                yield Result("finds that it waits", Kind.ENGINE, row._replace(claims=0, due=When.WAIT))
                return
            begins = not row.started
            out: tuple[Message, ...] = going
            if begins and definition.confirmations:
                out = (*out, DEADLINE)
            leased = self._leased(row)
            yield Result("sends it on", Kind.ENGINE, leased, out=out)
            if self.refuses:
                given_back = self._given_back(leased)
                yield Result("is refused by the broker", Kind.FAULT, given_back)
                # A publish whose confirmation did not come in time was refused, as far as anybody knows.
                yield Result("is refused by the broker, which has it", Kind.FAULT, given_back, out=going)
        else:
            after = plan.final_place(place)
            yield Result("finds nothing left to do", Kind.ENGINE, self._moved(row, after, Due.NEVER))

    def _leased(self, row: Row) -> Row:
        """``store.claims.lease``."""
        state = State.EXECUTING if row.place.state is State.PENDING else row.place.state
        place = Place(state, row.place.cursor, row.place.fork)
        due = When.LATER if self.rules.leases else None
        return self._at(row, place)._replace(claims=row.claims + 1, due=due, started=True)

    def _given_back(self, row: Row) -> Row:
        """``store.claims.release_leases``."""
        untouched = row.place == Place(State.EXECUTING, 0) and (row.attempt, row.claims) == (0, 1) and not row.waits
        row = row._replace(claims=row.claims - 1, due=When.LATER)
        return row._replace(started=False, over=False) if untouched else row

    def _follow(self, row: Row) -> Iterator[Result]:
        """``engine.lifecycle.follow_confirmations``, of a run that waits for one; ``engine.claiming._send_out``."""
        if row.came:
            yield Result("finds it confirmed", Kind.ENGINE, self._confirmed(row))
        elif row.started:
            yield Result("looks at it too early", Kind.ENGINE, row._replace(claims=0, due=When.DEADLINE))
        elif self.rules.begins_before_it_waits:
            yield Result("lets its time begin", Kind.ENGINE, self._leased(row), out=(DEADLINE,))

    def _claim_of_nothing_known(self, row: Row) -> Iterator[Result]:
        """``engine.claiming._leave_to_others``, by a process that does not know the saga."""
        if self._is_stuck(row):
            yield Result("gives up a saga it does not know", Kind.FAULT, self._escalated(row))
        else:
            yield Result("does not know it", Kind.FAULT, row._replace(claims=row.claims + 1, due=When.LATER))

    def _is_stuck(self, row: Row) -> bool:
        return row.claims >= self.lease_limit

    # -- A step: ``engine.performing.perform``, ``engine.results.record_answers`` --------------------------------

    def _perform(self, chain: Chain | None, row: Row, world: World) -> Iterator[Result]:
        assert chain
        index, phase = chain[0]
        if self.is_held(row, index):
            yield Result("waits for its attempt, dropped", Kind.ENGINE, row)
            return
        stand = self._stand(row, index, phase)
        if stand is Stand.BEHIND:
            yield Result("is behind it, passed on", Kind.ENGINE, row, out=self._passed_on(row.place, chain))
            return
        if stand is Stand.ELSEWHERE:
            yield Result("is elsewhere, dropped", Kind.ENGINE, row)
            return
        if not self.definition.all_steps[index].database:
            yield Result("breaks", Kind.FAULT, self._broken(row, index, phase))
            if self._may_reject(index, phase):
                yield Result("says no", Kind.CHOICE, self._turned_back(row, "rejected"))
            yield self._did(row, chain, effect=(index, phase))
            return
        for label, kind, rows, effect in self.pass_barrier(world.there[index], index, phase):
            there = (index, rows)
            if label == "breaks":
                yield Result(label, kind, self._broken(row, index, phase))
            elif label == "says no":
                yield Result(label, kind, self._turned_back(row, "rejected"), there=there)
            else:
                done = self._did(row, chain, effect=(index, phase) if effect else None)
                yield done._replace(label=f"{label}, {done.label}", there=there)

    def _did(self, row: Row, chain: Chain, *, effect: tuple[int, Phase] | None) -> Result:
        """``engine.results._record_done``."""
        (index, phase) = chain[0]
        before = row.place
        asks = self.rules.last_step_asks_for_confirmation
        confirmed = (row.came and asks) or not self.definition.confirmations
        after, due = self.done(before, index, phase, confirmed=confirmed)
        moved = self._moved(row, after, due)
        moved = moved._replace(waits=tuple(w for w in moved.waits if w.at != index))
        out: tuple[Message, ...] = ()
        if after.state is before.state and due is not Due.KEEP:
            out = self._passed_on(after, chain)
        return Result("done", Kind.ENGINE, moved, effect, out)

    def _passed_on(self, place: Place, chain: Chain) -> tuple[Message, ...]:
        """``engine.delivery.continue_chain``."""
        (index, phase), rest = chain[0], chain[1:]
        if plan.has_next_link(self.definition, index, phase):
            return (rest,) if rest else ()
        return self.onward(place)

    def _broken(self, row: Row, index: int, phase: Phase) -> Row:
        """``engine.results._record_faults``."""
        forked = plan.is_fork(self.definition, index, phase)
        failed = next((w.failed for w in row.waits if w.at == index), row.attempt) if forked else row.attempt
        retry = self.definition.all_steps[index].actions[phase].retry
        if isinstance(retry.decide(failed + 1, Broken()), Again):
            if not forked:
                return self._moved(row, row.place, plan.NOW)._replace(attempt=failed + 1, due=When.LATER)
            others = tuple(w for w in row.waits if w.at != index)
            waits = tuple(sorted((*others, Wait(index, failed + 1, over=False))))
            # ``Sooner``: what is due is due.
            due = When.NOW if row.due is When.NOW else When.LATER
            return row._replace(attempt=0, claims=0, due=due, waits=waits)
        if self._may_reject(index, phase):
            return self._turned_back(row, "fault")
        return self._escalated(row)

    def _may_reject(self, index: int, phase: Phase) -> bool:
        """``Delivery.compensatable``."""
        return phase is Phase.FORWARD and index < self.definition.before_pivot

    def _stand(self, row: Row, index: int, phase: Phase) -> Stand:
        if not self.rules.reads_cursor:
            right = row.place.state is plan.state_of(self.definition, index, phase)
            return Stand.HERE if right else Stand.ELSEWHERE
        return self.stand(row.place, index, phase)

    def stands(self, row: Row, operation: tuple[int, Phase]) -> bool:
        """Whether a delivery of this operation is for the run."""
        return self.stand(row.place, *operation) is Stand.HERE

    def is_held(self, row: Row, index: int) -> bool:
        """``Row.waits_for_retry``; ``Row.waits_at``, for a branch."""
        waits = row.attempt > 0 and row.claims == 0 and self.rules.waits_for_its_attempt
        return waits or any(w.at == index and not w.over for w in row.waits)

    def _waits_at(self, row: Row, operation: tuple[int, Phase]) -> bool:
        index, phase = operation
        return phase is not Phase.UNDO and any(w.at == index and not w.over for w in row.waits)

    # -- In another database: ``engine.outside.barrier.call_through_barrier`` -----------------------------------------

    def pass_barrier(self, rows: Barrier, index: int, phase: Phase) -> Iterator[tuple[str, Kind, Barrier, bool]]:
        """What may happen at the barrier and behind it: label, kind, the rows then, and whether there is an effect."""
        forward, confirm, undo = rows
        own = PHASES.index(phase)
        recorded = rows[own] if self.rules.barrier_remembers else None
        if recorded is BarrierOutcome.DONE:
            yield "was done there before", Kind.ENGINE, rows, False
        elif recorded is not None:
            yield "says no", Kind.ENGINE, rows, False
        elif phase is Phase.UNDO and forward is not BarrierOutcome.DONE and self.rules.undo_asks_forward_row:
            took = BarrierOutcome.VOID if forward is None and self.rules.undo_takes_forward_row else forward
            yield "has nothing to undo there", Kind.ENGINE, (took, confirm, BarrierOutcome.DONE), False
        else:
            yield "breaks", Kind.FAULT, rows, False
            if self._may_reject(index, phase):
                yield "says no", Kind.CHOICE, (BarrierOutcome.REJECTED, confirm, undo), False
            after: Barrier = tuple(BarrierOutcome.DONE if i == own else p for i, p in enumerate(rows))  # type: ignore[assignment]
            yield "commits there", Kind.ENGINE, after, True

    # -- From outside: ``lifecycle`` --------------------------------------------------------------------------

    def _confirm(self, row: Row) -> Iterator[Result]:
        """``receive_confirmation``; refused ones and repeats change nothing."""
        if not self.definition.confirmations or row.came:
            return
        if row.place.state not in UNDECIDED and self.rules.confirmation_asks_for_state:
            return
        came = row._replace(came=True)
        after = self._confirmed(came) if row.place.state is State.AWAITING_CONFIRM else came
        yield Result("confirms", Kind.CHOICE, after)

    def _confirmed(self, row: Row) -> Row:
        return self._moved(row, *plan.place_to_confirm(self.definition, before=row.place.state))

    def _cancel(self, row: Row) -> Iterator[Result]:
        """``cancel_run``."""
        confirmed = bool(self.definition.confirmations) and row.came and self.rules.cancel_asks_for_confirmation
        if row.place.state in UNDECIDED and not confirmed:
            yield Result("cancels", Kind.CHOICE, self._turned_back(row, "cancelled"))

    def _expire(self, row: Row) -> Iterator[Result]:
        """``expire``."""
        judged = row.place.state in UNDECIDED or not self.rules.deadline_asks_for_state
        if not judged or not row.started or (row.came and self.rules.deadline_asks_for_confirmation):
            yield Result("is not for it", Kind.ENGINE, row)
        elif row.over:
            yield Result("turns it back", Kind.ENGINE, self._turned_back(row, "expired"))

    def _is_overdue(self, row: Row) -> bool:
        came = row.came and self.rules.deadline_asks_for_confirmation
        return row.place.state in UNDECIDED and row.started and row.over and not came

    def _decide(self, row: Row) -> Iterator[Result]:
        """``escalations.actions.resume``, ``escalations.actions.resolve``."""
        if row.place.state is not State.ESCALATED or row.escalated_from is None:
            return
        state = row.escalated_from if self.rules.resumes_where_it_stood else State.EXECUTING
        place = Place(state, row.place.cursor, row.place.fork)
        closed = row._replace(escalated_from=None)
        # ``store.runs.reset_waits``: nothing is under way here, and attempts are counted from the first.
        yield Result("resumes it", Kind.PERSON, self._moved(closed, place, plan.NOW)._replace(waits=()))
        for outcome in sorted(FINAL):
            yield Result(f"resolves it as {outcome}", Kind.PERSON, self._resolved(closed, row.escalated_from, outcome))

    def _resolved(self, row: Row, stood: State, outcome: State) -> Row:
        """``escalations.actions.resolve``: what has come is given back, unless the person was called for that."""
        refund = self._refund(row) if outcome is State.FAILED and self.rules.resolving_gives_back else 0
        # The only refund there is stands before all steps: on the way back it has been made, or the run stands at it.
        vouched = bool(refund) and stood is State.COMPENSATING
        refund = 0 if vouched else refund
        place, due = Place(outcome, row.place.cursor), Due.NEVER
        if refund:
            return self._moved(row, Place(State.COMPENSATING, 0, refund), plan.NOW)._replace(why="by hand")
        return self._moved(row, place, due)._replace(why="by hand, and vouched for" if vouched else "by hand")

    def _refund(self, row: Row) -> int:
        """``engine.compensation.refunds_due``."""
        due = row.came and self.definition.confirmations[0].refund is not None
        return 1 << len(self.definition.steps) if due else 0

    # -- Moves: ``turns``, ``store`` --------------------------------------------------------------------------

    def _turned_back(self, row: Row, why: str) -> Row:
        """``engine.compensation.begin_compensation``. What its branches waited for is nothing to an undo."""
        after, due = plan.place_to_undo(self.definition, row.place, self._refund(row))
        return self._moved(row, after, due)._replace(why=why, waits=())

    def _escalated(self, row: Row) -> Row:
        """``engine.compensation.escalate``."""
        after = Place(State.ESCALATED, row.place.cursor, row.place.fork)
        return self._moved(row, after, Due.NEVER)._replace(escalated_from=row.place.state)

    def _at(self, row: Row, place: Place) -> Row:
        Move(row.place, place, plan.NOW)  # refuses what is not in the table
        return row._replace(place=place)

    def _moved(self, row: Row, after: Place, due: Due | Sooner | float) -> Row:
        """``store.moves.move``, ``store.moves.advance``: see ``store.moves._set``."""
        row = self._at(row, after)
        if due is Due.KEEP:
            return row
        return row._replace(attempt=0, claims=0, due=self._due(row, due))

    def _due(self, row: Row, due: Due | Sooner | float) -> When | None:
        if due is Due.NEVER:
            return None
        if due is Due.DEADLINE and not row.started:
            # Nobody has given it a deadline yet: the dispatcher does, at once.
            return When.NOW if self.rules.begins_before_it_waits else When.LATER
        if due is Due.DEADLINE:
            return When.NOW if row.over else When.DEADLINE
        return When.NOW if due == plan.NOW else When.LATER
