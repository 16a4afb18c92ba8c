"""A transaction of the engine begins with its first statement, and is like any other in all else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError, OperationalError, ProgrammingError, connection, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from sagas.postgresql.transactions import Transaction

pytestmark = pytest.mark.skipif(is_psycopg3, reason="psycopg 3 begins its transactions itself")

Patch = pytest.MonkeyPatch
IDLE, OPEN = 0, 2


@pytest.fixture(autouse=True)
def _table(database: None) -> Iterator[None]:
    execute("CREATE TABLE written_here (number int PRIMARY KEY CHECK (number > 0))")
    yield
    connection.close()
    execute("DROP TABLE written_here")


def execute(sql: str, *params: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        return list(cursor.fetchall()) if cursor.description else []


def write(number: int) -> None:
    execute("INSERT INTO written_here VALUES (%s)", number)


def written() -> list[int]:
    return [number for (number,) in execute("SELECT number FROM written_here ORDER BY number")]


def stands() -> int:
    """How the session's transaction stands."""
    status: int = connection.connection.get_transaction_status()
    return status


def test_it_begins_with_its_first_statement() -> None:
    connection.ensure_connection()
    with Transaction():
        # The driver would send BEGIN by itself, and wait for the answer
        assert connection.connection.autocommit
        assert stands() == IDLE
        write(1)
        assert stands() == OPEN
        (sent,) = execute("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        assert not sent[0].startswith("BEGIN")
    assert stands() == IDLE
    assert written() == [1]


def test_begin_and_the_first_statement_are_one_message() -> None:
    with Transaction():
        (sent,) = execute("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        assert sent[0].startswith("BEGIN; SELECT query")


def test_an_error_takes_all_of_it_back() -> None:
    with pytest.raises(DataError), Transaction():
        write(1)
        execute("SELECT 1 / 0")
    assert stands() == IDLE
    assert written() == []


def test_so_does_an_error_of_the_first_statement() -> None:
    with pytest.raises(DataError), Transaction():
        execute("SELECT 1 / 0")
    assert stands() == IDLE


def test_a_block_without_statements_sends_nothing() -> None:
    with Transaction():
        pass
    assert stands() == IDLE


def test_a_text_that_is_no_sql_does_not_let_the_next_statement_out_of_the_transaction() -> None:
    with pytest.raises(DataError), Transaction():
        with pytest.raises(ProgrammingError):
            execute("SELEKT 1")
        write(1)
        assert stands() == OPEN
        execute("SELECT 1 / 0")
    assert written() == []


def test_savepoints_are_part_of_it() -> None:
    with Transaction():
        with pytest.raises(DataError), transaction.atomic():
            write(1)
            execute("SELECT 1 / 0")
        with transaction.atomic():
            write(2)
    assert written() == [2]


def test_a_rollback_that_was_asked_for() -> None:
    with Transaction():
        write(1)
        transaction.set_rollback(True)
    assert written() == []


def test_what_is_called_after_the_commit_is_not_called_after_a_rollback() -> None:
    called: list[str] = []
    with Transaction():
        write(1)
        transaction.on_commit(lambda: called.append("committed"))
    with pytest.raises(DataError), Transaction():
        transaction.on_commit(lambda: called.append("rolled back"))
        execute("SELECT 1 / 0")
    assert called == ["committed"]


def test_it_is_no_part_of_another() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"), Transaction():
        pass
    # And the next one of the application begins as it does otherwise
    with transaction.atomic():
        assert not connection.connection.autocommit
        write(1)
    assert written() == [1]


def test_what_uses_the_driver_directly_is_part_of_it() -> None:
    with pytest.raises(DataError), Transaction():
        with connection.connection.cursor() as cursor:
            cursor.execute("INSERT INTO written_here VALUES (%s)", [1])
        execute("SELECT 1 / 0")
    assert written() == []


def test_a_cursor_of_the_server_may_be_the_first_statement() -> None:
    write(1)
    with Transaction():
        with connection.chunked_cursor() as cursor:
            cursor.execute("SELECT number FROM written_here")
            assert cursor.fetchall() == [(1,)]
        assert stands() == OPEN
        write(2)
    assert written() == [1, 2]


def test_a_constraint_that_is_checked_at_the_commit_rolls_back() -> None:
    execute("ALTER TABLE written_here ADD UNIQUE (number) DEFERRABLE INITIALLY DEFERRED")
    execute("ALTER TABLE written_here DROP CONSTRAINT written_here_pkey")
    with pytest.raises(Exception, match="duplicate key"), Transaction():
        write(1)
        write(1)
    assert stands() == IDLE
    assert written() == []


def test_a_session_that_is_lost_raises_and_the_next_one_is_whole() -> None:
    with pytest.raises(OperationalError), Transaction():
        write(1)
        execute("SELECT pg_terminate_backend(pg_backend_pid())")
    connection.close()
    with Transaction():
        write(2)
    assert written() == [2]


def test_a_session_that_is_lost_before_the_first_statement_raises() -> None:
    connection.ensure_connection()
    with pytest.raises(OperationalError), Transaction():
        execute("SELECT pg_terminate_backend(pg_backend_pid())")
    connection.close()
    assert written() == []


def test_an_exception_that_comes_instead_of_the_commit_takes_the_transaction_back(monkeypatch: Patch) -> None:
    # Given a signal, of a time limit say, whose handler raises before COMMIT is sent
    class TimeUp(Exception):
        pass

    def stop(_: str) -> bool:
        raise TimeUp

    connection.ensure_connection()
    with pytest.raises(TimeUp), Transaction():
        write(1)
        monkeypatch.setattr(connection, "_end", stop)
    monkeypatch.undo()
    # Then what follows is no part of it
    connection.close()
    write(2)
    assert written() == [2]


def test_a_connection_that_is_closed_inside_leaves_nothing_behind() -> None:
    with Transaction():
        write(1)
        connection.close()
    assert written() == []
    with Transaction():
        write(2)
    assert written() == [2]
