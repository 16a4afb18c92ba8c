"""What each transaction of the engine may come to, for a run that it has read under its lock.

What comes next is decided by the engine's own pure functions (``sagas.decisions.plan``, ``sagas.definition.retry``,
and ``sagas.states`` through ``plan.Move``); what surrounds them, the conditions that the transactions read in the
database, is written here again, and ``test_replay`` holds it to the engine. Of each it is said which function it
stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from itertools import takewhile
from typing import NamedTuple

from sagas.decisions import plan
from sagas.decisions.plan import Branches, Due, Move, Place, Stand
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase, is_set_based
from sagas.definition.retry import Again
from sagas.states import FINAL, UNDECIDED, BarrierOutcome, State
from tests.model.explorer import Kind
from tests.model.rules import RIGHT, Rules
from tests.model.world import (
    DEADLINE,
    NO,
    PHASES,
    YES,
    Barrier,
    Chain,
    Mark,
    Marked,
    Message,
    Own,
    Process,
    Row,
    Task,
    Wait,
    When,
    World,
)

#: Where a branch waits while others are under way: the wait is over before their lease. Both may be.
SOONER = ", and a wait is over sooner"


class Broken(Exception):
    """What a participant raises in the model; a policy of retries asks for it."""


class Result(NamedTuple):
    """One thing that a transaction may come to.

    Attributes:
        label: what.
        kind: who makes it so.
        row: the run behind the commit.
        effects: the operations that took effect.
        out: what is published after the commit.
        there: the step's barrier rows, which were committed before, if there are any.
    """

    label: str
    kind: Kind
    row: Row
    effects: tuple[tuple[int, Phase], ...] = ()
    out: tuple[Message, ...] = ()
    there: tuple[int, Barrier] | None = None
    #: The links with which the same process goes on.
    hand: Chain = ()
    #: Without a broker: what the same process performs next, and what behind its other chains.
    first: Process = ()
    last: Process = ()
    wronged: str = ""
    #: What a claim gives out, if it is one.
    given: tuple[tuple[int, Phase], ...] | None = None


class Transactions:
    """The engine's transactions, on one run.

    Args:
        definition: its saga; at most one confirmation.
        rules: which of the engine's rules hold.
        lease_limit: claims without progress, after which a person is called: ``SAGAS["LEASE_LIMIT"]``.
        refuses: whether the broker refuses messages, so that leases are given back.
        compresses: whether some workers perform all operations of a chain in one transaction. Others, which are older,
            do not.
        short_path: whether processes may go on with the next link themselves; see ``sagas.delivery.short_path``.
        works: whether there are processes without a broker, too: ``manage.py sagas work``.
        deliveries: lapsed leases for which they give an operation up: ``SAGAS["DELIVERIES"]``.
    """

    def __init__(
        self,
        definition: Definition,
        rules: Rules = RIGHT,
        *,
        lease_limit: int = 2,
        refuses: bool = False,
        compresses: bool = False,
        short_path: bool = False,
        works: bool = False,
        deliveries: int = 2,
    ) -> None:
        self.marks = short_path or works
        self.deliveries = deliveries
        assert len(definition.confirmations) <= 1
        self.short_path = short_path
        self.definition = definition
        self.rules = rules
        self.lease_limit = lease_limit
        self.refuses = refuses
        self.compresses = compresses
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
                return self._expire(row) if isinstance(task.message, str) else self._deliver(task.message, row, world)
            case "go on":
                assert isinstance(task.message, tuple) and not isinstance(task.message, Marked)
                return self._perform(task.message, row, world, alone=False)
            case "claim":
                return self._claim(row)
            case "claim unknown":
                return self._claim_of_nothing_known(row)
            case "confirm":
                return self._confirm(row)
            case "cancel":
                return self._cancel(row)
            case "give":
                return iter([self._given(row, "gives it")])
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
            chains_out = tuple(self._alone(chain) if self._has_past(row, chain) else chain for chain in going)
            out: tuple[Message, ...] = chains_out
            if begins and definition.confirmations and definition.shared is None:
                out = (*out, DEADLINE)
            leased = self._leased(row)
            given = tuple(chain[0] for chain in going)
            yield from self._with_sooner(Result("sends it on", Kind.ENGINE, leased, out=out, given=given))
            if self._may_keep(row, going):
                kept = Result("goes on with it", Kind.ENGINE, leased, hand=going[0], given=given)
                yield kept._replace(out=out[len(going) :])
            if self.refuses:
                given_back = self._given_back(leased)
                yield Result("is refused by the broker", Kind.FAULT, given_back)
                # A publish whose confirmation did not come in time was refused, as far as anybody knows.
                yield Result("is refused by the broker, which has it", Kind.FAULT, given_back, out=chains_out)
        elif place.state in UNDECIDED:
            yield self._pass_over(row)
        else:
            after = plan.final_place(place)
            yield Result("finds nothing left to do", Kind.ENGINE, self._moved(row, after, Due.NEVER))

    def _pass_over(self, row: Row) -> Result:
        """``engine.claiming._pass_over``: all steps before the pivot are skipped."""
        confirmed = row.came or not self.definition.confirmations
        after, due = plan.place_at_pivot(self.definition, confirmed=confirmed)
        out = (DEADLINE,) if self.definition.confirmations and not row.started else ()
        return Result("finds nothing to begin with", Kind.ENGINE, self._moved(self._leased(row), after, due), out=out)

    def _has_past(self, row: Row, chain: Chain) -> bool:
        """``engine.claiming._Fate.has_past``."""
        return row.attempt > 0 or row.claims > 0 or any(w.at == chain[0][0] and w.failed > 0 for w in row.waits)

    def _may_keep(self, row: Row, chains: tuple[Chain, ...]) -> bool:
        """``delivery.dispatching._perform_chain``."""
        fresh = not self._has_past(row, chains[0]) or not self.rules.lapsed_by_message
        return self.short_path and fresh and len(chains) == 1 and not self._is_fork(chains[0])

    def _is_fork(self, chain: Chain) -> bool:
        return plan.is_fork(self.definition, *chain[0])

    def _alone(self, chain: Chain) -> Message:
        return Marked(chain, Mark.ALONE) if self.marks else chain

    def _leased(self, row: Row) -> Row:
        """``store.claims.lease``."""
        state = State.EXECUTING if row.place.state is State.PENDING else row.place.state
        place = Place(state, row.place.cursor, row.place.fork)
        due = When.LATER if self.rules.leases else None
        return self._at(row, place)._replace(claims=row.claims + 1, due=due, started=True)

    def _with_sooner(self, result: Result) -> Iterator[Result]:
        """``engine.claiming._hasten``, ``store.moves._BY_BRANCHES``: a wait may be over before a first lease is."""
        yield result
        row = result.row
        forward = row.place.state in {State.EXECUTING, State.CONFIRMING}
        if forward and row.claims <= 1 and row.due is When.LATER and any(not w.over for w in row.waits):
            claims = 0 if self.rules.wait_is_no_lease else row.claims
            cut = row._replace(claims=claims, due=When.WAIT)
            yield result._replace(label=f"{result.label}{SOONER}", row=cut)

    def _given_back(self, row: Row) -> Row:
        """``store.claims.release_leases``."""
        untouched = row.place == Place(State.EXECUTING, 0) and (row.attempt, row.claims) == (0, 1) and not row.waits
        row = row._replace(claims=max(0, row.claims - 1), due=When.LATER)
        return row._replace(started=False, over=False) if untouched else row

    def _follow(self, row: Row) -> Iterator[Result]:
        """``engine.lifecycle.follow_confirmations``, of a run that waits for one; ``engine.claiming._send_out``."""
        if row.came:
            yield Result("finds it confirmed", Kind.ENGINE, self._confirmed(row))
        elif row.seen and self.rules.claim_looks_for_decision:
            yield self._given(row, "finds it decided")
        elif row.started:
            yield Result("looks at it too early", Kind.ENGINE, row._replace(claims=0, due=When.DEADLINE))
        elif self.rules.begins_before_it_waits:
            out = (DEADLINE,) if self.definition.shared is None else ()
            yield Result("lets its time begin", Kind.ENGINE, self._leased(row), out=out)

    def _claim_of_nothing_known(self, row: Row) -> Iterator[Result]:
        """``engine.claiming._leave_to_others``, by a process that does not know the saga."""
        if self._is_stuck(row):
            yield Result("gives up a saga it does not know", Kind.FAULT, self._escalated(row))
        else:
            yield Result("does not know it", Kind.FAULT, row._replace(claims=row.claims + 1, due=When.LATER))

    def _is_stuck(self, row: Row) -> bool:
        return row.claims >= self.lease_limit

    # -- Without a broker: ``local.worker.Worker`` --------------------------------------------------------------------

    def take_up(self, row: Row, world: World) -> Iterator[Result]:
        """``Worker._take_up_lapsed``, and what is claimed in ``Worker._round``."""
        for result in self._claim(row):
            if result.label.startswith("sends it on"):
                taken = result.label.replace("sends it on", "takes it up")
                yield result._replace(label=taken, out=(), last=self._taken(row, result, world))
            elif not result.hand and not result.label.startswith("is refused"):
                yield result._replace(out=())

    def _taken(self, row: Row, result: Result, world: World) -> Process:
        own = [Own(message) for message in result.out if not isinstance(message, str)]
        own.sort(key=lambda one: self.rules.waited_last and any(w.at == one.chain[0][0] for w in row.waits))
        if row.claims:
            counted = own[:1] if self.rules.counts_for_first else own
            lapses = dict(world.lapses)
            again = [Own(Marked(o.chain, Mark.AGAIN), row.claims, lapses.get(o.chain[0], 0)) for o in counted]
            own = again + own[len(counted) :]
        return tuple(own)

    def lapsed_at(self, row: Row, given: tuple[tuple[int, Phase], ...]) -> tuple[int, Phase] | None:
        """The operation that a process performs first which has all of the run that was given out."""
        going = [chain[0] for chain in self.onward(row.place) if not self._is_fork(chain) or chain[0] in given]
        going.sort(key=lambda one: any(w.at == one[0] for w in row.waits))
        return going[0] if going else None

    def work(self, own: Own, row: Row, world: World) -> Iterator[Result]:
        """``delivery.delivering.deliver_chain``, the first link of it."""
        chain, (index, phase) = own.chain, own.chain[0]
        here = self._stand(row, index, phase) is Stand.HERE and not self.is_held(row, index)
        if own.deaths >= self.deliveries and here:
            step = self.definition.all_steps[index].name
            wronged = f"{step}.{phase} was given up for {own.deaths} deaths, of which {own.its_own} were its own"
            given_up = Result("is given up", Kind.ENGINE, self._broken(row, index, phase))
            yield given_up._replace(wronged="" if own.its_own >= self.deliveries else wronged)
            return
        results = list(self._deliver(own.message, row, world, local=True))
        if any(result.hand for result in results):
            # To the end of the chain, whatever the time.
            results = [result for result in results if result.hand or not result.label.endswith("done")]
        for result in results:
            going = tuple(Own(message) for message in result.out if not isinstance(message, str))
            at_once = isinstance(own.message, Marked) and not result.label.startswith("is ahead")
            first = (Own(result.hand),) if result.hand else tuple(o for o in going if at_once and o.chain == chain[1:])
            yield result._replace(out=(), hand=(), first=first, last=tuple(o for o in going if o not in first))

    # -- A step: ``engine.performing.perform``, ``engine.results.record_answers`` --------------------------------

    def _deliver(
        self, message: Chain | Marked | None, row: Row, world: World, *, local: bool = False
    ) -> Iterator[Result]:
        """``delivery.redelivery.perform_delivery``."""
        assert message
        if not isinstance(message, Marked):
            yield from self._perform(message, row, world, alone=False, local=local)
            return
        chain, mark = message
        if mark is Mark.AGAIN:
            for operation in chain[1:]:
                if self._stand(row, *operation) is Stand.HERE:
                    links = plan.links_from(self.definition, *operation)
                    ahead = self._alone(tuple((self.definition.index(link.step), link.phase) for link in links))
                    yield Result("is ahead, delivered where it stands", Kind.ENGINE, row, out=(ahead,))
                    return
        yield from self._perform(chain, row, world, alone=self.rules.marked_performs_one_link)

    def _perform(self, chain: Chain, row: Row, world: World, *, alone: bool, local: bool = False) -> Iterator[Result]:
        index, phase = chain[0]
        # ``engine.cohort._perform_once``: such runs go on by messages.
        alone = alone or row.attempt > 0 or row.claims > 1
        if self.is_held(row, index):
            yield Result("waits for its attempt, dropped", Kind.ENGINE, row)
            return
        stand = self._stand(row, index, phase)
        if stand is Stand.BEHIND:
            passed = self._passed_on(row.place, chain, alone=True)
            yield Result("is behind it, passed on", Kind.ENGINE, row, out=passed)
            return
        if stand is Stand.ELSEWHERE:
            yield Result("is elsewhere, dropped", Kind.ENGINE, row)
            return
        if self.compresses and not row.attempt and not row.waits and row.claims <= 1:
            yield from self._perform_together(chain, row)
        if not self.definition.all_steps[index].database:
            yield from self._breaks(row, index, phase)
            if self._may_reject(index, phase):
                yield Result("says no", Kind.CHOICE, self._turned_back(row, "rejected"))
            yield from self._did(row, chain, effects=((index, phase),), alone=alone, local=local)
            return
        for label, kind, rows, effect in self.pass_barrier(world.there[index], index, phase):
            there = (index, rows)
            if label == "breaks":
                yield from self._breaks(row, index, phase)
            elif label == "says no":
                yield Result(label, kind, self._turned_back(row, "rejected"), there=there)
            else:
                for done in self._did(row, chain, effects=((index, phase),) if effect else (), alone=alone):
                    yield done._replace(label=f"{label}, {done.label}", there=there)

    def _perform_together(self, chain: Chain, row: Row) -> Iterator[Result]:
        """``engine.compressed.perform_compressed``. What becomes of the first operation alone, the ordinary way says.

        A set that breaks takes all back, and the ordinary way performs the first operation.
        """
        links = tuple(takewhile(lambda link: not self.definition.all_steps[link[0]].database, chain))
        if len(links) < 2:
            return
        here, done = self._done(row, chain, effects=links[:1]), links[:1]
        for number, (index, phase) in enumerate(links[1:], 1):
            step = self.definition.all_steps[index]
            if is_set_based(step.actions[phase].participant):
                taken_back = self._done(row, chain, effects=links[:1])
                yield taken_back._replace(label=f"together: {step.name} breaks the set", kind=Kind.FAULT)
            else:
                yield Result(f"together: {step.name} breaks", Kind.FAULT, self._broken(here.row, index, phase), done)
            if self._may_reject(index, phase):
                refused = self._turned_back(here.row, "rejected")
                effects = done if self.rules.rejected_leaves else (*done, *links[number + 1 :])
                yield Result(f"together: {step.name} says no", Kind.CHOICE, refused, effects)
            done = (*done, (index, phase))
            here = self._done(here.row, chain[number:], effects=done)
        yield here._replace(label="together: done")

    def _did(
        self, row: Row, chain: Chain, *, effects: tuple[tuple[int, Phase], ...], alone: bool, local: bool = False
    ) -> Iterator[Result]:
        """One operation is done: the next one comes by a message, or the same process goes on with it."""
        done = self._done(row, chain, effects=effects, alone=alone)
        yield from self._with_sooner(done)
        rest = chain[1:]
        if (self.short_path or local) and not alone and rest and done.out and not self._is_fork(rest):
            held = done.row._replace(claims=1) if self.rules.keeps_claim else done.row
            yield Result("done, goes on", Kind.ENGINE, held, effects, hand=rest)

    def _done(self, row: Row, chain: Chain, *, effects: tuple[tuple[int, Phase], ...], alone: bool = False) -> Result:
        """``engine.results._record_done``."""
        (index, phase) = chain[0]
        before = row.place
        asks = self.rules.last_step_asks_for_confirmation
        confirmed = (row.came and asks) or not self.definition.confirmations
        after, due = self.done(before, index, phase, confirmed=confirmed)
        if after.state is State.AWAITING_CONFIRM and row.seen and self.rules.last_step_looks_for_decision:
            due = plan.NOW
        moved = self._moved(row._replace(waits=tuple(w for w in row.waits if w.at != index)), after, due)
        out: tuple[Message, ...] = ()
        if after.state is before.state and not isinstance(due, Branches):
            out = self._passed_on(after, chain, alone=alone)
        return Result("done", Kind.ENGINE, moved, effects, out)

    def _passed_on(self, place: Place, chain: Chain, *, alone: bool) -> tuple[Message, ...]:
        """``engine.delivery.continue_chain``."""
        (index, phase), rest = chain[0], chain[1:]
        if plan.has_next_link(self.definition, index, phase):
            return (self._alone(rest) if alone else rest,) if rest else ()
        return self.onward(place)

    def _breaks(self, row: Row, index: int, phase: Phase) -> Iterator[Result]:
        broken = Result("breaks", Kind.FAULT, self._broken(row, index, phase))
        return self._with_sooner(broken) if plan.is_fork(self.definition, index, phase) else iter((broken,))

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
            return self._moved(row._replace(waits=waits), row.place, plan.branches_at(self.definition, row.place))
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
        if not self.definition.confirmations or self.definition.shared is not None or row.came:
            return
        if row.place.state not in UNDECIDED and self.rules.confirmation_asks_for_state:
            return
        came = row._replace(came=True)
        after = self._confirmed(came) if row.place.state is State.AWAITING_CONFIRM else came
        yield Result("confirms", Kind.CHOICE, after)

    def _given(self, row: Row, label: str) -> Result:
        """``engine.shared_decisions.give``, to an undecided run."""
        if row.seen == NO:
            return Result(label, Kind.ENGINE, self._turned_back(row, "refused"))
        came = row._replace(came=True)
        after = self._confirmed(came) if row.place.state is State.AWAITING_CONFIRM else came
        return Result(label, Kind.ENGINE, after)

    def _confirmed(self, row: Row) -> Row:
        return self._moved(row, *plan.place_to_confirm(self.definition, before=row.place.state))

    def _cancel(self, row: Row) -> Iterator[Result]:
        """``cancel_run``."""
        came = row.came or row.seen == YES
        confirmed = bool(self.definition.confirmations) and came and self.rules.cancel_asks_for_confirmation
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

    def _moved(self, row: Row, after: Place, due: Due | Branches | float) -> Row:
        """``store.moves.move``, ``store.moves.advance``: see ``store.moves._set``."""
        row = self._at(row, after)
        if isinstance(due, Branches):
            return self._left_to_branches(row, due.open)
        return row._replace(attempt=0, claims=0, due=self._due(row, due))

    def _left_to_branches(self, row: Row, branches: int) -> Row:
        """``store.moves._BY_BRANCHES``, where the lease of the branches under way is over before any wait."""
        waiting = [wait for wait in row.waits if not wait.over]
        if row.due is When.NOW or (row.claims > 1 and len(waiting) < len(row.waits)):
            return row._replace(claims=0, due=When.NOW)
        if len(waiting) >= branches and self.rules.waits_alone:
            return row._replace(claims=0, due=When.WAIT)
        # Some progress was made: what lapsed before says nothing of the other branches.
        return row._replace(claims=min(row.claims, 1)) if self.rules.branch_ends_lapses else row

    def _due(self, row: Row, due: Due | float) -> When | None:
        if due is Due.NEVER:
            return None
        if due is Due.DEADLINE and not row.started:
            # Nobody has given it a deadline yet: the dispatcher does, at once.
            return When.NOW if self.rules.begins_before_it_waits else When.LATER
        if due is Due.DEADLINE:
            return When.NOW if row.over else When.DEADLINE
        return When.NOW if due == plan.NOW else When.LATER
