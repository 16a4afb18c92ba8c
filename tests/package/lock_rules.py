"""Rules for the SQL of a migration: what holds a lock for as long as a table is large, or needs more than a review.

A lock that is taken for a moment is allowed, whatever its kind: ``lock_timeout`` ends a wait for it. What scans or
rewrites a table under a lock that writers wait for is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: Tables that orders write, or that grow with them. The others have a row for a saga, a worker or a person.
HOT = {"sagas_run", "sagas_log", "sagas_confirmation", "sagas_outbox", "sagas_queuedevent", "sagas_lock", "sagas_inbox"}
HOT |= {"sagas_barrier", "sagas_tombstone", "sagas_breakersample"}

_NAME = r'"?(?P<table>\w+)"?'
#: Each with what is wrong about it.
_RULES = [
    (
        rf"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)(IF NOT EXISTS )?\"?\w+\"? ON {_NAME}",
        "an index is built without CONCURRENTLY",
    ),
    (
        rf"ALTER TABLE (ONLY )?{_NAME} .*\bADD (CONSTRAINT \S+ )?(CHECK|FOREIGN KEY)\b(?!.*NOT VALID)",
        "NOT VALID is missing",
    ),
    (
        rf"ALTER TABLE (ONLY )?{_NAME} .*\bADD (CONSTRAINT \S+ )?(UNIQUE|PRIMARY KEY|EXCLUDE)\b(?!.*USING INDEX)",
        "a constraint builds its index under the lock: build it CONCURRENTLY, and give USING INDEX",
    ),
    (rf"ALTER TABLE (ONLY )?{_NAME} .*\bALTER COLUMN \S+ (SET DATA )?TYPE\b", "a column changes its type"),
    (rf"ALTER TABLE (ONLY )?{_NAME} .*\bALTER COLUMN \S+ SET NOT NULL", "SET NOT NULL reads the table under the lock"),
    (
        rf"ALTER TABLE (ONLY )?{_NAME} .*\bADD COLUMN .*"
        r"(\b(clock_timestamp|random|nextval|gen_random_uuid|timeofday)\b|\bGENERATED\b|\b(big|small)?serial\b)",
        "a new column has a value of its own in each row, so that the table is rewritten",
    ),
    (rf"ALTER TABLE (ONLY )?{_NAME} .*\bSET (TABLESPACE|LOGGED|UNLOGGED|ACCESS METHOD)", "the table is rewritten"),
    (rf"(UPDATE|DELETE FROM) (ONLY )?{_NAME}", "rows are changed: do it in parts, in a command"),
    (
        rf"(CLUSTER|VACUUM FULL|TRUNCATE|REINDEX TABLE|LOCK)( TABLE)? (ONLY )?(?!CONCURRENTLY){_NAME}",
        "it locks the table",
    ),
]
_COMPILED = [(re.compile(pattern, re.IGNORECASE | re.DOTALL), what) for pattern, what in _RULES]
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


def broken(statements: Sequence[str], *, atomic: bool) -> Iterator[str]:
    """Yield each rule that the statements of one migration break, with the table."""
    made: set[str] = set()
    unvalidated: set[str] = set()
    for statement in statements:
        text = _COMMENT.sub("", statement).strip()
        if found := re.match(rf"CREATE TABLE {_NAME}", text, re.IGNORECASE):
            made.add(found["table"])
        # The body of a function does nothing now.
        if re.match(r"CREATE (OR REPLACE )?(FUNCTION|(CONSTRAINT )?TRIGGER)", text, re.IGNORECASE):
            continue
        for rule, what in _COMPILED:
            if (found := rule.match(text)) and found["table"] in HOT - made:
                yield f"{found['table']}: {what}"
        if found := re.match(rf"ALTER TABLE {_NAME} .*NOT VALID", text, re.IGNORECASE | re.DOTALL):
            unvalidated.add(found["table"])
        found = re.match(rf"ALTER TABLE {_NAME} VALIDATE CONSTRAINT", text, re.IGNORECASE)
        if atomic and found and found["table"] in unvalidated & HOT:
            yield f"{found['table']}: validated in the transaction that holds the lock of NOT VALID"
        if atomic and "CONCURRENTLY" in text.upper():
            yield "CONCURRENTLY in a transaction: atomic = False is missing"
