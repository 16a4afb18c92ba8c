"""Hooks: functions of the application that are called after the commit of a run's transition.

A hook is called in the process that made the transition, after its commit. The call may be lost: the process may die
between the commit and the call. Code that must learn of every transition listens to the domain events
(``sagas.definition.events``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar, overload
from uuid import UUID

from sagas import runtime
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
