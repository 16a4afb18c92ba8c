"""The variants of a definition: what runs follow that leave out steps by their ``when``. Pure.

A run that skips steps follows a definition of its own, which does not have them: it has another shape. So whatever
comes next for a run is planned as for any other run, and what the run has skipped is on record with its shape.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from django.db import Error

from sagas import limits
from sagas.errors import DefinitionError, InvalidRequest, UnknownStep

if TYPE_CHECKING:
    from sagas.definition.definition import Definition


def variants_of(definition: Definition) -> dict[int, Definition]:
    """Make all variants of a definition, by the numbers of their shapes; the first one is the definition itself."""
    conditional = _conditional(definition)
    return {
        variant.shape.number: variant
        for count in range(len(conditional) + 1)
        for left_out in combinations(conditional, count)
        for variant in [_leave_out(definition, left_out) if left_out else definition]
    }


def check_conditions(definition: Definition) -> None:
    """Refuse a definition of which the variants would be too many, or could not be told apart.

    Raises:
        DefinitionError: it has more than ``limits.CONDITIONAL_STEPS`` steps with a ``when``; or two variants have the
            same number, which is a hash.
    """
    count = len(_conditional(definition))
    if count > limits.CONDITIONAL_STEPS:
        msg = f"{definition.name} has {count} steps with when=; a saga has at most {limits.CONDITIONAL_STEPS}"
        raise DefinitionError(msg)
    if len(definition.variants) != 2**count:
        msg = f"{definition.name}: the numbers of two shapes are equal by chance; rename a step that has when="
        raise DefinitionError(msg)


def choose_variant(definition: Definition, stored: str) -> Definition:
    """Ask the ``when`` of each step that has one, for a request (JSON text); return what its run follows.

    Raises:
        InvalidRequest: a ``when`` raises, or returns neither ``True`` nor ``False``.
    """
    conditional = _conditional(definition)
    if not conditional:
        return definition
    request = definition.load(stored)
    left_out = {index for index in conditional if not _performs(definition, index, request)}
    return variant_without(definition, [definition.steps[index].name for index in left_out])


def variant_without(definition: Definition, steps: Collection[str]) -> Definition:
    """The variant that skips exactly these steps; ``UnknownStep`` if one of them has no ``when``."""
    wanted = set(steps)
    for variant in definition.variants.values():
        if {name for _, name in variant.skipped} == wanted:
            return variant
    can = ", ".join(definition.steps[index].name for index in _conditional(definition)) or "none"
    msg = f"{definition.name} cannot skip {', '.join(sorted(wanted))}: of its steps {can} have when="
    raise UnknownStep(msg)


def _conditional(definition: Definition) -> tuple[int, ...]:
    """The positions of the steps that may be skipped; none in a definition that has skipped some."""
    if definition.skipped:
        return ()
    return tuple(index for index, step in enumerate(definition.steps) if step.when is not None)


def _performs(definition: Definition, index: int, request: object) -> bool:
    step = definition.steps[index]
    assert step.when is not None
    try:
        # Any: callers without a type checker get an error, too.
        answer: Any = step.when(request)
    except Error:
        # An error of the caller's transaction, in which the application has made a query.
        raise
    except Exception as error:
        raise _unanswered(definition, step.name, type(error).__name__) from error
    if not isinstance(answer, bool):
        raise _unanswered(definition, step.name, f"it returned {type(answer).__name__}, and not True or False")
    return answer


def _unanswered(definition: Definition, step: str, why: str) -> InvalidRequest:
    # Only the engine's own text: the application's may quote personal data.
    msg = f"the request does not fit {definition.name}: whether {step} is performed: {why}"
    return InvalidRequest(msg, [{"loc": [], "type": "when", "msg": msg}])


def _leave_out(definition: Definition, left_out: Collection[int]) -> Definition:
    def moved(position: int) -> int:
        return position - sum(index < position for index in left_out)

    forks = tuple(range(moved(fork.start), moved(fork.stop)) for fork in definition.forks)
    return replace(
        definition,
        # The steps themselves, and not copies: what is done to their participants, by a test, is done to all.
        steps=tuple(step for index, step in enumerate(definition.steps) if index not in left_out),
        # One branch that is left is a step like any other.
        forks=tuple(fork for fork in forks if len(fork) > 1),
        pivot=definition.pivot if definition.pivot == sys.maxsize else moved(definition.pivot),
        skipped=tuple((index, definition.steps[index].name) for index in sorted(left_out)),
    )
