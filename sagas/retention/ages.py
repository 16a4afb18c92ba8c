"""For how long runs are kept after their end, and for how long they must be kept.

A run that is gone cannot answer: neither a late message, nor a repeat of a request about it. So it is kept until none
can come any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sagas import runtime
from sagas.conf import Misconfigured, config
from sagas.definition import registry
from sagas.definition.definition import Definition
from sagas.engine.subsagas import SubSaga
from sagas.states import FINAL, State
from sagas.store.retention.pruning import OTHERS, Cutoffs

#: How late a message may come: it was delayed, set aside and replayed, or its broker was away.
MESSAGE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Age:
    """How long the runs of a saga that ended in a certain way are kept; ``None``: for ever."""

    saga: str
    state: State
    kept: timedelta | None


@dataclass(frozen=True, slots=True)
class Need:
    """How long runs must be kept, and what for."""

    least: timedelta
    cause: str


def ages() -> list[Age]:
    """Read ``SAGAS["RETENTION"]``."""
    found = []
    for saga, kept in config().retention.items():
        for state in sorted(FINAL):
            days = kept if not isinstance(kept, dict) else kept.get(state)
            found.append(Age(saga, State(state), None if days is None else timedelta(days=days)))
    return found


def cutoffs(now: datetime) -> Cutoffs:
    """Before when runs must have ended to be pruned, by saga and outcome.

    Raises:
        Misconfigured: some would be kept for too short a time; or nothing says for how long any are kept.
    """
    found = ages()
    if not any(age.kept for age in found):
        msg = "SAGAS['RETENTION'] is empty: all runs are kept for ever."
        raise Misconfigured(msg, 'Give days by saga, such as {"*": 400}.')
    for problem in too_short():
        raise problem
    return {(age.saga, age.state): None if age.kept is None else now - age.kept for age in found}


def too_short() -> Iterator[Misconfigured]:
    """Find what is kept for too short a time."""
    for age in ages():
        need = _need(age.saga)
        if age.kept is not None and age.kept < need.least:
            name = f"SAGAS['RETENTION'][{age.saga!r}]"
            yield Misconfigured(
                f"{name} keeps runs that end as {age.state} for {_days(age.kept)}, and must keep them for "
                f"{_days(need.least)}: {need.cause}.",
                f"Give {need.least / timedelta(days=1):g} or more.",
            )


def unknown() -> list[str]:
    """The sagas of which a retention is set, and which the code does not have."""
    known = {definition.name for definition in registry.all_definitions()}
    return sorted({age.saga for age in ages()} - known - {OTHERS})


def _need(saga: str) -> Need:
    """The longest of all that may still ask about a run of this saga."""
    named = {age.saga for age in ages()}
    definitions = [
        definition
        for definition in registry.all_definitions()
        if (definition.name not in named if saga == OTHERS else definition.name == saga)
    ]
    lease = timedelta(seconds=config().lease * 2 ** min(config().lease_limit, 16))
    needs = [
        Need(MESSAGE, "so late may a message about them come"),
        Need(lease, "so long is their longest lease"),
        *(need for definition in definitions for need in _needs(definition)),
    ]
    return max(needs, key=lambda need: need.least)


def _needs(definition: Definition) -> Iterator[Need]:
    for confirmation in definition.confirmations:
        if confirmation.within is not None:
            yield Need(confirmation.within, f"so long may {definition.name} wait for {confirmation.name}")
    if definition.timeout is not None:
        yield Need(definition.timeout, f"so long may {definition.name} take")
    for hook in runtime.declared.prune_hooks:
        if hook.saga in {None, definition.name}:
            yield Need(hook.keep, f"so late may a request about {definition.name} be repeated (on_prune)")
    for step in definition.steps:
        if isinstance(step, SubSaga):
            # It is deleted with its parent.
            yield from _needs(step.saga.definition)


def _days(age: timedelta) -> str:
    return f"{age / timedelta(days=1):g} day(s)"
