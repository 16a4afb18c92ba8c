"""``Objective``: what share of a saga's runs is to reach its end without a person, and within which time. Pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sagas import limits
from sagas.definition.retry import check_duration
from sagas.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Objective:
    """A service level objective of a saga: of all runs that end, ``target`` are good.

    A run is good if it is wholly confirmed or wholly undone, no person had to see to it, and it took no longer than
    ``within`` from its start to its end. The time in which it awaited a confirmation is not counted. The objective is
    not stored with a run: the code that counts decides.

    Args:
        name: what people call it; a Python identifier.
        target: the share of good runs, between 0 and 1; 0.999 leaves an error budget of one run in a thousand.
        within: the longest time of a good run.
        floor: with fewer bad runs in the longer window nobody is alerted, however few runs there are: one bad run of
            ten burns most budgets at once.

    Raises:
        DefinitionError: the name, the target, the time or the floor cannot be used.
    """

    name: str
    target: float
    within: timedelta
    floor: int = 5

    def __post_init__(self) -> None:
        name, target, within, floor = self._given()
        if not isinstance(name, str) or not name.isidentifier() or len(name) > limits.STEP_NAME:
            msg = f"Objective({name!r}): give a name that is an identifier of at most {limits.STEP_NAME} characters"
            raise DefinitionError(msg)
        if isinstance(target, bool) or not isinstance(target, int | float) or not (0 < target < 1):
            msg = f"Objective({name!r}, target={target!r}): give a share between 0 and 1, without both, such as 0.999"
            raise DefinitionError(msg)
        check_duration(f"Objective({name!r}, within={within!r})", within)
        if within <= timedelta(0):
            msg = f"Objective({name!r}, within={within}): give a positive time"
            raise DefinitionError(msg)
        if type(floor) is not int or floor < 1:
            msg = f"Objective({name!r}, floor={floor!r}): give a whole number of bad runs, 1 or more"
            raise DefinitionError(msg)

    def _given(self) -> tuple[Any, Any, Any, Any]:
        # Declarations are checked whatever their types say.
        return self.name, self.target, self.within, self.floor

    def budget(self, runs: int) -> float:
        """How many of so many runs may be bad."""
        return runs * (1 - self.target)

    def burn(self, good: int, bad: int) -> float:
        """How many times as fast as the target allows the budget was spent; 1 spends all of it in its period."""
        return math.nan if good + bad == 0 else bad / self.budget(good + bad)


def check_objectives(saga: str, given: Any) -> tuple[Objective, ...]:
    """Return a saga's objectives.

    Raises:
        DefinitionError: they are no tuple or list of ``Objective``, or two have one name.
    """
    if not isinstance(given, tuple | list) or not all(isinstance(one, Objective) for one in given):
        msg = f"{saga}: objectives is {given!r}; give a tuple of Objective"
        raise DefinitionError(msg)
    for name, number in Counter(one.name for one in given).items():
        if number > 1:
            msg = f"{saga}: {number} objectives are called {name!r}; give each its own name"
            raise DefinitionError(msg)
    return tuple(given)
