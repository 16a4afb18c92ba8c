"""``manage.py sagas archive``: writes runs that ended long ago to files, and deletes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas.management import prune
from sagas.retention import archive, pruning


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="An existing folder, for this shop only.")
    prune.add_arguments(parser)


def run(out: OutputWrapper, *, to: Path, rate: float, batch: int, dry_run: bool, **_: Any) -> None:
    """Archive and delete them, and say how many."""
    if not to.is_dir():
        msg = f"--to {to}: there is no such folder"
        raise CommandError(msg)
    if dry_run:
        prune.count(out)
        return
    try:
        done = pruning.prune(limit=batch, rate=rate, sink=archive.Archive(to).write)
    except archive.NotWritten as error:
        msg = f"{error}; what is written is complete, and the other runs are where they were"
        raise CommandError(msg) from error
    prune.report(out, done, f"written to {to} and deleted")
