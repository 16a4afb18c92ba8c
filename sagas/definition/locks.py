"""How a saga says which runs must not be at the same thing at once: a semantic lock on a business key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sagas import limits
from sagas.errors import DefinitionError, InvalidRequest


@dataclass(frozen=True, slots=True)
class Lock:
    """A key that one run at a time may hold, from its first step until it has ended.

    >>> class ChangeOrder(Saga[Change]):
    ...     locks = (Lock(lambda request: f"order:{request.order_no}"),)

    Whatever saga it is of: two sagas with the same key exclude each other.

    Args:
        key: computes the key from the request, at most 128 characters; ``None`` for no lock.
        wait: whether a run waits in line until the key is free; else it is refused at the start (``Locked``).

    Raises:
        DefinitionError: the key is no function.
    """

    key: Callable[[Any], str | None]
    wait: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        # Any: whoever calls this without a type checker gets an error all the same.
        key: Any = self.key
        if not callable(key):
            msg = f"Lock(key={key!r}): give a function of the request"
            raise DefinitionError(msg)


@dataclass(frozen=True, slots=True)
class LockKeys:
    """The keys of one run, each once, in order. ``refusing`` are those for which it does not wait."""

    all: tuple[str, ...] = ()
    refusing: tuple[str, ...] = ()


def check_locks(saga: str, locks: object) -> tuple[Lock, ...]:
    """Give what a saga declares as its locks; ``DefinitionError`` if they are none."""
    if not isinstance(locks, tuple | list) or not all(isinstance(lock, Lock) for lock in locks):
        msg = f"{saga}.locks is {locks!r}; give a tuple of Lock(…)"
        raise DefinitionError(msg)
    return tuple(locks)


def lock_keys(locks: Sequence[Lock], request: object) -> LockKeys:
    """Compute the keys that a request asks for; ``InvalidRequest`` for what is no key."""
    found: dict[str, bool] = {}
    for lock in locks:
        key: Any = lock.key(request)
        if key is None:
            continue
        if not isinstance(key, str) or not key or len(key) > limits.LOCK_KEY or not key.isprintable():
            msg = f"{key!r} is no key of a lock: 1 to {limits.LOCK_KEY} printable characters"
            raise InvalidRequest(msg, [{"loc": ["locks"], "msg": msg}])
        # Where it is asked for in both ways, it does not wait.
        found[key] = found.get(key, True) and lock.wait
    return LockKeys(tuple(sorted(found)), tuple(sorted(key for key, wait in found.items() if not wait)))
