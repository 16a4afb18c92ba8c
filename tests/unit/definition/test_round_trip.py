"""What is read of a request is what was given, or it is refused at the start: in both ways of giving it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    TypeAdapter,
    computed_field,
)

from sagas import Saga, Step
from sagas.definition.definition import Definition
from sagas.errors import InvalidRequest

SHANGHAI = ZoneInfo("Asia/Shanghai")


def _definition(kind: Any) -> Definition:
    class Kept(Saga[kind]):
        name = "tests.Kept"
        one = Step(print, queue="orders")

    return Kept.definition


class Colour(Enum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: int


@dataclass
class Base:
    number: int = 0


@dataclass
class Derived(Base):
    more: str = ""


class Model(BaseModel):
    number: int = 0


class DerivedModel(Model):
    more: str = ""


class Aliased(BaseModel):
    price: int = Field(alias="Price")


class Excluding(BaseModel):
    price: int = 0
    code: str = Field(default="", exclude=True)


class Secret(BaseModel):
    pin: SecretStr


class Shown(BaseModel):
    pin: Annotated[SecretStr, PlainSerializer(lambda pin: pin.get_secret_value())]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    price: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return self.price * 2


class Computed(BaseModel):
    price: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return self.price * 2


class Constants(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    price: float


class InText(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    price: float


class Base64(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64")
    data: bytes


class Raised(BaseModel):
    cents: Annotated[int, AfterValidator(lambda cents: cents * 100)]


class Rounded(BaseModel):
    price: Annotated[float, PlainSerializer(int)]


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")


@dataclass
class Uncompared:
    number: int
    note: str = field(default="", compare=False)
    own: str = field(default="", init=False, compare=False)


def _uncompared() -> Uncompared:
    found = Uncompared(1)
    found.own = "mine"
    return found


@dataclass
class Anything:
    value: Any = None
    number: float = 0.0
    optional: float | None = None
    exact: Decimal = Decimal(0)
    base: Base = field(default_factory=Base)
    model: Model | None = None
    colour: Colour = Colour.RED
    pair: Pair = field(default_factory=lambda: Pair(0, 0))
    names: frozenset[str] = frozenset()
    by_number: dict[int, str] = field(default_factory=dict)
    by_pair: dict[tuple[int, int], str] = field(default_factory=dict)
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    some: tuple[int, ...] = ()
    data: bytes = b""


def _nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


def _ring() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def _first(kind: Any, **values: Any) -> Any:
    """Make a model without its validation, as whoever assigns to it does."""
    return kind.model_construct(**values)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Anything, Anything(number=float("nan"))),
        (Anything, Anything(number=float("inf"))),
        (Anything, Anything(optional=float("nan"))),
        (Anything, Anything(value=float("nan"))),
        (Anything, Anything(value={"deep": [float("-inf")]})),
        (Constants, Constants(price=float("nan"))),
        (Aliased, Aliased(Price=5)),
        (Excluding, Excluding(code="WELCOME")),
        (Secret, Secret(pin=SecretStr("1234"))),
        (Strict, Strict(price=5)),
        (Base64, Base64(data=b"tea")),
        (Raised, _first(Raised, cents=5)),
        (Rounded, Rounded(price=1.5)),
        (Uncompared, _uncompared()),
        (Anything, Anything(base=Derived(1, "lost"))),
        (Anything, Anything(model=DerivedModel(more="lost"))),
        (Anything, Anything(value=Colour.RED)),
        (Anything, Anything(value=Decimal("1.10"))),
        (Anything, Anything(value=datetime(2026, 1, 1, tzinfo=UTC))),
        (Anything, Anything(value={"a", "b"})),
        (Anything, Anything(value={1: "a"})),
        (Anything, Anything(value={1: "a", "1": "b"})),
        (Anything, Anything(value=Pair(1, 2))),
        (Anything, Anything(value=b"\xff")),
        (Anything, Anything(value=object())),
        (Anything, Anything(value=_nested(65))),
        (Anything, Anything(value=_nested(990))),
        (Anything, Anything(value=_ring())),
        (Anything, Anything(value=10**5000)),
        (Anything, Anything(exact=0.1)),  # type: ignore[arg-type]
        (Anything, Anything(by_pair={(1, 2): "a"})),
        (Iterable[int], (number for number in range(3))),
    ],
)
def test_a_value_that_changes_in_a_round_trip_is_refused(kind: Any, given: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"the request does not fit tests\.Kept") as raised:
        _definition(kind).dump(given)
    assert raised.value.errors


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Anything, {"number": float("nan")}),
        (Anything, {"optional": float("inf")}),
        (Anything, {"value": {"price": float("nan")}}),
        (Anything, {"by_pair": {(1, 2): "a"}}),
        (Constants, {"price": float("inf")}),
        (Aliased, {"Price": 5}),
        (Excluding, {"code": "WELCOME"}),
        (Secret, {"pin": "1234"}),
        (Strict, {"price": 5}),
        (Base64, {"data": b"tea"}),
        (Raised, {"cents": 5}),
        (Rounded, {"price": 1.5}),
        (dict[str, float], {"price": float("nan")}),
        (dict[str, Any], {"price": float("nan")}),
    ],
)
def test_a_dict_value_that_changes_in_a_round_trip_is_refused(kind: Any, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"the request does not fit tests\.Kept") as raised:
        _definition(kind).dump(given)
    assert raised.value.errors


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Anything, Anything(number=5, optional=1e308, exact=Decimal("1.10"))),
        (Anything, Anything(number=-0.0, value=[-0.0, 1e16, 10**40])),
        (Anything, Anything(some=[1, 2])),  # type: ignore[arg-type]
        (Anything, Anything(names=frozenset({"a"}), by_number={1: "a", 2: "b"})),
        (Anything, Anything(pair=Pair(1, 2), data=b"tea", model=Model(number=3))),
        (Anything, Anything(at=datetime(2026, 6, 1, 12, tzinfo=SHANGHAI))),
        (Anything, Anything(at=datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")))),
        (Anything, Anything(at=datetime(2026, 6, 1, 12, microsecond=7))),  # noqa: DTZ001 - it has none, and keeps none
        (Anything, Anything(value={"b": [1, None, True, "x"], "a": {}})),
        (Anything, Anything(value=_nested(60))),
        (Shown, Shown(pin=SecretStr("1234"))),
        (Computed, Computed(price=5)),
        (InText, InText(price=float("nan"))),
        (Excluding, Excluding(price=5)),
        (Extra, Extra(tea="oolong")),  # type: ignore[call-arg]
        (Uncompared, Uncompared(1, "kept")),
        (Base, Base(True)),
        (OrderedDict[str, int], OrderedDict(b=1, a=2)),
        (timedelta, timedelta(days=3, microseconds=1)),
        (UUID, UUID(int=5)),
    ],
)
def test_a_value_that_survives_a_round_trip_is_accepted(kind: Any, given: Any) -> None:
    definition = _definition(kind)
    assert TypeAdapter(kind).dump_json(definition.load(definition.dump(given))) == TypeAdapter(kind).dump_json(
        given, warnings="none"
    )


def test_the_place_of_a_lost_value_is_named_and_the_value_is_not() -> None:
    with pytest.raises(InvalidRequest, match=r"value\.\*\.0 changes when it is stored and read again") as raised:
        _definition(Anything).dump(Anything(value={"Lin": [b"Lin's phone"]}))
    assert "Lin" not in str(raised.value)
