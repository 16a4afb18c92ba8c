"""Hooks: functions of the application, called after a run's transition, at its pruning, for its page, and on a tick.

A hook of a transition is called in the process that made the transition, after its commit. The call may be lost: the
process may die between the commit and the call. Code that must learn of every transition listens to the domain events
(``sagas.definition.events``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, overload
from urllib.parse import urlsplit
from uuid import UUID

from django.db import transaction

from sagas import runtime
from sagas.db import after_commit, is_lost
from sagas.definition.saga import Saga
from sagas.errors import DefinitionError
from sagas.states import TRANSITIONS, State

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Transition:
    """A run has gone from one state to another, and that is committed.

    Attributes:
        run_id: the run.
        saga: the stored name of its saga, as "orders.PlaceOrder".
        business_key: what people know the run by; empty if it was started without one.
        source: the state that it left.
        target: the state that it entered. By now it may be in yet another one.
        reason: why it is being or was undone, or needs a person, as ``{"kind", "step", "code", "detail", …}``;
            for operators: ``sagas.decisions.reasons.public_reason`` says what customers may read of it.
        at: when, by the database's clock.
    """

    run_id: UUID
    saga: str
    business_key: str
    source: State
    target: State
    reason: dict[str, Any] | None
    at: datetime


Hook = Callable[[Transition], object]
BatchHook = Callable[[Sequence[Transition]], object]
HookT = TypeVar("HookT", bound=Hook)
BatchHookT = TypeVar("BatchHookT", bound=BatchHook)


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered function, and the transitions that it is called for: ``None`` is any."""

    function: Callable[[Any], object]
    saga: str | None
    source: State | None
    target: State | None
    many: bool

    def matches(self, source: State, target: State) -> bool:
        """Whether the function is called for this transition."""
        return self.source in {None, source} and self.target in {None, target}

    def call(self, transitions: Sequence[Transition]) -> None:
        """Call the function for the transitions that match. Its errors are logged: the transitions are committed."""
        mine = [t for t in transitions if self.saga in {None, t.saga} and self.matches(t.source, t.target)]
        for argument in ([mine] if mine else []) if self.many else mine:
            try:
                self.function(argument)
            except Exception:
                name = getattr(self.function, "__qualname__", repr(self.function))
                logger.exception("sagas: the hook %s failed for %d run(s)", name, len(mine) if self.many else 1)


@overload
def on_transition(
    *,
    saga: type[Saga[Any]] | str | None = ...,
    source: State | None = ...,
    target: State | None = ...,
    many: Literal[False] = ...,
) -> Callable[[HookT], HookT]: ...


@overload
def on_transition(
    *,
    saga: type[Saga[Any]] | str | None = ...,
    source: State | None = ...,
    target: State | None = ...,
    many: Literal[True],
) -> Callable[[BatchHookT], BatchHookT]: ...


def on_transition(
    *,
    saga: type[Saga[Any]] | str | None = None,
    source: State | None = None,
    target: State | None = None,
    many: bool = False,
) -> Callable[[Any], Any]:
    """Register a function that is called after the commit of a transition, in the process that made it.

    An argument that is left out matches everything. The function delays the run's next step while it runs, so keep it
    short. A crash may lose the call. Its errors are logged, and change nothing.

    Args:
        saga: of this saga only, in any version; the class, or its stored name.
        source: from this state only.
        target: to this state only.
        many: call the function once with a list of all runs that one statement has moved, instead of once for each.

    Raises:
        DefinitionError: no run goes from ``source`` to ``target``.
    """
    possible = {
        (left, entered)
        for left, following in TRANSITIONS.items()
        for entered in following
        if source in {None, left} and target in {None, entered}
    }
    if not possible:
        msg = f"on_transition(source={source}, target={target}): no run goes this way: the hook would never be called"
        raise DefinitionError(msg)
    name = saga if isinstance(saga, str) or saga is None else saga.name

    def register(function: Callable[[Any], object]) -> Callable[[Any], object]:
        runtime.declared.hooks.append(Registration(function, name, source, target, many))
        return function

    return register


def is_watched(source: State, target: State) -> bool:
    """Whether a hook is registered for this transition. If none is, the transition costs no more than this call."""
    hooks = runtime.declared.hooks
    return bool(hooks) and source is not target and any(hook.matches(source, target) for hook in hooks)


def call_after_commit(transitions: Iterable[Transition]) -> None:
    """Call the hooks once the current transaction is committed, and not if it is rolled back."""
    committed = list(transitions)
    if committed:
        after_commit(_call_all, committed)


def _call_all(transitions: Sequence[Transition]) -> None:
    for hook in list(runtime.declared.hooks):
        hook.call(transitions)


# Before the runs are gone ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PrunedRun:
    """A run that ended long ago, and is about to be deleted.

    Attributes:
        run_id: the run.
        saga: the stored name of its saga, as "orders.PlaceOrder".
        business_key: what people know the run by; empty if it was started without one.
        state: how it ended.
        finished_at: when.
    """

    run_id: UUID
    saga: str
    business_key: str
    state: State
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class PruneHook:
    """A function that deletes what an application has of pruned runs; and for how long the runs must be kept for it."""

    function: Callable[[Sequence[PrunedRun]], object]
    saga: str | None
    keep: timedelta


