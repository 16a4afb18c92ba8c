"""Write ``before``: two databases with runs in every live state, and the messages that are in RabbitMQ then.

The earlier version of the engine runs this: copy this folder into its ``tests``, then ``PYTHONPATH=scripts python -m
tests.upgrade.make``. It starts servers of its own and stops them.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any
from urllib.parse import urlsplit

from private_services import programs

from tests.upgrade import BEFORE

_NOT_DATA = ("django_content_type", "auth_permission")


def main() -> None:
    """Write it, on servers of its own."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="tests.settings",
        UPGRADE_MAKING="1",
        LAB_APPS="tests.upgrade",
        LAB_SAGAS=json.dumps({"LEASE": 3600, "BREAKER_WINDOWS": 1}),
        CONFIRM_WITHIN_SECONDS="3600",
        PUBLISH_EVENTS="1",
    )
    import django

    django.setup()
    from django.db import connections

    from tests.support import servers
    from tests.upgrade.runs import RunMaker
    from tests.upgrade.worker import System

    try:
        _make_databases()
        with System().running() as system:
            os.environ["UPGRADE_POINTS_URL"] = system.url
            runs = RunMaker()
            runs.make()
            written = {
                "runs": {name: [str(run_id), runs.states()[name]] for name, run_id in runs.ids.items()},
                "keys": system.asked,
                "messages": runs.messages(),
                "events": runs.events(),
            }
            BEFORE.mkdir(exist_ok=True)
            for alias in ("default", "loyalty"):
                (BEFORE / f"{alias}.sql").write_text(_dumped(alias))
            (BEFORE / "messages.json").write_text(_lines(written))
            system.may_answer.set()
    finally:
        connections.close_all()
        servers.destroy()


def _make_databases() -> None:
    from django.core.management import call_command
    from django.db import connections

    from tests.upgrade.worker import query

    names = {alias: connections[alias].settings_dict["NAME"] for alias in ("default", "loyalty")}
    with connections["default"]._nodb_cursor() as cursor:
        for name in names.values():
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if not cursor.fetchall():
                cursor.execute(f'CREATE DATABASE "{name}"')
    for alias in names:
        call_command("migrate", database=alias, verbosity=0)
        query("CREATE TABLE upgrade_effect (run_id uuid NOT NULL, name text NOT NULL)", using=connections[alias])
    query("CREATE TABLE upgrade_made (at timestamptz NOT NULL)")


def _dumped(alias: str) -> str:
    """Dump a database as plain SQL that every supported version of PostgreSQL can load without psql."""
    from django.conf import settings

    url = urlsplit(os.environ["DATABASE_URL"])
    command = [str(programs.find("pg_dump")), "--no-owner", "--no-privileges", "--no-comments", "--rows-per-insert=50"]
    command += [f"--exclude-table-data={table}" for table in _NOT_DATA]
    name = settings.DATABASES[alias]["NAME"]
    done = subprocess.run(
        [*command, url._replace(path=f"/{name}").geturl()], capture_output=True, text=True, check=True
    )
    # Without psql's own commands and without comments, which name the version.
    kept = [line for line in done.stdout.splitlines() if line and not line.startswith(("--", "\\"))]
    return "\n".join(kept) + "\n"


def _lines(written: dict[str, Any]) -> str:
    """Write JSON with a line for each run and message."""
    parts = []
    for name, part in written.items():
        left, right = "{}" if isinstance(part, dict) else "[]"
        rows = (
            [f"{json.dumps(key)}: {json.dumps(row)}" for key, row in part.items()]
            if left == "{"
            else map(json.dumps, part)
        )
        parts.append(f"{json.dumps(name)}: {left}\n" + ",\n".join(rows) + f"\n{right}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
