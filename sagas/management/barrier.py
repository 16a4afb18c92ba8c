"""``manage.py sagas barrier``: deletes the barrier rows of runs that ended long ago."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas import limits
from sagas.operations import pruning

#: In days. No message is delivered so long after its run has ended.
SHORTEST = 1.0


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--older-than", type=float, required=True, metavar="DAYS", help="How long ago their runs must have ended."
    )
    parser.add_argument("--database", help="Alias of one database; by default all that some step names.")


def run(out: OutputWrapper, *, older_than: float, database: str | None, **_: Any) -> None:
    """Delete old rows, and report their number for each database."""
    if not SHORTEST <= older_than <= limits.WAIT.days:
        msg = f"--older-than {older_than:g}: a row must outlive whatever may still be on its way; give a day or more."
        raise CommandError(msg)
    known = pruning.step_databases()
    if database is not None and database not in known:
        msg = f"no step is in the database {database!r}; there are: {', '.join(known) or 'none'}."
        raise CommandError(msg)
    if not known:
        out.write("no step is in another database: there are no barrier rows")
    for alias in [database] if database is not None else known:
        pruned = pruning.prune_barriers(alias, days=older_than)
        out.write(f"{alias}: {pruned.deleted} barrier row(s) deleted")
        if pruned.unknown:
            out.write(f"{alias}: {pruned.unknown} old run(s) are not in this engine's database; their rows were left")