PruneHookT = TypeVar("PruneHookT", bound=Callable[[Sequence[PrunedRun]], object])


def on_prune(
    *, saga: type[Saga[Any]] | str | None = None, keep: timedelta = timedelta(0)
) -> Callable[[PruneHookT], PruneHookT]:
    """Register a function that is called with runs that are about to be deleted, to delete what belongs to them.

    It is called in the transaction that deletes them, so what it does in the engine's database commits with that. What
    it does elsewhere must bear being done twice. If it raises, none of these runs is deleted.

    Args:
        saga: for runs of this saga only, in any version; the class, or its stored name.
        keep: how long after its end a run must be kept, because a request about it may be repeated so late.
            ``SAGAS["RETENTION"]`` may not be shorter.
    """
    name = saga if isinstance(saga, str) or saga is None else saga.name

    def register(function: PruneHookT) -> PruneHookT:
        runtime.declared.prune_hooks.append(PruneHook(function, name, keep))
        return function

    return register


def call_before_pruning(runs: Sequence[PrunedRun]) -> None:
    """Call the functions for the runs that they were registered for. Their errors are raised."""
    for hook in list(runtime.declared.prune_hooks):
        if mine := [run for run in runs if hook.saga in {None, run.saga}]:
            hook.function(mine)


# Links of a run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinkedRun:
    """A run whose page is shown.

    Attributes:
        run_id: the run.
        saga: the stored name of its saga, as "orders.PlaceOrder".
        business_key: what people know the run by; empty if it was started without one.
        state: its state.
        request: its request as JSON, without personal data.
        results: the results of its steps as JSON, by step, without personal data.
    """

    run_id: UUID
    saga: str
    business_key: str
    state: State
    request: Any
    results: Mapping[str, Any]


LinksOf = Callable[[LinkedRun], Iterable[tuple[str, str]]]
LinksOfT = TypeVar("LinksOfT", bound=LinksOf)


@dataclass(frozen=True, slots=True)
class LinkHook:
    """A function that says what an application has about a run, and of which saga."""

    function: LinksOf
    saga: str | None


def run_links(*, saga: type[Saga[Any]] | str | None = None) -> Callable[[LinksOfT], LinksOfT]:
    """Register a function that gives links of a run to pages of the application, for the run's page in the admin.

    It returns pairs of a text and an address: a path, or a URL with ``http`` or ``https``. It only reads. If it raises,
    the page is shown without its links, and the error is logged.

    >>> @sagas.run_links(saga="orders.PlaceOrder")
    ... def order_of(run: sagas.LinkedRun) -> list[tuple[str, str]]:
    ...     return [("Order", f"/orders/{run.business_key}/")]

    Args:
        saga: for runs of this saga only, in any version; the class, or its stored name.
    """
    name = saga if isinstance(saga, str) or saga is None else saga.name

    def register(function: LinksOfT) -> LinksOfT:
        runtime.declared.link_hooks.append(LinkHook(function, name))
        return function

    return register


def find_links(run: LinkedRun) -> list[tuple[str, str]]:
    """What the registered functions give for a run. An address with another scheme is left out."""
    found: list[tuple[str, str]] = []
    for hook in list(runtime.declared.link_hooks):
        if hook.saga not in {None, run.saga}:
            continue
        try:
            # A query that fails must not spoil a transaction of the page.
            with transaction.atomic():
                given = [(str(text), str(address)) for text, address in hook.function(run)]
        except Exception as error:
            if is_lost(error):
                raise
            name = getattr(hook.function, "__qualname__", repr(hook.function))
            logger.exception("sagas: %s gave no links of run %s", name, run.run_id)
            continue
        found += [(text, address) for text, address in given if _leads_to_a_page(address)]
    return found


def _leads_to_a_page(address: str) -> bool:
    try:
        return urlsplit(address.strip()).scheme in {"", "http", "https"}
    except ValueError:
        return False


# On a tick ------------------------------------------------------------------------------------------------------------


TickHook = Callable[[], object]
TickHookT = TypeVar("TickHookT", bound=TickHook)


def on_tick(function: TickHookT) -> TickHookT:
    """Register a function that each worker calls about once a second, for what is due by the clock and is no run.

    Several workers call it at the same time, and nobody calls it while no worker runs. So it asks the database what is
    due, and decides under a lock. It is called outside any transaction, and delays the worker's next work: keep it
    short. Its errors are logged, and it is called again.

    >>> @on_tick
    ... def end_auctions() -> None: ...
    """
    runtime.declared.tick_hooks.append(function)
    return function


def call_on_tick() -> None:
    """Call the functions, one after the other."""
    for function in list(runtime.declared.tick_hooks):
        try:
            function()
        except Exception as error:
            if is_lost(error):
                # Whoever asked for the tick closes the session, and the others need it, too.
                raise
            logger.exception("sagas: %s failed on a tick", getattr(function, "__qualname__", repr(function)))
