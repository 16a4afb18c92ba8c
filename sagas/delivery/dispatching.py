"""The dispatch: claim what is due in the database, and carry it while not too much is on its way.

When few runs are due, the process that has claimed them performs their steps itself. So it does with a cohort of a
compressed saga, whose steps are one transaction: a message would cost more than the claim of the next cohort.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain as chained
from typing import Any, TypeVar

from sagas import hooks, runtime, store
from sagas.conf import config
from sagas.db import ConnectionLost, is_lost
from sagas.decisions.messages import Chain, Message
from sagas.definition.participants import Phase
from sagas.delivery.carrier import CarrierAway, Carriers, carry, carry_or_leave
from sagas.delivery.redelivery import Past, perform_delivery
from sagas.delivery.short_path import ShortPath
from sagas.engine import breakers, compressed, shared_decisions
from sagas.engine.claiming import claim
from sagas.escalations import burn_notices, notices
from sagas.escalations.notices import Notification
from sagas.observability import burning, service_levels
from sagas.retention import pruning

logger = logging.getLogger(__name__)

Told = TypeVar("Told", bound=Notification)

#: Up to so many claimed runs, the dispatcher itself performs their steps.
FEW = 64
#: Seconds after which a dispatch that found too much on its way is tried again.
CONGESTED = 0.1
#: Seconds for which this process believes what it knows about that.
LOOK_EVERY = 0.2


def run(
    carriers: Carriers,
    path: ShortPath,
    *,
    tick: bool,
    relay: Callable[[], bool],
    ask_again: Callable[[], object] | None = None,
) -> float | None:
    """Do what is asked for once: claim what is due and carry it, and publish events.

    Args:
        carriers: make what takes the publications.
        path: how far this process goes on itself.
        tick: also look for decisions for many runs, take up lapsed leases, carry notices, delete what is old, and call
            the application's ``on_tick``.
        relay: publishes events; says whether more may wait.
        ask_again: asks for another dispatch before this one performs a cohort, so that others claim meanwhile.

    Returns:
        Seconds after which to ask for another dispatch; ``None`` for none.

    Raises:
        Exception: what broke first. The other parts are done all the same.
    """
    # New runs wait in the database while too much is on its way. Runs that have begun never wait.
    begin = not (runtime.memory.are_queues_long and look_at_queues(carriers))
    parts = Parts()
    full = False
    if tick or runtime.memory.are_decisions_open:
        full = parts.do(lambda: settle_decisions(carriers))
    full = parts.do(lambda: dispatch(carriers, path, begin=begin, ask_again=ask_again)) or full
    if tick:
        parts.do(lambda: dispatch(carriers, lapsed=True))
        parts.do(lambda: publish_notices(carriers))
        parts.do(breakers.prune_samples)
        parts.do(service_levels.count_on_tick)
        parts.do(burning.judge_on_tick)
        parts.do(lambda: publish_burn_notices(carriers))
        parts.do(hooks.call_on_tick)
    full = parts.do(relay) or full
    if parts.failure is not None:
        raise parts.failure
    # After the work, and not each time: an idle system does not wait for the answer.
    if begin and (full or is_time_to_look()):
        look_at_queues(carriers)
    if full:
        return 0.0
    if not begin:
        return CONGESTED if may_ask_again() else None
    if tick:
        # Only where nothing waits.
        pruning.prune_on_tick()
    return None


class Parts:
    """The parts of a dispatch or a tick. One that breaks, perhaps at every tick, does not stop the others.

    Attributes:
        failure: what broke first.
        is_over: whether a server is away that all parts need.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.is_over = False

    def do(self, part: Callable[[], Any]) -> bool:
        """Do a part, unless all is over; return what the part says, ``False`` if it broke."""
        if self.is_over:
            return False
        try:
            return bool(part())
        except Exception as error:
            self.is_over = isinstance(error, ConnectionLost | CarrierAway) or is_lost(error)
            if self.failure is None:
                self.failure = error
            else:
                logger.exception("sagas: another part of the dispatch or tick broke")
            return False


def dispatch(
    carriers: Carriers,
    path: ShortPath | None = None,
    *,
    lapsed: bool = False,
    begin: bool = True,
    ask_again: Callable[[], object] | None = None,
) -> bool:
    """Claim what is due, and carry it.

    The leases of runs that could not be published are given back: the broker may be away for long, and the runs are
    not the cause. Where one cohort breaks, the others are published or given back.

    Args:
        carriers: make what takes the publications.
        path: how far this process goes on itself; by default it publishes all. When little is due, it performs the
            chains that go to its own queues, which saves messages and their latency.
        lapsed: take up lapsed leases in place of fresh work; see ``claim``.
        begin: take new runs too; not while too much is on its way.
        ask_again: see ``run``.

    Returns:
        Whether more may wait, and nobody was asked for it.
    """
    memory = runtime.memory
    # No more than this process begins at once.
    limit = config().cohort if path is not None and not lapsed and memory.performs_claims else None
    claimed = claim(lapsed=lapsed, begin=begin, limit=limit)
    full = claimed.full
    waiting, own = deque(claimed.messages), deque[Message]()
    with _giving_back(waiting, own):
        # Never for a lapsed lease. What ended a worker before must come as a message: RabbitMQ counts its deliveries.
        if path is not None and not lapsed:
            if claimed.count <= FEW:
                _perform_chains(waiting, path)
            else:
                own.extend(_take_own(waiting, path))
        _publish_all(waiting, carriers)
        if own and path is not None:
            if full and ask_again is not None:
                ask_again()
                full = False
            _perform_chains(own, path)
            _publish_all(own, carriers)
    return full


