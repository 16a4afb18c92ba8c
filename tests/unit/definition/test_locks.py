"""Which keys a request asks for, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from sagas import InvalidRequest, Lock, Saga, Step
from sagas.definition.locks import LockKeys, compute_keys
from sagas.errors import DefinitionError


@dataclass(frozen=True)
class Change:
    order: str
    table: str | None = None


def do_nothing(call: object) -> None:
    """A participant."""


order = Lock(lambda change: f"order:{change.order}")
table = Lock(lambda change: change.table, wait=False)


def test_keys_are_locked_in_one_order_and_once_each() -> None:
    assert compute_keys((table, order, order), Change("7", "a")) == LockKeys(("a", "order:7"), ("a",))
    assert compute_keys((table, order), Change("7")) == LockKeys(("order:7",))
    assert compute_keys((), Change("7")) == LockKeys()


def test_a_key_locked_with_and_without_waiting_is_not_waited_for() -> None:
    assert compute_keys((order, table), Change("7", "order:7")) == LockKeys(("order:7",), ("order:7",))


@pytest.mark.parametrize("key", ["", "x" * 129, "a\0", "a\n", 7, ["a"]])
def test_an_invalid_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidRequest, match="is no key of a lock"):
        compute_keys((Lock(lambda _: key),), Change("7"))


def test_a_definition_knows_its_locks() -> None:
    class Changing(Saga[Change]):
        locks = (order,)
        step = Step(do_nothing, queue="orders")

    assert Changing.definition.locks == (order,)
    assert Changing.definition.lock_keys(Changing.definition.dump(Change("7"))) == LockKeys(("order:7",))


def test_an_invalid_lock_is_refused() -> None:
    key: Any = "order:7"
    with pytest.raises(DefinitionError, match="give a function"):
        Lock(key)
    with pytest.raises(DefinitionError, match=r"Wrong\.locks is .*; give a tuple of Lock"):

        class Wrong(Saga[Change]):
            locks: ClassVar[Any] = ("order",)
            step = Step(do_nothing, queue="orders")
