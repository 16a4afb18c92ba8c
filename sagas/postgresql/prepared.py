"""Prepared statements: a session plans a long statement once, and not at every execution.

Planning a statement that writes four tables takes PostgreSQL longer than executing it. The statement is prepared by SQL
(``PREPARE`` and ``EXECUTE``), which both drivers send as they send any other text.

Through a pooler that gives each transaction another session (PgBouncer in transaction mode) nothing is prepared; see
``sessions.is_pooled``. Through one that was not recognised, a statement may be executed in a session that has not
prepared it. PostgreSQL refuses that before it does anything, so the statement is sent as it is, and this process
prepares no more. A statement's name is a digest of its text: in whichever session a name exists, it is the same
statement. One that PostgreSQL refuses because a migration has changed its tables is prepared anew.

Inside a transaction a refused ``EXECUTE`` would break the transaction. There statements are prepared only with
``"prepares": True`` in the ``OPTIONS`` of the database, which says that its sessions are the process's own.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from sagas import runtime
from sagas.db import is_outdated, sqlstate

#: Statements about more rows are planned for their number each time.
FEW = 16
#: The number of rows of a statement whose plan for a few is as good for many: one look by an index for each row, and
#: joins by hash of what it was given. Its planning is up to a third of what it costs for 200 rows.
ANY = 0
#: Seconds for which a statement is kept. Its plan is of when the tables were as large as then: a shop that begins would
#: read them whole for ever, because they were empty.
LASTS = 10.0

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?s|%%")
#: The session has no statement of this name; it has one already. So it is not the process's own.
_NOT_OWN = frozenset({"26000", "42P05"})


@dataclass(frozen=True, slots=True)
class _Statement:
    name: str
    prepare: str
    execute: str


@lru_cache(maxsize=512)
def _statement(sql: str) -> _Statement:
    name = f"sagas_{sha256(sql.encode()).hexdigest()[:16]}"
    arguments: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        # One without a name is another one each time.
        argument = found[1] or str(len(arguments))
        arguments.setdefault(argument, found[0])
        return f"${list(arguments).index(argument) + 1}"

    body = _PLACEHOLDER.sub(number, sql)
    return _Statement(name, f"PREPARE {name} AS {body}", f"EXECUTE {name} ({', '.join(arguments.values())})")


def prepares_few(database: BaseDatabaseWrapper) -> bool:
    """Whether statements about a few rows are prepared in a database's transactions, too."""
    options = database.settings_dict["OPTIONS"]
    return runtime.memory.prepares and bool(options.get("prepares")) and not options.get("server_side_binding")


def execute(
    cursor: CursorWrapper, sql: str, params: Mapping[str, Any] | Sequence[Any], *, rows: int | None = None
) -> None:
    """Execute a statement as one that its session has prepared, where that is possible; otherwise as it is.

    A session that does not know a statement has lost what was prepared, or is not the process's own. Outside a
    transaction the statement is then sent as it is; inside, the transaction is rolled back as after a collision. In
    both cases this process prepares no more.

    Args:
        cursor: Django's cursor.
        sql: one statement, with at least one placeholder: ``%(name)s``, or ``%s``. Where PostgreSQL cannot infer the
            type of one, it has a cast.
        params: their values.
        rows: about how many rows it is about, or ``ANY``, of a statement of work that can be done again: it is prepared
            inside a transaction, too, if these are few. Without it, a statement is prepared only outside a transaction.
    """
    database = cursor.db
    options = database.settings_dict["OPTIONS"]
    is_alone = database.get_autocommit() and not database.in_atomic_block
    may = is_alone if rows is None else rows <= FEW and options.get("prepares")
    if not may or not runtime.memory.prepares or options.get("server_side_binding"):
        cursor.execute(sql, params)
        return
    statement = _statement(sql)
    try:
        _prepare(cursor, statement)
        cursor.execute(statement.execute, params)
    except Error as error:
        if not (_is_refused(error, cursor, statement) and is_alone):
            raise
        cursor.execute(sql, params)


def _prepare(cursor: CursorWrapper, statement: _Statement) -> None:
    """Prepare a statement in the cursor's session, unless that was done lately."""
    sessions: WeakKeyDictionary[Any, dict[str, float]] = runtime.own.prepared
    session = cursor.db.connection
    prepared = sessions.get(session)
    if prepared is None:
        prepared = sessions[session] = {}
    now, since = time.monotonic(), prepared.get(statement.name)
    if since is not None:
        if now < since + LASTS:
            return
        cursor.execute(f"DEALLOCATE {statement.name}")
        del prepared[statement.name]
    cursor.execute(statement.prepare)
    prepared[statement.name] = now


def _is_refused(error: Error, cursor: CursorWrapper, statement: _Statement) -> bool:
    """Return whether a statement was not executed because of how it was prepared, and learn from that."""
    if sqlstate(error) in _NOT_OWN:
        runtime.memory.prepares = False
    elif is_outdated(error) and (prepared := runtime.own.prepared.get(cursor.db.connection)):
        prepared[statement.name] = -math.inf
    else:
        return False
    return True