def settle_decisions(carriers: Carriers) -> bool:
    """Give decisions for many runs to a cohort of these; return whether more wait. Other runs have their turn first."""
    settled = shared_decisions.settle_some()
    if settled.messages:
        carry_or_leave(settled.messages, carriers)
    return settled.more


def _take_own(waiting: deque[Message], path: ShortPath) -> list[Chain]:
    """Take out the cohort that this process performs itself, if there is one that is one transaction."""
    chains = [message for message in waiting if isinstance(message, Chain)]
    whole = [chain for chain in chains if chain.links[0].queue in path.queues and compressed.is_one_transaction(chain)]
    runtime.memory.performs_claims = 0 < len(whole) == len(chains)
    own = sorted(whole, key=_begins_run)[:1]
    for message in own:
        waiting.remove(message)
    return own


@contextmanager
def _giving_back(*waiting: Collection[Message]) -> Iterator[None]:
    """Give back the leases of what is still not published when an error or a signal ends this block."""
    try:
        yield
    except BaseException:
        unsent = [run_id for message in chained(*waiting) if isinstance(message, Chain) for run_id in message.ids]
        if unsent:
            try:
                store.claims.release_leases(unsent)
            except Exception as error:
                logger.warning("sagas: the leases of %d run(s) must lapse: %s", len(unsent), type(error).__name__)
        raise


def _publish_all(waiting: deque[Message], carriers: Carriers) -> None:
    """Publish one message after the other. Those that cannot be published stay in ``waiting``."""
    failure: Exception | None = None
    for _ in range(len(waiting)):
        message = waiting.popleft()
        try:
            carry([message], carriers)
        except CarrierAway:
            waiting.appendleft(message)
            raise
        except BaseException as error:
            waiting.append(message)
            if not isinstance(error, Exception):
                raise
            failure = failure or error
    if failure is not None:
        raise failure


def _perform_chains(waiting: deque[Message], path: ShortPath) -> None:
    """Perform the chains that begin at queues of this process, as far as the short path goes.

    What is left to publish stays in ``waiting``. New runs come last, and those that would begin too late go out as
    messages: other workers may be idle.
    """
    ordered = sorted(waiting, key=_begins_run)
    waiting.clear()
    waiting.extend(ordered)
    for _ in range(len(waiting)):
        # Taken out first: if its step ends the process, it keeps its lease, and the lapsed lease is counted.
        message = waiting.popleft()
        try:
            following = _perform_chain(message, path)
        except Exception:
            # A worker will find the cause. The dispatcher must see to the other cohorts.
            runs = len(message.ids) if isinstance(message, Chain) else 0
            logger.exception("sagas: the first step of %d run(s) broke in the dispatcher, and goes to its queue", runs)
            following = [message]
        waiting.extend(following)


def _begins_run(message: Message) -> bool:
    """Whether its runs are at their first operation: others wait for what has begun."""
    return isinstance(message, Chain) and message.links[0].phase is Phase.FORWARD


def _perform_chain(message: Message, path: ShortPath) -> list[Message]:
    """Perform the first link of a chain if this process may, and go on; return what is left to publish."""
    if not isinstance(message, Chain) or message.by_message or not path.may_go_on(message.links):
        return [message]
    first, rest = message.links[0], message.links[1:]
    held = path.may_go_on(rest)
    performed = perform_delivery(first, message.ids, Past.of(message), worker=path.worker, held=held)
    return [*path.go_on(rest, performed, held=held), *performed.messages]


def publish_notices(carriers: Carriers) -> int:
    """Carry the notices of escalations that are due; return how many. One statement where none is due.

    A notice that could not be carried is given back. If the process ends before that, the notice's lease brings it
    again.
    """
    return _carry_notices(carriers, notices.claim_notices(), notices.give_back_notices)


def publish_burn_notices(carriers: Carriers) -> int:
    """Carry the notices of error budgets that burn, in the same way."""
    return _carry_notices(carriers, burn_notices.claim_notices(), burn_notices.give_back_notices)


def _carry_notices(carriers: Carriers, claimed: Sequence[Told], give_back: Callable[[Iterable[Told]], None]) -> int:
    waiting = deque(claimed)
    carrier = carriers()
    carried = 0
    failure: Exception | None = None
    try:
        for _ in range(len(waiting)):
            try:
                carrier.notify(waiting[0])
            except CarrierAway:
                raise
            except Exception as error:
                # Only this notice is the cause.
                waiting.rotate(-1)
                failure = failure or error
            else:
                waiting.popleft()
                carried += 1
    finally:
        if waiting:
            give_back(waiting)
    if failure is not None:
        raise failure
    return carried


def is_time_to_look() -> bool:
    """Whether what this process knows of the step queues is too old."""
    return time.monotonic() - runtime.memory.queues_looked_at > LOOK_EVERY


def look_at_queues(carriers: Carriers) -> bool:
    """Look whether the step queues are too long. Where the carrier is away they count as short: new runs begin."""
    memory = runtime.memory
    try:
        memory.are_queues_long = carriers().is_congested()
    except CarrierAway as error:
        memory.are_queues_long = False
        logger.warning("sagas: how long the step queues are is not known: %s", error)
    memory.queues_looked_at = time.monotonic()
    return memory.are_queues_long


def may_ask_again() -> bool:
    """Whether to ask for another dispatch. Only once in a while: else every tick would add one more, for ever."""
    if time.monotonic() - runtime.memory.dispatch_asked_at < CONGESTED:
        return False
    runtime.memory.dispatch_asked_at = time.monotonic()
    return True
