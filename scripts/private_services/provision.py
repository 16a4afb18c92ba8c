"""Provide the servers' programs: install them if allowed, fetch PostgreSQL's otherwise; say how to get the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from private_services import apt
from private_services.console import say
from private_services.programs import Missing
from private_services.server import Server

_ADVICE: Final = """\
{reasons}

Install what is missing:
  Debian, Ubuntu   sudo apt-get update && sudo apt-get install --no-install-recommends {packages}
  Fedora           sudo dnf install postgresql-server rabbitmq-server redis
  macOS            brew install postgresql@16 rabbitmq redis

Or use containers, and tell where they are:
  docker compose -f deploy/compose.yaml up -d --wait
  export DATABASE_URL=postgresql://drinkgroup:drinkgroup@127.0.0.1:5432/drinkgroup
  export RABBITMQ_URL=amqp://drinkgroup:drinkgroup@127.0.0.1:5672//
  export REDIS_URL=redis://:drinkgroup@127.0.0.1:6379/0"""


def provide(servers: Sequence[Server], log: Path) -> None:
    """Find the programs of these servers, and install missing ones.

    Raises:
        Missing: some are missing, and we may not install them; the text says what to do.
        Failure: the installation failed.
    """
    missing = _locate(servers)
    if any(server.installable for server in missing) and apt.can_install():
        with apt.alone():
            # Another process may have installed them during the wait.
            missing = _locate(servers)
            if packages := [server.package for server in missing if server.installable]:
                say(f"installing {', '.join(packages)} (a minute or two)")
                apt.install(packages, log)
                missing = _locate(servers)
    # Nothing is fetched in vain.
    if all(server.fetchable for server in missing):
        for server in missing:
            server.fetch()
            server.locate()
    else:
        reasons = {server.package: str(reason) for server, reason in missing.items() if not server.fetchable}
        raise Missing(_ADVICE.format(reasons="\n".join(reasons.values()), packages=" ".join(reasons)))


def _locate(servers: Sequence[Server]) -> dict[Server, Missing]:
    """Let each server find its programs; return those that could not."""
    missing = {}
    for server in servers:
        try:
            server.locate()
        except Missing as reason:
            missing[server] = reason
    return missing
