"""What is seen of an SQL text: a COMMIT in any clothes, and none where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sagas.postgresql.statements import ends_transaction, only_reads, writes


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
def test_a_statement_that_ends_a_transaction_is_recognized(sql: str) -> None:
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
def test_a_statement_that_does_not_end_a_transaction_is_recognized(sql: str) -> None:
    assert not ends_transaction(sql)


@pytest.mark.parametrize(
    "sql",
    ["-- audit\nINSERT INTO a VALUES (1)", "WITH b AS (DELETE FROM a) SELECT 1", "SELECT 1 INTO a", "SELECT 1; DROP a"],
)
def test_a_writing_statement_is_recognized(sql: str) -> None:
    assert writes(sql)


@pytest.mark.parametrize("sql", ["SELECT 'INSERT INTO a'", "WITH b AS (SELECT 1) SELECT * FROM b", "SHOW timezone"])
def test_a_statement_that_does_not_write_is_recognized(sql: str) -> None:
    assert not writes(sql)


READS = [
    "SELECT 1",
    "  -- look\n/* and /* look */ */ ( ( select 1 ) )",
    "VALUES (1)",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "WITH a AS (SELECT 'please DELETE') SELECT * FROM a -- UPDATE nothing",
    "SELECT 1 FROM a FOR UPDATE",
    'SAVEPOINT "s1"',
    'RELEASE SAVEPOINT "s1"',
    'ROLLBACK TO SAVEPOINT "s1"',
    "SELECT 1; SELECT 2;",
    "SELECT E'it\\'s; DROP a', $x$ ; DROP b $x$",
    "",
]
OTHERS = [
    "INSERT INTO a VALUES (1)",
    "-- look\nUPDATE a SET b = 1",
    "/* SELECT */ DELETE FROM a",
    "(DELETE FROM a)",
    "WITH a AS (DELETE FROM b RETURNING 1) SELECT * FROM a",
    "WITH a AS (SELECT 1) UPDATE b SET c = 1",
    "SELECT 1; DELETE FROM a",
    "SELECT 1 INTO a",
    "TRUNCATE a",
    "NOTIFY a",
    "SET search_path = b",
    "ROLLBACK",
    "ROLLBACK; SELECT 1",
    "CALL do_it()",
    "SELECT 'never closed; DELETE FROM a",
    "/* never closed */ /* SELECT 1; DROP a",
]


@pytest.mark.parametrize("sql", READS)
def test_a_read_only_statement_is_recognized(sql: str) -> None:
    assert only_reads(sql)


@pytest.mark.parametrize("sql", OTHERS)
def test_a_statement_that_may_write_is_not_read_only(sql: str) -> None:
    assert not only_reads(sql)


LONG: dict[str, Callable[[int], str]] = {
    "comments": lambda n: "/* a */ " * n,
    "comments without blanks": lambda n: "/**/" * n,
    "line comments": lambda n: "-- a\n" * n,
    "blanks": lambda n: " " * n,
    "brackets": lambda n: "(" * n,
    "blanks and brackets": lambda n: "( " * n,
    "comments that are never closed": lambda n: "/* " * n,
    "comments that are never opened": lambda n: "*/ " * n,
    "nested comments": lambda n: "/* " * n + "*/ " * n,
    "quotes": lambda n: "'" * (2 * n + 1),
    "quotes that are never closed": lambda n: "'" + "''" * n,
    "escapes that are never closed": lambda n: "E'" + "\\'" * n,
    "texts": lambda n: "'a' " * n,
    "names": lambda n: '"a" ' * n,
    "names that are never closed": lambda n: '"' + '""' * n,
    "dollars that are never closed": lambda n: " ".join(f"$a{i}$" for i in range(n)),
    "dollars": lambda n: "$$a$$ " * n,
    "statements": lambda n: "SELECT 1; " * n,
    "selects": lambda n: "WITH a AS (" + "SELECT " * n,
    "withs": lambda n: "WITH " * n,
    "letters": lambda n: "a" * n,
}


@pytest.mark.parametrize("begin", LONG.values(), ids=LONG)
def test_a_statement_with_any_prefix_is_classified_in_linear_time(begin: Callable[[int], str]) -> None:
    def taken(n: int) -> float:
        sql = "".join((begin(n), "UPDATE a SET b = 1"))
        began = time.process_time()
        for judge in (only_reads, writes, ends_transaction):
            judge(sql)
        return time.process_time() - began

    # Ten times as much takes ten times as long, and not a hundred times; what a busy machine adds is little of it.
    short, long = min(taken(1_000) for _ in range(3)), min(taken(10_000) for _ in range(3))
    assert long < 40 * short + 0.05


def test_a_write_after_comments_is_recognized() -> None:
    assert not only_reads("/* a */ " * 50 + "UPDATE a SET b = 1")
    assert not only_reads("/* a */" * 5_000 + "UPDATE a SET b = 1")
    assert only_reads("/* a */" * 5_000 + "SELECT 1")
