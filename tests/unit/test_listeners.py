"""Which events a listener takes, and which declarations are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import sagas
from sagas import Event, listeners, runtime
from sagas.errors import DefinitionError
from tests.lab.sagas import Telling


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    with runtime.apart():
        yield


def take(event: Event) -> None:
    """A listener's function."""


@pytest.mark.parametrize(
    ("pattern", "key", "hears"),
    [
        ("orders.PlaceOrder.Started", "orders.PlaceOrder.Started", True),
        ("orders.PlaceOrder.*", "orders.PlaceOrder.Started", True),
        ("orders.*", "orders.PlaceOrder.Started", False),
        ("orders.#", "orders.PlaceOrder.Started", True),
        ("#", "orders.PlaceOrder.Started", True),
        ("#.Started", "orders.PlaceOrder.Started", True),
        ("*.*.*.*", "orders.PlaceOrder.Started", False),
        ("orders.PlaceOrder.Started.#", "orders.PlaceOrder.Started", True),
        ("orders.#.PlaceOrder.*", "orders.PlaceOrder.Started", True),
    ],
)
def test_patterns_match_as_those_of_a_topic_exchange(pattern: str, key: str, hears: bool) -> None:
    sagas.on_event("x", [pattern])(take)
    (listener,) = listeners.all_listeners()
    assert listener.hears(key) is hears


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("", ["#"]),
        ("a" * 49, ["#"]),
        ("two words", ["#"]),
        (1, ["#"]),
        ("x", []),
        ("x", "#"),
        ("x", ["orders..x"]),
        ("x", [""]),
        ("x", [7]),
    ],
)
def test_an_invalid_name_or_pattern_is_refused(name: Any, patterns: Any) -> None:
    with pytest.raises(DefinitionError, match="on_event"):
        sagas.on_event(name, patterns)
    assert listeners.all_listeners() == ()


def test_a_name_is_of_one_function() -> None:
    sagas.on_event("x", ["#"])(take)
    # A module that is loaded again is the same
    sagas.on_event("x", ["#"])(take)
    with pytest.raises(DefinitionError, match=r"take has this name"):
        sagas.on_event("x", ["#"])(lambda _: None)
    assert len(listeners.all_listeners()) == 1


def test_only_sagas_that_publish_what_somebody_takes_are_heard() -> None:
    sagas.on_event("x", ["lab.Lab.*", "lab.Telling.NoSuchEvent"])(take)
    assert listeners.heard_sagas() == set()
    sagas.on_event("y", ["#.TellingStarted"])(take)
    assert listeners.heard_sagas() == {Telling.name}
