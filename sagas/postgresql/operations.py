"""Operations for migrations of domains whose rows have holds of runs."""

from __future__ import annotations

from typing import Any

from django.db import migrations

#: SQLSTATE of the error by which ``KeepWhileUsed`` refuses: ``restrict_violation``, as for ON DELETE RESTRICT.
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
    """Make the database refuse to delete a row, or to change its key, while runs have holds of it.

    Holds have no foreign key to the row, because they are written on the hot path. Without this trigger a hold might
    lose its row, and could neither be confirmed nor cancelled. The database refuses with an ``IntegrityError`` of
    SQLSTATE ``IN_USE``.

    Args:
        table: the table's name.
        key: the column of its primary key.
        used: an SQL condition over ``OLD`` that says whether the row is in use; by default that of a ``Pool``.
    """

    def __init__(self, table: str, *, key: str, used: str = "OLD.held > 0 OR OLD.sold > 0") -> None:
        self.table, self.key, self.used = table, key, used
        names = {"table": table, "key": key, "used": used}
        super().__init__(_FORWARD.format(**names), _BACKWARD.format(**names))

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return the arguments with which a squashed migration makes the operation again."""
        return type(self).__qualname__, [self.table], {"key": self.key, "used": self.used}

    def describe(self) -> str:
        """Describe the operation for ``migrate --plan``."""
        return f"Keep rows of {self.table} while runs have a part of them"
