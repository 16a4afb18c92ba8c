"""A session prepares a long statement once; where sessions change behind its back, nothing is prepared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import Error, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from sagas import runtime
from sagas.db import ErrorKind, classify_error
from sagas.postgresql import prepared

INSERT = (
    "INSERT INTO prepared_here (name, share) SELECT %(name)s::text, %(share)s::text || '%%' WHERE %(name)s::text <> ''"
)


@pytest.fixture(autouse=True)
def _table(database: None) -> Iterator[None]:
    connection.close()
    # Given a process that has learnt nothing from what others' sessions have refused
    runtime.reset()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE prepared_here (name varchar(10) PRIMARY KEY, share text)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE prepared_here")
    # The names of what was prepared by others live on in this session.
    connection.close()
    runtime.reset()


def insert(name: str) -> int:
    with connection.cursor() as cursor:
        prepared.execute(cursor, INSERT, {"name": name, "share": 5})
        return int(cursor.rowcount)


def rows() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, share FROM prepared_here ORDER BY name")
        return list(cursor.fetchall())


def sent(context: CaptureQueriesContext) -> list[str]:
    return [query["sql"].split()[0] for query in context.captured_queries]


def test_a_statement_is_prepared_once_a_session() -> None:
    with CaptureQueriesContext(connection) as context:
        assert [insert(name) for name in ("a", "b", "")] == [1, 1, 0]
    assert sent(context) == ["PREPARE", "EXECUTE", "EXECUTE", "EXECUTE"]
    assert rows() == [("a", "5%"), ("b", "5%")]
    # A new session has not prepared it
    connection.close()
    with CaptureQueriesContext(connection) as context:
        assert insert("c") == 1
    assert sent(context) == ["PREPARE", "EXECUTE"]


def test_in_a_transaction_a_statement_is_sent_as_it_is() -> None:
    with CaptureQueriesContext(connection) as context, transaction.atomic():
        assert insert("a") == 1
    assert "EXECUTE" not in sent(context)
    assert rows() == [("a", "5%")]


def test_a_session_that_has_lost_its_statements_gets_them_as_they_are() -> None:
    insert("a")
    # Given a pooler that has exchanged the session
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    # When
    assert insert("b") == 1
    # Then it was inserted once, and this process prepares no more
    assert rows() == [("a", "5%"), ("b", "5%")]
    with CaptureQueriesContext(connection) as context:
        assert insert("c") == 1
    assert sent(context) == ["INSERT"]


def test_a_session_that_has_the_statement_already_gets_it_as_it_is() -> None:
    insert("a")
    # Given a pooler that has given the session of another client, which has prepared it
    runtime.own.prepared.clear()
    assert insert("b") == 1
    assert rows() == [("a", "5%"), ("b", "5%")]


def test_an_error_of_the_statement_is_raised_and_the_statement_stays_prepared() -> None:
    insert("a")
    with pytest.raises(IntegrityError):
        insert("a")
    assert insert("b") == 1
    assert runtime.memory.prepares


ALL = "SELECT * FROM prepared_here WHERE name = %(name)s"


def share_as(kind: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE prepared_here ALTER share TYPE {kind} USING share::{kind}")


def test_a_statement_whose_table_was_migrated_is_sent_as_it_is_once_and_prepared_anew() -> None:
    def read() -> list[str]:
        with CaptureQueriesContext(connection) as context, connection.cursor() as cursor:
            prepared.execute(cursor, ALL, {"name": "a"})
            assert len(cursor.fetchall()) == 1
        return sent(context)

    insert("a")
    assert read() == ["PREPARE", "EXECUTE"]
    # Given a migration beside it
    share_as("varchar(50)")
    # Then
    assert read() == ["EXECUTE", "SELECT"]
    assert read() == ["DEALLOCATE", "PREPARE", "EXECUTE"]
    assert read() == ["EXECUTE"]


def test_a_value_that_is_too_long_is_refused_and_not_cut() -> None:
    with pytest.raises(Exception, match="too long"):
        insert("a" * 11)
    assert rows() == []


# -- A few rows, inside a transaction ---------------------------------------------------------------------------------

ADD = "INSERT INTO prepared_here (name, share) SELECT name, %s FROM unnest(%s::text[]) AS v(name)"


@pytest.fixture
def prepares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {**connection.settings_dict["OPTIONS"], "prepares": True})
    connection.close()


def add(*names: str, about: int | None = None) -> list[str]:
    """Add rows in a transaction; return the first words of the statements."""
    rows = len(names) if about is None else about
    with CaptureQueriesContext(connection) as sent, transaction.atomic(), connection.cursor() as cursor:
        prepared.execute(cursor, ADD, ["5", list(names)], rows=rows)
    return [query["sql"].split()[0] for query in sent if "prepared_here" in query["sql"] or "EXECUTE" in query["sql"]]


def test_a_statement_about_a_few_rows_is_prepared_inside_a_transaction(prepares: None) -> None:
    assert add("a", "b") == ["PREPARE", "EXECUTE"]
    assert add("c") == ["EXECUTE"]
    assert [name for name, _ in rows()] == ["a", "b", "c"]


def test_its_rows_are_found_by_an_index_in_a_table_of_a_thousand(prepares: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO prepared_here SELECT n, repeat('x', 60) FROM generate_series(1, 1000) AS n")
        cursor.execute("ANALYZE prepared_here")
        cursor.execute("PREPARE a_few AS SELECT * FROM prepared_here WHERE name = ANY($1::varchar[])")
        cursor.execute("EXPLAIN EXECUTE a_few ('{1,2}')")
        assert "Seq Scan" not in str(cursor.fetchall())
        cursor.execute("DEALLOCATE a_few")


def test_it_is_prepared_anew_after_a_while_because_tables_grow(prepares: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert add("a") == ["PREPARE", "EXECUTE"]
    monkeypatch.setattr(prepared, "LASTS", 0.0)
    assert add("b") == ["PREPARE", "EXECUTE"]
    monkeypatch.setattr(prepared, "LASTS", 60.0)
    assert add("c") == ["EXECUTE"]
    assert [name for name, _ in rows()] == ["a", "b", "c"]


def test_one_about_many_rows_is_planned_for_them(prepares: None) -> None:
    assert add(*(str(number) for number in range(prepared.FEW + 1))) == ["INSERT"]


def test_one_whose_plan_is_the_same_for_any_number_is_prepared(prepares: None) -> None:
    assert add(*(str(number) for number in range(prepared.FEW + 1)), about=prepared.ANY) == ["PREPARE", "EXECUTE"]


def test_nothing_is_prepared_inside_a_transaction_by_default() -> None:
    assert add("a") == ["INSERT"]


def test_what_the_session_has_forgotten_counts_as_a_collision_and_is_sent_as_it_is_from_then_on(prepares: None) -> None:
    # Given a session that is another one than was thought, as behind PgBouncer
    add("a")
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    # When
    with pytest.raises(Error) as caught:
        add("b")
    # Then the engine does the same again
    assert classify_error(caught.value) is ErrorKind.COLLISION
    assert add("b") == ["INSERT"]
    assert [name for name, _ in rows()] == ["a", "b"]


def test_one_whose_table_was_migrated_counts_as_a_collision_and_is_prepared_anew(prepares: None) -> None:
    def read() -> int:
        with transaction.atomic(), connection.cursor() as cursor:
            prepared.execute(cursor, "SELECT * FROM prepared_here WHERE name = %s", ["a"], rows=1)
            return len(cursor.fetchall())

    add("a")
    assert read() == 1
    # Given a migration beside it
    share_as("varchar(50)")
    # When
    with pytest.raises(Error) as caught:
        read()
    # Then the engine does the same again
    assert classify_error(caught.value) is ErrorKind.COLLISION
    assert read() == 1
    assert runtime.memory.prepares
