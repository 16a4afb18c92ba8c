"""Which servers a run uses: those that are given, those on this machine, and those that root may install.

PostgreSQL is always there, because a wheel has its programs. Without RabbitMQ, ``manage.py sagas work`` performs the
orders; without Redis nothing is missing that the shop needs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from private_services import apt
from private_services.cli import SERVERS
from private_services.console import Failure
from private_services.instance import Instance
from private_services.postgres import Postgres
from private_services.programs import Missing
from private_services.server import Server

#: What the others would add, by the server's name.
_ADDS: Final = {
    "rabbitmq": "RabbitMQ adds Celery workers, and events for other systems",
    "redis": "Redis adds limits of each client's requests",
}
_TITLES: Final = {"postgres": "PostgreSQL", "rabbitmq": "RabbitMQ", "redis": "Redis"}


@dataclass(frozen=True)
class Choice:
    """The servers of one run.

    Attributes:
        names: those that it uses, whether they are given or private.
        embedded: whether PostgreSQL's programs must be those of the wheel.
    """

    names: tuple[str, ...]
    embedded: bool = False

    @property
    def has_broker(self) -> bool:
        """Whether Celery workers perform the orders."""
        return "rabbitmq" in self.names

    @property
    def absent(self) -> tuple[str, ...]:
        """Those that this run does without."""
        return tuple(name for name in SERVERS if name not in self.names)

    def urls(self, known: dict[str, str]) -> dict[str, str]:
        """Return the URLs for web and workers: an empty one says that there is no such server."""
        return {
            kind.variable: known.get(kind.variable, "") if name in self.names else "" for name, kind in SERVERS.items()
        }

    def described(self, instance: Instance) -> Iterator[str]:
        """Say which servers the run uses, and what the others would add."""
        used = [_postgres(instance), *(_TITLES[name] for name in self.names if name != "postgres")]
        if not self.absent:
            yield f"mode: {', '.join(used)}; Celery workers perform the orders"
            yield "      `make run EMBEDDED=1` needs PostgreSQL alone, of a wheel"
            return
        by = "Celery workers perform" if self.has_broker else "`manage.py sagas work` performs"
        without = " and ".join(f"no {_TITLES[name]}" for name in self.absent)
        yield f"mode: {', '.join(used)}; {without}; {by} the orders"
        yield f"      {'; '.join(_ADDS[name] for name in self.absent)}: docs/how-to/run-without-servers.md"


def choose(instance: Instance, *, embedded: bool) -> Choice:
    """Choose the servers of a run.

    Args:
        instance: the private servers.
        embedded: whether PostgreSQL alone is asked for, of the wheel.

    Raises:
        Failure: PostgreSQL alone is asked for, and the environment gives a server.
    """
    given = _given(instance)
    if not embedded:
        return Choice(tuple(name for name in SERVERS if name in given or _is_obtainable(SERVERS[name](instance))))
    if given:
        variables = " and ".join(sorted(SERVERS[name].variable for name in given))
        raise Failure(f"EMBEDDED=1 starts PostgreSQL alone, of a wheel, and {variables} is set. Unset it, or EMBEDDED.")
    return Choice(("postgres",), embedded=True)


def _given(instance: Instance) -> set[str]:
    """The servers of which the environment has a URL, other than that of our own."""
    own = set(instance.environment().values())
    return {name for name, kind in SERVERS.items() if os.environ.get(kind.variable, "") not in {"", *own}}


def _is_obtainable(server: Server) -> bool:
    """Whether its programs are there, or can be installed or fetched."""
    if server.fetchable or apt.can_install():
        return True
    try:
        server.locate()
    except Missing:
        return False
    return True


def _postgres(instance: Instance) -> str:
    server = Postgres(instance)
    if "postgres" in _given(instance) or not server.made_by:
        return "PostgreSQL"
    server.locate()
    return f"PostgreSQL {server.made_by}{' of a wheel' if server.is_of_wheel else ''}"
