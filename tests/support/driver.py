"""The driver of PostgreSQL that Django uses: ``psycopg`` is psycopg 3 or psycopg2."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import is_psycopg3

#: Any: the two have what tests use under the same names, but not the same types.
psycopg: Any = base.DatabaseWrapper.Database


def cursor_of_another_class(session: Any) -> Any:
    """A cursor that does not have the class of Django's cursors."""
    if is_psycopg3:
        return psycopg.ClientCursor(session)
    from psycopg2.extras import DictCursor

    return session.cursor(cursor_factory=DictCursor)


def verbatim(text: str) -> list[Any]:
    """Parameters that become part of a statement as they are, as far as the driver has such."""
    if is_psycopg3:
        return []
    from psycopg2.extensions import AsIs

    return [AsIs(text)]
