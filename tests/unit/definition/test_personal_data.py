"""Where personal data stands in JSON, and how it is blanked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Optional, TypedDict, TypeVar

import pytest
from annotated_types import Gt
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sagas.definition.personal_data import (
    ERASED,
    HIDDEN,
    Marks,
    Personal,
    mask,
    mask_text,
    mask_texts,
    parse_personal,
    personal_paths,
    personal_values,
)
from sagas.errors import DefinitionError

T = TypeVar("T")


@dataclass
class Contact:
    phone: Annotated[str, Personal]
    city: str = ""


class Card(BaseModel):
    holder: Annotated[str, Personal]
    number: Annotated[str, Field(max_length=20), Personal()] | None = None
    kind: str = ""


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    phone: Annotated[str, Personal] = Field(serialization_alias="tel")


class Typed(TypedDict):
    name: Annotated[str, Personal]
    size: int


@dataclass
class Tree:
    owner: Annotated[str, Personal]
    branches: list[Tree]


class Box(BaseModel, Generic[T]):
    content: T


@dataclass
class Everything:
    contact: Contact
    maybe: Contact | None
    older: Optional[Card]  # noqa: UP045 - what people write
    guests: list[Contact]
    pair: tuple[Contact, int]
    many: Sequence[Card]
    by_name: dict[str, Contact]
    by_phone: dict[Annotated[str, Personal], int]
    names: list[Annotated[str, Personal]]
    whole: Annotated[Contact, Personal]
    typed: Typed
    box: Box[Contact]
    amount: Annotated[int, Gt(0), Personal]
    plain: Annotated[int, Gt(0)]
    any: Any


def test_the_marks_of_all_kinds_of_fields_are_found() -> None:
    assert {".".join(path) for path in personal_paths(Everything)} == {
        "contact.phone",
        "maybe.phone",
        "older.holder",
        "older.number",
        "guests.*.phone",
        "pair.*.phone",
        "many.*.holder",
        "many.*.number",
        "by_name.*.phone",
        "by_phone",
        "names.*",
        "whole",
        "typed.name",
        "box.content.phone",
        "amount",
    }


@pytest.mark.parametrize("kind", [int, str, Any, dict, list[int], dict[str, int], None])
def test_a_type_without_marks_has_no_paths(kind: Any) -> None:
    assert personal_paths(kind) == frozenset()


def test_a_field_is_found_under_its_serialized_name() -> None:
    written = TypeAdapter(Aliased).dump_python(Aliased(phone="13800000000"))
    assert mask(written, personal_paths(Aliased), HIDDEN) == {"tel": HIDDEN}


def test_a_recursive_type_is_blanked_at_every_depth() -> None:
    tree = Tree("Lin", [Tree("Mei", [Tree("Bo", [Tree("An", [])])]), Tree("Yu", [])])
    blanked = TypeAdapter(Tree).dump_python(tree, mode="json")
    assert set(personal_values(blanked, personal_paths(Tree))) == {"Lin", "Mei", "Bo", "An", "Yu"}
    text = str(mask(blanked, personal_paths(Tree), HIDDEN))
    assert text.count(HIDDEN) == 5
    assert not any(name in text for name in ("Lin", "Mei", "Bo", "An", "Yu"))


def test_blanking_copies_and_leaves_null_and_missing_values() -> None:
    data = {
        "contact": {"phone": "1", "city": "X"},
        "maybe": None,
        "guests": [{"phone": "2"}, {"city": "Y"}],
        "amount": 5,
    }
    before = str(data)
    assert mask(data, personal_paths(Everything), ERASED) == {
        "contact": {"phone": ERASED, "city": "X"},
        "maybe": None,
        "guests": [{"phone": ERASED}, {"city": "Y"}],
        "amount": ERASED,
    }
    assert str(data) == before


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_data_is_blanked_without_an_error_and_idempotently(data: Any) -> None:
    paths = personal_paths(Everything) | personal_paths(Tree) | parse_personal(["a.*.b", "*"])
    once = mask(data, paths, ERASED)
    assert mask(once, paths, ERASED) == once
    assert set(personal_values(once, paths)) <= {ERASED}


def test_a_declaration_is_a_path_some_paths_or_everything() -> None:
    assert parse_personal("phone") == {("phone",)}
    assert parse_personal(("contact.phone", "guests.*.name")) == {("contact", "phone"), ("guests", "*", "name")}
    assert parse_personal(True) == {()}
    assert parse_personal(()) == parse_personal(False) == frozenset()


@pytest.mark.parametrize("wrong", ["", [""], ["a..b"], [".a"], [5], [None]])
def test_an_invalid_path_is_refused(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match="is no path"):
        parse_personal(wrong)


@pytest.mark.parametrize(
    ("text", "secret", "left"),
    [
        ("call 13800000000!", "13800000000", "call #!"),
        ("call +8613800000000", "13800000000", "call +86#"),
        # Short ones are words or nothing
        ("Li has no delivery in Lille", "Li", "# has no delivery in Lille"),
        ("7 of 70", "7", "# of 70"),
        # As Python and JSON write them
        (repr({"name": "O'Hara\n"}), "O'Hara\n", "{'name': \"#\"}"),
        ('{"name": "\\u6797\\u5c0f\\u660e"}', "林小明", '{"name": "#"}'),
        ('{"name": "a \\"b\\" c"}', 'a "b" c', '{"name": "#"}'),
        # Nothing to hide
        ("all is well", "", "all is well"),
        ("all is well", "  ", "all is well"),
    ],
)
def test_a_personal_value_is_replaced_in_a_text(text: str, secret: str, left: str) -> None:
    assert mask_text(text, [secret], "#") == left


def test_the_longest_value_is_replaced_first() -> None:
    assert mask_text("Lin Mei-Hua and Lin Mei", ["Lin Mei", "Lin Mei-Hua"], "#") == "# and #"
    assert mask_text(f"{HIDDEN} {ERASED}", [HIDDEN, ERASED], "#") == f"{HIDDEN} {ERASED}"


def test_texts_at_any_depth_are_scrubbed() -> None:
    assert mask_texts({"a": ["for Mei-Hua", 5, None], "Mei-Hua": True}, ["Mei-Hua"], "#") == {
        "a": ["for #", 5, None],
        "Mei-Hua": True,
    }


def test_the_personal_values_of_a_run_come_from_its_request_and_results() -> None:
    marks = Marks(personal_paths(Contact), {"greet": parse_personal("card"), "note": parse_personal(True)})
    found = marks.values({"phone": "138", "city": "X"}, {"greet": {"card": {"a": 1, "b": True}}, "note": "N", "x": "Y"})
    assert found == {"138", "1", "N"}
    assert marks
    assert not Marks()
