"""The line by which runs are found: what it may say, and where it is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagas.operations.search.line import LONGEST, MOST, BadLine, Mistake, Term, completions, parse
from sagas.states import State


def test_terms_have_their_values_and_places() -> None:
    line = 'state:compensating  age:>5m key:"ORD 1" ORD-2 attempts:<3'
    assert parse(line) == (
        Term("state", "", State.COMPENSATING, 0, 18),
        Term("age", ">", timedelta(minutes=5), 20, 27),
        Term("key", "", "ORD 1", 28, 39),
        Term("", "", "ORD-2", 40, 45),
        Term("attempts", "<", 3, 46, 57),
    )
    assert parse("  ") == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("age:<2h", timedelta(hours=2)),
        ("age:>1d", timedelta(days=1)),
        ("started:2026-12-01", datetime(2026, 12, 1, tzinfo=UTC)),
        ("started:>2026-12-01T10:00+08:00", datetime(2026, 12, 1, 2, tzinfo=UTC)),
        ("trace:4bf92f3577b34da6a3ce929d0e0e4736", UUID("4bf92f35-77b3-4da6-a3ce-929d0e0e4736")),
        ("version:3", 3),
        ('error:"timed out"', "timed out"),
        ('"state:compensating"', "state:compensating"),
    ],
)
def test_each_qualifier_reads_its_value(text: str, value: object) -> None:
    (term,) = parse(text)
    assert term.value == value


@pytest.mark.parametrize(
    ("line", "wrong", "says"),
    [
        ("state:compensated", "state:compensated", "wants a state"),
        ("ORD-1 stat:failed", "stat:failed", "Is state: meant?"),
        ("age:5", "age:5", "wants a length of time"),
        ("age:>99999999d", "age:>99999999d", "wants a length of time"),
        ("version:>3", "version:>3", "takes no >"),
        ("attempts:many", "attempts:many", "wants a number"),
        ("key:", "key:", "wants a whole business key"),
        ('key:""', 'key:""', "wants a whole business key"),
        ("trace:xyz", "trace:xyz", "wants a trace id"),
        ("started:soon", "started:soon", "wants a day"),
        ("ORD-1 a\0b", "\0", "NUL"),
    ],
)
def test_a_mistake_has_its_place(line: str, wrong: str, says: str) -> None:
    with pytest.raises(BadLine) as raised:
        parse(line)
    (mistake,) = raised.value.mistakes
    assert line[mistake.start : mistake.end] == wrong
    assert says in mistake.says


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(BadLine) as raised:
        parse("age:x ORD-1 state:y")
    assert [raised.value.line[m.start : m.end] for m in raised.value.mistakes] == ["age:x", "state:y"]


@pytest.mark.parametrize("line", ["x" * (LONGEST + 1), "x " * (MOST + 1)])
def test_a_line_has_an_end(line: str) -> None:
    with pytest.raises(BadLine):
        parse(line)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_places_in_it(line: str) -> None:
    try:
        terms = parse(line)
    except BadLine as bad:
        places: tuple[Mistake | Term, ...] = bad.mistakes
    else:
        places = terms
    assert all(0 <= place.start < place.end <= len(line) for place in places)


def test_what_is_offered_can_be_read() -> None:
    for offered in completions():
        if not offered.endswith(":"):
            assert parse(offered)
