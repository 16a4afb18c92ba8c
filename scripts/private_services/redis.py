"""A private Redis: append-only, to keep its data; with a password, because any local user can connect."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from private_services import programs
from private_services.instance import write_private
from private_services.ports import LOOPBACK
from private_services.server import Server

_CONFIGURATION: Final = """\
bind {host}
port {port}
requirepass {password}
dir "{directory}"
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


class Redis(Server):
    """Redis, or Valkey on Fedora."""

    name = "redis"
    variable = "REDIS_URL"
    package = "redis-server"

    _program: Path

    def locate(self) -> None:
        """Find the server."""
        self._program = programs.find("redis-server", "valkey-server")

    def launch(self) -> None:
        """Write the configuration, because the port may have changed, and start."""
        port = self.instance.claim_port(self.name)
        configuration = self.directory / "redis.conf"
        text = _CONFIGURATION.format(
            host=LOOPBACK, port=port, password=self.instance.secret(self.name), directory=self.directory
        )
        write_private(configuration, text)
        self.spawn([self._program, configuration])

    def is_ready(self) -> bool:
        """Whether it answers PING: it answers LOADING while it reads its data."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
                connection.sendall(f"AUTH {self.instance.secret(self.name)}\r\nPING\r\n".encode())
                answer = connection.makefile("rb")
                return answer.readline() == b"+OK\r\n" and answer.readline() == b"+PONG\r\n"
        except OSError:
            return False

    @property
    def url(self) -> str:
        """Database 0."""
        return f"redis://:{self.instance.secret(self.name)}@{LOOPBACK}:{self.port}/0" if self.port else ""
