"""Operations for the migrations of domains whose rows runs hold a part of."""

from __future__ import annotations

from typing import Any

from django.db import migrations

#: SQLSTATE of what ``KeepWhileUsed`` refuses: ``restrict_violation``, as of a foreign key with ON DELETE RESTRICT.
IN_USE = "23001"

_FORWARD = """
CREATE FUNCTION {table}_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of {table} is in use: %', OLD.{key} USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER {table}_keep BEFORE DELETE ON {table}
    FOR EACH ROW WHEN ({used}) EXECUTE FUNCTION {table}_keep();
-- Holds name it by its key.
CREATE TRIGGER {table}_keep_key BEFORE UPDATE OF {key} ON {table}
    FOR EACH ROW WHEN (OLD.{key} IS DISTINCT FROM NEW.{key} AND ({used})) EXECUTE FUNCTION {table}_keep();
"""

_BACKWARD = """
DROP TRIGGER {table}_keep_key ON {table};
DROP TRIGGER {table}_keep ON {table};
DROP FUNCTION {table}_keep();
"""


class KeepWhileUsed(migrations.RunSQL):
    """Have the database refuse to delete a row, or to change its key, while runs have a part of it.

    Holds name pool rows without a foreign key, for they are written on the hot path. Without this, a hold whose row is
    gone could neither be confirmed nor given back.

    Args:
        table: whose rows.
        key: column of its primary key.
        used: SQL of what is in use, over ``OLD``; by default that of a ``Pool``. An error is an ``IntegrityError`` of
            SQLSTATE ``IN_USE``.
    """

    def __init__(self, table: str, *, key: str, used: str = "OLD.held > 0 OR OLD.sold > 0") -> None:
        self.table, self.key, self.used = table, key, used
        names = {"table": table, "key": key, "used": used}
        super().__init__(_FORWARD.format(**names), _BACKWARD.format(**names))

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Tell how it is made anew, for squashed migrations."""
        return type(self).__qualname__, [self.table], {"key": self.key, "used": self.used}

    def describe(self) -> str:
        """Say what it does, for ``migrate --plan``."""
        return f"Keep rows of {self.table} while runs have a part of them"
