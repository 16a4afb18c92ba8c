"""What a participant is, and what the log calls it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from sagas.definition.participants import (
    Call,
    Done,
    Operation,
    Outcome,
    Participant,
    SetBased,
    participant_name,
    set_based,
)


def one(call: Call[Any]) -> None:
    """A function of one call."""


@set_based
def all_of_them(calls: Sequence[Call[Any]]) -> list[Outcome]:
    """A set-based function."""
    return [Done() for _ in calls]


class Resource:
    def __init__(self, answer: str) -> None:
        self.answer = answer

    def method(self, call: Call[Any]) -> str:
        return self.answer

    @set_based
    def set_based(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        return [Done(self.answer) for _ in calls]

    def __call__(self, call: Call[Any]) -> str:
        return self.answer


class HasMany:
    def many(self, calls: Sequence[Call[Any]], /) -> Sequence[Outcome]:
        return [Done() for _ in calls]


HERE = __name__


@pytest.mark.parametrize(
    ("participant", "name"),
    [
        (one, "one"),
        (all_of_them, "all_of_them"),
        (Resource("a").method, "Resource.method"),
        (Resource("a").set_based, "Resource.set_based"),
        (Resource("a"), "Resource"),
        (HasMany(), "HasMany"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_log_names_a_participant_by_its_module_and_name(participant: Participant, name: str) -> None:
    assert participant_name(participant) == f"{HERE}.{name}"


def test_any_callable_has_a_name() -> None:
    assert participant_name(functools.partial(one)).endswith("partial")


def test_set_based_functions_of_a_class_are_bound_as_methods() -> None:
    call = Call(UUID(int=1), "step", Operation.TRY, 1, None)
    first, second = Resource("first"), Resource("second")
    assert isinstance(first.set_based, SetBased)
    assert first.set_based.many([call]) == [Done("first")]
    assert second.set_based.many([call, call]) == [Done("second")] * 2


def test_the_idempotency_key_contains_run_step_and_operation_but_not_the_attempt() -> None:
    keys = {Call(UUID(int=7), "pay", Operation.FORWARD, attempt, None).key for attempt in (1, 2, 3)}
    assert keys == {"00000000-0000-0000-0000-000000000007:pay:forward"}
