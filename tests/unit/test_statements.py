"""What is seen of an SQL text: a COMMIT in any clothes, and none where there is none."""

from __future__ import annotations

import pytest

from sagas.testing.statements import ends_transaction, writes


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT",
        " commit and chain",
        "/* done */ COMMIT",
        "/* /* in it */ COMMIT */ END",
        "-- done\nROLLBACK",
        "SELECT 1; ABORT",
        "SELECT 'it''s'; COMMIT",
        "SELECT E'it\\'s'; COMMIT",
        "SELECT $a$ ; $b$ $a$; COMMIT",
        "SELECT a$b$ FROM t; COMMIT; SELECT a$b$ FROM t",
        "BEGIN",
        "START  TRANSACTION",
        "PREPARE TRANSACTION 'x'",
        "SELECT 'never closed; COMMIT",
        "SELECT $$ never closed; COMMIT",
    ],
)
def test_a_transaction_that_is_ended(sql: str) -> None:
    assert ends_transaction(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'x; COMMIT'",
        'SELECT 1 AS "; COMMIT"',
        "SELECT E'it\\'s; COMMIT'",
        "DO $$ BEGIN PERFORM 1; END $$",
        "SELECT 1 -- ; COMMIT",
        "SELECT 1 /* ; COMMIT */",
        "ROLLBACK TO SAVEPOINT a",
        "ROLLBACK WORK TO a",
        "RELEASE SAVEPOINT a",
        "PREPARE thing AS SELECT 1",
        "SELECT committed FROM commit",
    ],
)
def test_one_that_is_not(sql: str) -> None:
    assert not ends_transaction(sql)


@pytest.mark.parametrize(
    "sql",
    ["-- audit\nINSERT INTO a VALUES (1)", "WITH b AS (DELETE FROM a) SELECT 1", "SELECT 1 INTO a", "SELECT 1; DROP a"],
)
def test_what_writes(sql: str) -> None:
    assert writes(sql)


@pytest.mark.parametrize("sql", ["SELECT 'INSERT INTO a'", "WITH b AS (SELECT 1) SELECT * FROM b", "SHOW timezone"])
def test_what_does_not(sql: str) -> None:
    assert not writes(sql)
