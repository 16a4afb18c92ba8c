"""Arrays that are written as one literal, read back by the real database."""

from __future__ import annotations

from datetime import date
from uuid import UUID, uuid4

import pytest
from django.db import connection

from sagas.db import array, uuid_array

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", []),
        ("text", ["plain", "", "null", "NULL", "{}", "a,b", "茶", "two\nlines"]),
        ("text", ['"quoted"', "plain"]),
        ("text", ["back\\slash", "plain"]),
        ("text", ['\\"', "'", "\\\\", '","']),
        ("text", [None, "NULL", '"', "back\\slash", ""]),
        ("int", [None, 1, None]),
        ("varchar(32)", ["TEA", '"']),
        ("int", [0, -1, 2_147_483_647]),
        ("bigint", [2**62]),
        ("uuid", [UUID(int=0), UUID(int=2**128 - 1)]),
        # As the driver adapts them.
        ("date", [date(2026, 11, 30)]),
        ("bool", [True, False]),
    ],
)
def test_an_array_is_read_as_its_values(kind: str, values: list[object]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM unnest(%s::text[])".replace("text", kind), [array(values)])
        assert [value for (value,) in cursor.fetchall()] == values


def test_an_array_of_ids_is_read_as_the_ids() -> None:
    ids = [UUID(int=1), uuid4()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM unnest(%s::uuid[])", [uuid_array(ids)])
        assert [value for (value,) in cursor.fetchall()] == ids
