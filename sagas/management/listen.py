"""``manage.py sagas listen NAME``: gives RabbitMQ's events to one of the project's listeners."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas import listeners
from sagas.messaging import consumer


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("listener", help="Its name, as in sagas.on_event(name, …).")


def run(out: OutputWrapper, *, listener: str, **_: Any) -> None:
    """Listen until SIGTERM. What the listener raises ends the process; its supervisor starts it again."""
    known = {one.name: one for one in listeners.all_listeners()}
    if listener not in known:
        msg = f"no listener is called {listener}; there are: {', '.join(sorted(known)) or 'none'}"
        raise CommandError(msg)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: stopping.append(got))
    one = known[listener]
    out.write(f"{listener} listens to {', '.join(one.patterns)}; SIGTERM ends it")
    out.flush()
    consumer.listen(one.name, one.patterns, one.function, should_stop=lambda: bool(stopping))
