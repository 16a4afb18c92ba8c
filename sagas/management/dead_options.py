"""Options that ``manage.py sagas dead`` has with a broker and without: what is done with what is dead, and by whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser


def add_arguments(parser: CommandParser, *, replay: str) -> None:
    """Add ``--replay`` with this help, ``--drop``, ``--all``, ``--yes`` and ``--by``."""
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--replay", action="store_true", help=replay)
    doing.add_argument("--drop", action="store_true", help="Throw them away; needs --id and --yes.")
    parser.add_argument("--all", action="store_true", help="With --replay: all that the filters leave.")
    parser.add_argument("--yes", action="store_true", help="With --drop: I mean it.")
    parser.add_argument("--by", default="", help="Who does it, for the log; by default the user of this machine.")


def check(names: Collection[str], options: Mapping[str, Any]) -> None:
    """Refuse options that do not say which are meant.

    Raises:
        CommandError: what is missing.
    """
    if options["limit"] < 1:
        msg = f"--limit is {options['limit']}: show at least one"
        raise CommandError(msg)
    if options["replay"] and bool(names) is options["all"]:
        msg = "--replay: say which, with --id (repeatable), or --all"
        raise CommandError(msg)
    if options["drop"] and not names:
        msg = "--drop: say which, with --id (repeatable)"
        raise CommandError(msg)
    if options["drop"] and not options["yes"]:
        msg = "--drop throws away for good; look at what you drop, and add --yes"
        raise CommandError(msg)
