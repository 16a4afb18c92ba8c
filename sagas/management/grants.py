"""``manage.py sagas grants``: prints or applies what the application's role may do in the database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from sagas.operations import grants


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--role", required=True, help="The role as which the application connects; it must exist.")
    parser.add_argument(
        "--database", default=DEFAULT_DB_ALIAS, choices=list(connections), help="Alias of the database."
    )
    parser.add_argument("--erases", action="store_true", help="Let the role erase personal data (sagas.erase), too.")
    parser.add_argument("--prunes", action="store_true", help="Let the role delete old runs (SAGAS['PRUNE']), too.")
    parser.add_argument("--apply", action="store_true", help="Carry it out, as the tables' owner; else it is printed.")


def run(out: OutputWrapper, *, role: str, database: str, erases: bool, prunes: bool, apply: bool, **_: Any) -> None:
    """Print the statements, or execute them in one transaction."""
    lines = grants.statements(role, database=database, erases=erases, prunes=prunes)
    if not apply:
        out.write("\n".join(["BEGIN;", *(f"{line};" for line in lines), "COMMIT;"]))
        return
    try:
        grants.apply(lines, database=database)
    except DatabaseError as error:
        raise CommandError(str(error).strip()) from error
    out.write(f"{role} may do in {database} what the application needs, and no more")
