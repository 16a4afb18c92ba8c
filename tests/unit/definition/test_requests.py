"""What a run is asked for is checked before it is written, and comes back as its type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import pytest
from annotated_types import Gt
from pydantic import BaseModel, field_validator

from sagas import Saga, Step
from sagas.errors import InvalidRequest


@dataclass(frozen=True)
class Request:
    name: str
    amount: int = 1


class Requested(Saga[Request]):
    name = "tests.Requested"
    one = Step(print, queue="orders")


@pytest.mark.parametrize("request_", [Request("a", 2), {"name": "a", "amount": 2}, {"name": "a", "amount": "2"}])
def test_a_stored_request_is_read_as_its_type(request_: object) -> None:
    definition = Requested.definition
    assert definition.load(definition.dump(request_)) == Request("a", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": 5},
        {"name": "a", "amount": "many"},
        Request("a", "many"),  # type: ignore[arg-type]
        Request(None),  # type: ignore[arg-type]
        5,
        None,
        "a",
        [],
        pytest.param(object(), id="an object"),
        UUID(int=1),
        datetime(2026, 1, 1, tzinfo=UTC),
    ],
    ids=repr,
)
def test_a_request_that_does_not_fit_is_refused_with_what_is_wrong(wrong: object) -> None:
    with pytest.raises(InvalidRequest, match=r"does not fit tests\.Requested") as raised:
        Requested.definition.dump(wrong)
    assert raised.value.errors


class Line(BaseModel):
    sku: str
    number: Annotated[int, Gt(0)]


class Guests(BaseModel):
    lines: list[Line] = []
    phones: dict[str, int] = {}
    id: UUID | None = None
    tea: str = ""

    @field_validator("tea")
    @classmethod
    def _known(cls, tea: str) -> str:
        if tea == "Lin":
            msg = f"{tea} is no tea"
            raise ValueError(msg)
        return tea


class Seated(Saga[Guests]):
    name = "tests.Seated"
    one = Step(print, queue="orders")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lines": 5}, "lines: Input should be a valid list"),
        ({"lines": [{"sku": "a", "number": 0}]}, "lines.*.number: Input should be greater than 0"),
        ({"lines": [{}]}, "lines.*.sku: Field required; lines.*.number: Field required"),
        ({"lines": [{}, {}, {}]}, "; ".join(["lines.*.sku: Field required; lines.*.number: Field required"] * 2)),
        ([], "Input should be an object"),
        # Where a place or a message would quote the request, it says less
        ({"phones": {"Lin": "x"}}, "phones.*: Input should be a valid integer, unable to parse string as an integer"),
        ({"id": "Lin"}, "id: uuid_parsing"),
        ({"tea": "Lin"}, "tea: value_error"),
    ],
    ids=repr,
)
def test_the_error_about_a_request_quotes_no_values(wrong: object, said: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Seated.definition.dump(wrong)
    assert str(raised.value).startswith(f"the request does not fit tests.Seated: {said}")
    assert "Lin" not in str(raised.value)


def test_only_the_first_problems_of_a_request_are_reported() -> None:
    with pytest.raises(InvalidRequest, match=r"Field required; and 15 more$") as raised:
        Seated.definition.dump({"lines": [{}] * 10})
    assert len(raised.value.errors) == 20


@pytest.mark.parametrize("wrong", ["a\x00b", "\ud800"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("make", [Request, lambda name: {"name": name}], ids=["instance", "dict"])
def test_text_that_the_database_cannot_store_is_refused_at_the_start(make: Any, wrong: str) -> None:
    with pytest.raises(InvalidRequest):
        Requested.definition.dump(make(wrong))


def test_text_that_only_looks_like_an_escape_is_text() -> None:
    definition = Requested.definition
    odd = Request("\\u0000 as typed")
    assert definition.load(definition.dump(odd)) == odd
