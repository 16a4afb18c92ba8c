"""``manage.py sagas dead`` without a broker: shows, replays or drops the events that a listener could not take.

``sagas.management.dead`` shows them too, beside RabbitMQ's dead letters: they may be left from a time without a broker.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.db import transaction

from sagas import store
from sagas.management import dead_options
from sagas.management.person import user_here
from sagas.store.outbox import DeadEvent

logger = logging.getLogger(__name__)


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("--limit", type=int, default=20, help="How many to show.")
    parser.add_argument("--id", action="append", default=[], dest="names", help="This event; repeatable.")
    add_listener(parser)
    dead_options.add_arguments(parser, replay="Give them to their listeners again.")


def add_listener(parser: CommandParser) -> None:
    parser.add_argument("--listener", default="", help="Only events of this listener.")


def run(out: OutputWrapper, *, listener: str, names: list[str], by: str, **options: Any) -> None:
    dead_options.check(names, options)
    if not (options["replay"] or options["drop"]):
        show(out, listener, names, limit=options["limit"])
        return
    done = change(out, listener, names, by=by or user_here(), drop=options["drop"])
    if missing := set(names) - done:
        msg = f"not there: {', '.join(sorted(missing))}"
        raise CommandError(msg)


def show(out: OutputWrapper, listener: str, names: Sequence[str], *, limit: int) -> None:
    """Write a line for each event that was set aside, and how many these are."""
    found = store.outbox.dead_events(listener, names, limit=limit)
    for event in found:
        out.write(line(event))
    out.write(f"{len(found)} event(s) shown")


def change(out: OutputWrapper, listener: str, names: Sequence[str], *, by: str, drop: bool) -> set[str]:
    """Replay, or drop, events that were set aside in this database; return their ids."""
    what = "dropped" if drop else "replayed"
    with transaction.atomic():
        done = (store.outbox.drop_dead if drop else store.outbox.replay_dead)(listener, names)
        # Before the commit: after a drop the log is the only record of it.
        for name, event_id in done:
            logger.warning("sagas: event %s of listener %s: %s by %s", event_id, name, what, by)
    store.workers.kick()
    for name, event_id in done:
        out.write(f"{name} {event_id}")
    out.write(f"{len(done)} event(s) {what}")
    return {event_id for _, event_id in done}


def line(event: DeadEvent) -> str:
    """An event as one line of JSON."""
    return json.dumps(
        {
            "listener": event.listener,
            "id": event.event_id,
            "event": event.routing_key,
            "key": event.business_key,
            "at": event.dead_at.isoformat(),
            "attempts": event.attempt,
            "error": event.error,
        },
        ensure_ascii=False,
    )
