"""``manage.py sagas dead``: shows, replays or drops dead letters."""

from __future__ import annotations

import getpass
import json
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas.messaging import dead_letters
from sagas.messaging.app import engine_app
from sagas.messaging.dead_letters import Choice, Letter, Report

#: The most characters that are shown of a body.
_BODY = 500


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--limit", type=int, default=20, help="How many to show.")
    parser.add_argument(
        "--id", action="append", default=[], dest="names", help="This one, by letter or id; repeatable."
    )
    parser.add_argument("--queue", default="", help="Only those that came from this queue.")
    parser.add_argument("--task", default="", help="Only those of this task.")
    parser.add_argument("--reason", default="", help="Only those that are here for this reason.")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--replay", action="store_true", help="Publish them to the queues they came from.")
    doing.add_argument("--drop", action="store_true", help="Throw them away; needs --id and --yes.")
    parser.add_argument("--all", action="store_true", help="With --replay: all that the filters leave.")
    parser.add_argument("--yes", action="store_true", help="With --drop: I mean it.")
    parser.add_argument("--by", default="", help="Who does it, for the log; by default the user of this machine.")


def run(out: OutputWrapper, **options: Any) -> None:
    choice = Choice(tuple(options["names"]), options["queue"], options["task"], options["reason"])
    _check(choice, options)
    with engine_app().connection_for_write() as connection:
        if not (options["replay"] or options["drop"]):
            letters = dead_letters.look(connection, choice, limit=options["limit"])
            for letter in letters:
                out.write(_line(letter))
            out.write(f"{len(letters)} message(s) shown")
            return
        by = options["by"] or _user()
        if options["replay"]:
            _tell(out, dead_letters.replay(connection, choice, by=by), choice, "replayed")
        else:
            _tell(out, dead_letters.drop(connection, choice, by=by), choice, "dropped")


def _check(choice: Choice, options: dict[str, Any]) -> None:
    if options["limit"] < 1:
        msg = f"--limit is {options['limit']}: show at least one"
        raise CommandError(msg)
    if options["replay"] and bool(choice.names) is options["all"]:
        msg = "--replay: say which, with --id (repeatable), or --all"
        raise CommandError(msg)
    if options["drop"] and not choice.names:
        msg = "--drop: say which, with --id (repeatable)"
        raise CommandError(msg)
    if options["drop"] and not options["yes"]:
        msg = "--drop throws away for good; look at what you drop, and add --yes"
        raise CommandError(msg)


def _tell(out: OutputWrapper, report: Report, choice: Choice, what: str) -> None:
    for letter in report.done:
        out.write(_line(letter))
    out.write(f"{len(report.done)} message(s) {what}")
    found = [*report.done, *(letter for letter, _ in report.kept)]
    missing = [name for name in choice.names if not any(letter.is_called(name) for letter in found)]
    problems = [f"{letter.letter}: {why}" for letter, why in report.kept] + [f"{name}: not there" for name in missing]
    if problems:
        msg = f"not {what}: {'; '.join(problems)}"
        raise CommandError(msg)


def _line(letter: Letter) -> str:
    return json.dumps(
        {
            "letter": letter.letter,
            "at": letter.died_at.isoformat() if letter.died_at else None,
            "from": letter.queue,
            "reason": letter.reason,
            "deaths": letter.deaths,
            "task": letter.task,
            "id": letter.task_id,
            "body": letter.body[:_BODY],
        },
        ensure_ascii=False,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may have no name.
        return "somebody"
