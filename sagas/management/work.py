"""``manage.py sagas work``: claims and performs what is due, in processes of its own, without Celery and RabbitMQ."""

from __future__ import annotations

import argparse
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.db import connections

from sagas.conf import config
from sagas.local.supervisor import Supervisor
from sagas.requirements import migrations, server_settings, software


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--processes", type=_number, default=os.cpu_count() or 1, help="How many; by default one for each core."
    )
    parser.add_argument(
        "--queues", type=_names, default=[], help="Perform only the steps of these queues: a,b. By default of all."
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is no whole number above 0"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def run(out: OutputWrapper, *, processes: int, queues: list[str], **_: Any) -> None:
    """Work until SIGTERM."""
    if unknown := [queue for queue in queues if queue not in config().queues]:
        msg = f"--queues: there is no {', '.join(map(repr, unknown))}, only {', '.join(config().queues)}"
        raise CommandError(msg)
    if found := [*software.lacking()]:
        raise CommandError("\n".join(map(str, found)))
    if refused := server_settings.refusals(migrations.missing()):
        raise CommandError("\n".join(f"{one.what} {one.remedy} (sagas.{one.check})" for one in refused))
    connections.close_all()
    out.write(f"working in {processes} process(es) for {', '.join(queues) or 'all queues'}; SIGTERM ends them")
    out.flush()
    Supervisor(processes, queues).run()
