"""A private PgBouncer before the private PostgreSQL, which pools transactions: two of them in a row, two sessions."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

from private_services import programs
from private_services.console import Failure
from private_services.identity import Identity
from private_services.instance import write_private
from private_services.ports import LOOPBACK
from private_services.postgres import Postgres
from private_services.server import Server

_CONFIGURATION: Final = """\
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
admin_users = {role}
pool_mode = transaction
; The next transaction shall get another session, so that whoever relies on one is found out.
server_round_robin = 1
default_pool_size = 20
max_client_conn = 500
log_connections = 0
log_disconnections = 0
"""


class PgBouncer(Server):
    """PgBouncer; it refuses to run as root, so it runs as another user then."""

    name = "pgbouncer"
    variable = "PGBOUNCER_URL"
    package = "pgbouncer"
    seconds_to_start: ClassVar[float] = 20
    seconds_to_stop: ClassVar[float] = 5

    _program: Path

    def locate(self) -> None:
        """Find the server."""
        self._program = programs.find("pgbouncer")

    def launch(self) -> None:
        """Write the configuration, because the ports may have changed, and start.

        Raises:
            Failure: PostgreSQL was never started here.
        """
        postgres = urlsplit(Postgres(self.instance).url)
        if not postgres.port:
            raise Failure("pgbouncer: start postgres first")
        identity = Identity.for_directories(self.directory)
        users, configuration = self.directory / "users.txt", self.directory / "pgbouncer.ini"
        write_private(users, f'"{postgres.username}" "{postgres.password}"\n')
        text = _CONFIGURATION.format(
            host=LOOPBACK,
            port=self.instance.claim_port(self.name),
            server_port=postgres.port,
            users=users,
            role=postgres.username,
        )
        write_private(configuration, text)
        for path in (self.directory, users, configuration):
            identity.own(path)
        self.spawn(identity.command([self._program, configuration]))

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        with socket.socket() as client:
            client.settimeout(2)
            return client.connect_ex((LOOPBACK, self.port or 0)) == 0

    @property
    def url(self) -> str:
        """The URL of PostgreSQL, through the pooler."""
        postgres = urlsplit(Postgres(self.instance).url)
        if not (self.port and postgres.port):
            return ""
        place = postgres.netloc.rpartition(":")[0]
        return urlunsplit(postgres._replace(netloc=f"{place}:{self.port}"))
