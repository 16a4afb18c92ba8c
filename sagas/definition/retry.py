"""``Retry``: the policy that says when an operation is tried again. Pure."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import timedelta

from sagas import limits
from sagas.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Again:
    """The operation is tried again after this delay."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The operation is not tried again: the attempts are used up, or another one cannot help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a failing operation is tried, and how long the waits between attempts are.

    The wait after attempt ``n`` (from 1) is ``delay * factor**(n-1)``, at most ``max_delay``. It varies randomly by
    ``±jitter`` of itself, so that runs that failed together do not return together.

    Args:
        attempts: the number of attempts, the first included; at least 1.
        delay: the wait after the first attempt.
        factor: the growth of the wait; 1 is a constant wait.
        max_delay: the longest wait.
        jitter: the part of the wait that is random, 0 to 1.
        never: exception classes after which another attempt cannot help. The operation is given up at once. If an
            exception is also a rejection (``Step(rejects=…)``), it counts as a rejection.

    The policy is not stored with a run: the code that performs the operation decides.
    """

    attempts: int = 3
    delay: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    max_delay: timedelta = timedelta(minutes=1)
    jitter: float = 0.1
    never: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        check_duration(f"Retry(delay={self.delay!r})", self.delay)
        check_duration(f"Retry(max_delay={self.max_delay!r})", self.max_delay)
        if self.attempts < 1:
            msg = f"Retry(attempts={self.attempts}): an operation is tried at least once"
            raise DefinitionError(msg)
        if self.delay < timedelta(0) or self.max_delay < self.delay:
            msg = f"Retry(delay={self.delay}, max_delay={self.max_delay}): need 0 <= delay <= max_delay"
            raise DefinitionError(msg)
        if not 1 <= self.factor < math.inf or not 0 <= self.jitter <= 1:
            msg = f"Retry(factor={self.factor}, jitter={self.jitter}): need factor >= 1, 0 <= jitter <= 1"
            raise DefinitionError(msg)

        if not _are_exceptions(self.never):
            msg = f"Retry(never={self.never!r}): a tuple of exception classes, such as (ValueError,)"
            raise DefinitionError(msg)

    def decide(self, attempt: int, error: Exception, *, spread: float | None = None) -> Again | GiveUp:
        """Decide what follows a failed attempt.

        Args:
            attempt: the number of the failed attempt, from 1.
            error: the exception with which it failed.
            spread: the position within the jitter, -1 to 1; by default random.
        """
        if attempt >= self.attempts or isinstance(error, self.never):
            return GiveUp()
        if spread is None:
            spread = random.uniform(-1, 1)  # noqa: S311 - spreads load, guards no secret
        wait, limit = self.delay.total_seconds(), self.max_delay.total_seconds()
        try:
            wait = min(wait * self.factor ** (attempt - 1), limit)
        except OverflowError:
            wait = limit if wait else 0.0
        return Again(timedelta(seconds=wait * (1 + self.jitter * spread)))


def check_duration(said: str, value: object) -> None:
    """Raise ``DefinitionError`` for a value that is no ``timedelta``, such as a number of seconds, or is too long.

    Args:
        said: the argument with its value, for the error.
        value: the argument.
    """
    if not isinstance(value, timedelta):
        msg = f"{said}; give a timedelta, such as timedelta(seconds=10)"
        raise DefinitionError(msg)
    if value > limits.WAIT:
        msg = f"{said}; give at most {limits.WAIT.days:,} days"
        raise DefinitionError(msg)


def _are_exceptions(kinds: object) -> bool:
    return isinstance(kinds, tuple) and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds)
