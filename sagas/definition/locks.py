"""``Lock``: a semantic lock on a business key, which one run holds at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sagas import limits
from sagas.errors import DefinitionError, InvalidRequest


@dataclass(frozen=True, slots=True)
class Lock:
    """A business key that one run at a time holds, from its first step to its end.

    >>> class ChangeOrder(Saga[Change]):
    ...     locks = (Lock(lambda request: f"order:{request.order_no}"),)

    Runs of different sagas with the same key exclude each other, too.

    Args:
        key: a function of the request that computes the key, at most 128 characters; ``None`` for no lock.
        wait: whether a run waits in line for the key. If not, a start is refused with ``Locked``.

    Raises:
        DefinitionError: the key is no function.
    """

    key: Callable[[Any], str | None]
    wait: bool = True

    def __post_init__(self) -> None:
        # Any: callers without a type checker get an error, too.
        key: Any = self.key
        if not callable(key):
            msg = f"Lock(key={key!r}): give a function of the request"
            raise DefinitionError(msg)


@dataclass(frozen=True, slots=True)
class LockKeys:
    """The keys of one run, each once, in order. ``refusing`` are those for which the run does not wait."""

    all: tuple[str, ...] = ()
    refusing: tuple[str, ...] = ()


def check_locks(saga: str, locks: object) -> tuple[Lock, ...]:
    """Return the locks that a saga declares; ``DefinitionError`` if they are no locks."""
    if not isinstance(locks, tuple | list) or not all(isinstance(lock, Lock) for lock in locks):
        msg = f"{saga}.locks is {locks!r}; give a tuple of Lock(…)"
        raise DefinitionError(msg)
    return tuple(locks)


def compute_keys(locks: Sequence[Lock], request: object) -> LockKeys:
    """Compute the keys of a request; ``InvalidRequest`` for an invalid key."""
    found: dict[str, bool] = {}
    for lock in locks:
        key: Any = lock.key(request)
        if key is None:
            continue
        if not isinstance(key, str) or not key or len(key) > limits.LOCK_KEY or not key.isprintable():
            msg = f"{key!r} is no key of a lock: a key has 1 to {limits.LOCK_KEY} printable characters"
            raise InvalidRequest(msg, [{"loc": ["locks"], "msg": msg}])
        # If two locks compute the same key, and one does not wait, the run does not wait.
        found[key] = found.get(key, True) and lock.wait
    return LockKeys(tuple(sorted(found)), tuple(sorted(key for key, wait in found.items() if not wait)))
