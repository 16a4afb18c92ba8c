"""A JSON text is read in Python as PostgreSQL would give it back."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagas.serialization import as_stored, dump_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé", max_size=4), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.django_db
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values)
def test_a_result_is_read_as_the_database_stores_it(value: object) -> None:
    text = dump_json(value)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [text])
        stored = json.loads(cursor.fetchone()[0])
    # As text, in which 1 and 1.0 differ, and the order of names counts.
    assert json.dumps(as_stored(text)) == json.dumps(stored)
