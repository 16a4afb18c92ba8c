"""``manage.py sagas dead``: shows, replays or drops what was set aside.

That is RabbitMQ's dead letters, and events that a listener could not take while there was no broker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas import store
from sagas.management import dead_events, dead_options
from sagas.management.person import user_here
from sagas.messaging import dead_events as replaying
from sagas.messaging import dead_letters
from sagas.messaging.app import engine_app
from sagas.messaging.dead_letters import Choice, Letter, Report

#: The most characters that are shown of a body.
_BODY = 500
#: Events at most that are replayed at once.
_ALL = 100_000


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--limit", type=int, default=20, help="How many to show.")
    parser.add_argument(
        "--id", action="append", default=[], dest="names", help="This one, by letter or id; repeatable."
    )
    dead_events.add_listener(parser)
    parser.add_argument("--queue", default="", help="Only those that came from this queue.")
    parser.add_argument("--task", default="", help="Only those of this task.")
    parser.add_argument("--reason", default="", help="Only those that are here for this reason.")
    dead_options.add_arguments(parser, replay="Publish them to the queues they came from.")


def run(out: OutputWrapper, **options: Any) -> None:
    names = options["names"]
    dead_options.check(names, options)
    # The id of an event is a run's with a position.
    letters, events = [name for name in names if ":" not in name], [name for name in names if ":" in name]
    choice = Choice(tuple(letters), options["queue"], options["task"], options["reason"])
    by = options["by"] or user_here()
    problems: list[str] = []
    # Events first: they are there too while RabbitMQ does not answer.
    if choice.queue or choice.task or choice.reason:
        problems += [f"{name}: no dead letter" for name in events]
    elif events or not names:
        problems += _events(out, options["listener"], events, by, options)
    if options["listener"]:
        problems += [f"{name}: no event" for name in letters]
    elif letters or not names:
        problems += _letters(out, choice, by, options)
    if problems:
        what = "shown" if _only_shows(options) else "dropped" if options["drop"] else "replayed"
        msg = f"not {what}: {'; '.join(problems)}"
        raise CommandError(msg)


def _events(
    out: OutputWrapper, listener: str, names: Sequence[str], by: str, options: Mapping[str, Any]
) -> Iterator[str]:
    """Do it for events in the database; say what was not done. Without any, only about those that are named."""
    found = store.outbox.dead_events(listener, names, limit=options["limit"] if _only_shows(options) else _ALL)
    if not (found or names or listener):
        return
    if _only_shows(options):
        dead_events.show(out, listener, names, limit=options["limit"])
        return
    if options["drop"]:
        done = dead_events.change(out, listener, names, by=by, drop=True)
    else:
        with engine_app().connection_for_write() as connection:
            report = replaying.replay(connection, found, by=by)
        for event in report.done:
            out.write(dead_events.line(event))
        out.write(f"{len(report.done)} event(s) replayed")
        yield from (f"{event.event_id}: {why}" for event, why in report.kept)
        done = {event.event_id for event in [*report.done, *(event for event, _ in report.kept)]}
    yield from (f"{name}: not there" for name in names if name not in done)


def _letters(out: OutputWrapper, choice: Choice, by: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Do it for dead letters; say what was not done."""
    with engine_app().connection_for_write() as connection:
        if _only_shows(options):
            letters = dead_letters.look(connection, choice, limit=options["limit"])
            for letter in letters:
                out.write(_line(letter))
            out.write(f"{len(letters)} message(s) shown")
        elif options["replay"]:
            yield from _tell(out, dead_letters.replay(connection, choice, by=by), choice, "replayed")
        else:
            yield from _tell(out, dead_letters.drop(connection, choice, by=by), choice, "dropped")


def _only_shows(options: Mapping[str, Any]) -> bool:
    return not (options["replay"] or options["drop"])


def _tell(out: OutputWrapper, report: Report, choice: Choice, what: str) -> Iterator[str]:
    for letter in report.done:
        out.write(_line(letter))
    out.write(f"{len(report.done)} message(s) {what}")
    found = [*report.done, *(letter for letter, _ in report.kept)]
    yield from (f"{letter.letter}: {why}" for letter, why in report.kept)
    yield from (f"{name}: not there" for name in choice.names if not any(letter.is_called(name) for letter in found))


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
