"""Hooks: functions of the application that are told of a run's transition once it is committed.

They run in the process that made the transition, after its commit, and may be lost: a process that dies between
the two has told nobody. Whoever must hear of everything listens to the events (``sagas.definition.events``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar, overload
from uuid import UUID

from sagas.db import after_commit
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
        business_key: what people know it by; empty if it was started without one.
        before: the state that it left.
        after: the state that it is in since. By now it may be in yet another.
        reason: why it is being or was undone, or needs a person, as ``{"kind", "step", "code", "detail", …}``;
            for operators: ``sagas.decisions.reasons.public_reason`` says what customers may read of it.
        at: when, by the database's clock.
    """

    run_id: UUID
    saga: str
    business_key: str
    before: State
    after: State
    reason: dict[str, Any] | None
    at: datetime


One = Callable[[Transition], object]
Many = Callable[[Sequence[Transition]], object]
OneT = TypeVar("OneT", bound=One)
ManyT = TypeVar("ManyT", bound=Many)


@dataclass(frozen=True, slots=True)
class _Hook:
    """A registered function, and what it wants to be told of: ``None`` is anything."""

    function: Callable[[Any], object]
    saga: str | None
    before: State | None
    after: State | None
    many: bool

    def wants(self, before: State, after: State) -> bool:
        return self.before in {None, before} and self.after in {None, after}

    def call(self, transitions: Sequence[Transition]) -> None:
        """Call the function for those it wants. What it raises harms nobody: the transition is committed."""
        mine = [t for t in transitions if self.saga in {None, t.saga} and self.wants(t.before, t.after)]
        for told in ([mine] if mine else []) if self.many else mine:
            try:
                self.function(told)
            except Exception:
                name = getattr(self.function, "__qualname__", repr(self.function))
                logger.exception("sagas: the hook %s failed for %d run(s)", name, len(mine) if self.many else 1)


_hooks: list[_Hook] = []


@overload
def on_transition(
    *,
    saga: type[Saga[Any]] | str | None = ...,
    before: State | None = ...,
    to: State | None = ...,
    many: Literal[False] = ...,
) -> Callable[[OneT], OneT]: ...


@overload
def on_transition(
    *,
    saga: type[Saga[Any]] | str | None = ...,
    before: State | None = ...,
    to: State | None = ...,
    many: Literal[True],
) -> Callable[[ManyT], ManyT]: ...


def on_transition(
    *,
    saga: type[Saga[Any]] | str | None = None,
    before: State | None = None,
    to: State | None = None,
    many: bool = False,
) -> Callable[[Any], Any]:
    """Register a function that is called after the commit of a transition, in the process that made it.

    Every call that is left out is anything. The function may be lost in a crash, and holds up the run's next link
    while it runs: keep it short, and idempotent. What it raises is logged, and harms nobody.

    Args:
        saga: of this saga only, whatever its version; the class, or its stored name.
        before: from this state only.
        to: to this state only.
        many: call it once with a list, for all runs that one statement has moved, instead of once for each run.

    Raises:
        DefinitionError: no run goes from ``before`` to ``to``.
    """
    possible = {
        (left, entered)
        for left, following in TRANSITIONS.items()
        for entered in following
        if before in {None, left} and to in {None, entered}
    }
    if not possible:
        msg = f"on_transition(before={before}, to={to}): no run goes this way, so the hook would never be called"
        raise DefinitionError(msg)
    name = saga if isinstance(saga, str) or saga is None else saga.name

    def register(function: Callable[[Any], object]) -> Callable[[Any], object]:
        _hooks.append(_Hook(function, name, before, to, many))
        return function

    return register


def wanted(before: State, after: State) -> bool:
    """Whether anybody wants to be told of this transition. Where nobody does, it costs no more than this."""
    return bool(_hooks) and before is not after and any(hook.wants(before, after) for hook in _hooks)


def tell(transitions: Iterable[Transition]) -> None:
    """Tell the hooks of transitions, as soon as the current transaction is committed, and not if it is rolled back."""
    told = list(transitions)
    if told:
        after_commit(_call_all, told)


def _call_all(transitions: Sequence[Transition]) -> None:
    for hook in list(_hooks):
        hook.call(transitions)
