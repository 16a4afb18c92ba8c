"""What is given in the place of a participant, a resource or a time, and is none."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import new_class
from typing import Any, cast

import pytest

from sagas import Call, Confirmation, Done, Outcome, Retry, Saga, Step, Tcc, set_based
from sagas.errors import DefinitionError


def nothing(call: Call[Any]) -> None:
    """A participant that is never called."""


class Resource:
    def try_(self, call: Call[Any]) -> None: ...
    def confirm(self, call: Call[Any]) -> None: ...
    def cancel(self, call: Call[Any]) -> None: ...


class Half:
    def try_(self, call: Call[Any]) -> None: ...
    def confirm(self, call: Call[Any]) -> None: ...


#: Given where a time is wanted.
NUMBER: Any = 10


def wrong(function: object) -> Any:
    """Give what a type checker would refuse."""
    return function


class Sets:
    @set_based
    def both(self, calls: Sequence[Call[Any]]) -> list[Outcome]:
        return [Done() for _ in calls]

    async def later(self, call: Call[Any]) -> None: ...


def no_call() -> None: ...
def two_calls(call: Call[Any], other: object) -> None: ...
def keyed(call: Call[Any], *, stock: object) -> None: ...
async def later(call: Call[Any]) -> None: ...
def any_number(*calls: object) -> None: ...
def with_a_default(call: Call[Any], amount: int = 1) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (no_call, r"no_call\(\) is called with the call and nothing else"),
        (two_calls, r"two_calls\(call, other\) is called with the call and nothing else"),
        (keyed, r"keyed\(call, \*, stock\) is called with the call and nothing else"),
        (set_based(wrong(no_call)), r"no_call\(\) is called with the calls and nothing else"),
        (Sets.both, r"Sets\.both\(self, calls\) is called with the calls and nothing else"),
        (later, "later is async; give an ordinary function"),
        (set_based(wrong(later)), "later is async; give an ordinary function"),
        (Sets().later, r"Sets\.later is async; give an ordinary function"),
        (functools.partial(later), "partial is async; give an ordinary function"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_participant_is_called_with_one_argument_and_answers_at_once(wrong: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=f"^compensate: tests\\..*{said}" if "partial" not in said else said):
        Step(nothing, compensate=wrong, queue="orders")


@pytest.mark.parametrize(
    "right",
    [
        any_number,
        with_a_default,
        functools.partial(two_calls, other=1),
        Sets().both,
        print,
        set_based(cast(Any, list)),
        dict,
    ],
)
def test_any_callable_with_one_argument_is_accepted(right: Any) -> None:
    Step(right, queue="orders")


@pytest.mark.parametrize(
    ("wrong", "lacks"),
    [(nothing, "no try_ and no confirm and no cancel"), (Half(), "no cancel"), (None, "no try_ and no")],
)
def test_a_tcc_resource_needs_three_operations(wrong: Any, lacks: str) -> None:
    with pytest.raises(DefinitionError, match=rf"^Tcc\(.*\): it has {lacks}") as raised:
        Tcc(wrong, queue="orders")
    assert "give a TccResource, or Step(do, compensate=…)" in str(raised.value)


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: Confirmation(within=NUMBER), "Confirmation(within=10)"),
        (lambda: Step(nothing, queue="orders", timeout=NUMBER), f"Step({__name__}.nothing, timeout=10)"),
        (lambda: Tcc(Resource(), queue="orders", timeout=NUMBER), f"Tcc({__name__}.Resource.try_, timeout=10)"),
        (lambda: Retry(delay=NUMBER), "Retry(delay=10)"),
        (lambda: Retry(max_delay=NUMBER), "Retry(max_delay=10)"),
        (
            lambda: new_class(
                "Slow", (Saga[str],), exec_body=lambda body: body.update(one=Step(print, queue="a"), timeout=NUMBER)
            ),
            "Slow: timeout is 10",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_number_is_refused_as_a_duration(declare: Callable[[], object], said: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        declare()
    assert str(raised.value) == f"{said}; give a timedelta, such as timedelta(seconds=10)"
