"""``manage.py sagas restored``: the first command after the database was restored from an older copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas.conf import config
from sagas.management.person import user_here
from sagas.operations import restoring
from sagas.requirements import extras

#: The most messages that are shown. The report has all of them.
_SHOWN = 20


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--grace", type=float, default=900.0, metavar="SECONDS", help="How long nothing is undone for being too late."
    )
    parser.add_argument("--report", type=Path, help="A file for all that messages know, one JSON line each.")
    parser.add_argument("--by", default=f"manage.py {user_here()}", help="Who does it, for the record.")


def run(out: OutputWrapper, *, grace: float, report: Path | None, by: str, **_: Any) -> None:
    """Hold back deadlines and time-outs, and list messages about runs that the database does not have."""
    if not grace > 0:
        msg = f"--grace {grace:g}: give seconds, above 0"
        raise CommandError(msg)
    held = restoring.hold(grace=grace, by=by)
    out.write(
        f"{held.runs} run(s) are held until {held.until:%Y-%m-%d %H:%M:%S %Z}: no deadline and no time-out turns them "
        f"back before; {held.before} were held already"
    )
    if config().broker is None:
        return
    if lack := extras.celery():
        msg = f"messages were not looked at. {lack}"
        raise CommandError(msg)
    # Without a broker Celery need not be installed.
    from sagas.messaging.app import engine_app  # noqa: PLC0415

    with engine_app().connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=5)
        if consuming := restoring.consumers(broker):
            msg = f"{consuming} consumer(s) take messages: stop the workers, and repeat this to see what messages know"
            raise CommandError(msg)
        found = list(restoring.strays(broker))
    lines = [
        json.dumps({"queue": s.queue, "task": s.task, "saga": s.saga, "runs": [str(run) for run in s.runs]})
        for s in found
    ]
    if report is not None:
        report.write_text("".join(f"{line}\n" for line in lines))
    for line in lines[:_SHOWN]:
        out.write(line)
    unknown = {run for stray in found for run in stray.runs}
    out.write(f"{len(found)} message(s) name {len(unknown)} run(s) that this database does not know")
    if unknown:
        out.write("See docs/how-to/restore.md: ask the payment provider and the customers about them.")
