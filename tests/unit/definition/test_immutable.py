"""Only what can never change may be given to several calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict

from orders.requests import Item, OrderRequest
from sagas.definition.immutable import is_immutable


@dataclass(frozen=True, slots=True)
class Frozen:
    value: Any = 0


@dataclass(frozen=True)
class WithDict:
    value: int = 0


@dataclass(slots=True)
class Open:
    value: int = 0


@dataclass(frozen=True, slots=True)
class Hidden:
    value: int = 0
    notes: list[int] = field(default_factory=list, repr=False, compare=False)


class Loose(Frozen):
    """A class without slots of its own."""


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)
    value: int = 0


class Text(str):
    """May have attributes."""


@pytest.mark.parametrize(
    "value",
    [
        1,
        "text",
        None,
        1.5,
        Decimal(1),
        UUID(int=1),
        (),
        (1, ("a", None)),
        frozenset({1}),
        Frozen(),
        Frozen((1, Frozen())),
    ],
)
def test_plain_values_and_what_is_made_of_them_are_immutable(value: object) -> None:
    assert is_immutable(value)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        set(),
        ([],),
        Frozen([]),
        Frozen({"a": 1}),
        WithDict(),
        Open(),
        Hidden(),
        Loose(),
        Model(),
        Text("a"),
        Frozen(Open()),
    ],
)
def test_what_holds_something_that_can_change_is_not(value: object) -> None:
    assert not is_immutable(value)


def test_the_request_of_an_order_is_immutable() -> None:
    assert is_immutable(OrderRequest("1", 1, (Item("TEA", 1, 100),), 1))
