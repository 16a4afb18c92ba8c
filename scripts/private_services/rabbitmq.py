"""A private RabbitMQ node, with its own epmd, the daemon in which Erlang's nodes look up each other's ports.

Erlang starts an epmd automatically if it finds none, and leaves it behind. Ours is started first, so that it can be
stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from private_services import amqp, programs
from private_services.instance import write_private
from private_services.ports import LOOPBACK, is_free
from private_services.processes import wait_until
from private_services.server import Server

USER: Final = "drinkgroup"
NODE: Final = "drinkgroup@localhost"

_EPMD: Final = "rabbitmq-epmd"
_DISTRIBUTION: Final = "rabbitmq-distribution"

_CONFIGURATION: Final = """\
listeners.tcp.1 = {host}:{port}
default_user = {user}
default_pass = {password}
log.console = true
log.console.level = warning
log.console.use_colors = off
log.file = false
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
# Quorum queues keep this much in memory; with the default of 512 MB they would soon set off the memory alarm.
raft.wal_max_size_bytes = 134217728
"""

#: Distribution on loopback only; no busy waiting, which would use the processors.
_ERLANG_ARGUMENTS: Final = "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitMQ(Server):
    """One node. It creates the user and its rights at its first start."""

    name = "rabbitmq"
    variable = "RABBITMQ_URL"
    package = "rabbitmq-server"

    _server: Path
    _control: Path
    _epmd: Path

    def locate(self) -> None:
        """Find the programs, but not Debian's wrappers in /usr/sbin, which would change the user."""
        self._server = _unwrapped("rabbitmq-server")
        self._control = _unwrapped("rabbitmqctl")
        self._epmd = programs.find("epmd")

    def launch(self) -> None:
        """Write the configuration, because the port may have changed; start epmd, then the node."""
        port = self.instance.claim_port(self.name)
        self.instance.claim_port(_DISTRIBUTION)
        text = _CONFIGURATION.format(host=LOOPBACK, port=port, user=USER, password=self.instance.secret(self.name))
        write_private(self.directory / "rabbitmq.conf", text)
        write_private(self.directory / ".erlang.cookie", self.instance.secret("rabbitmq-cookie"))
        (self.directory / "enabled_plugins").write_text("[].\n")
        self._start_epmd()
        self.spawn([self._server], self._environment())

    def is_ready(self) -> bool:
        """Whether it accepts our user: it listens only when everything else is running."""
        return amqp.lets_in(LOOPBACK, self.port or 0, USER, self.instance.secret(self.name))

    def stop(self) -> None:
        """Stop the node, then its epmd."""
        super().stop()
        epmd = self.instance.process(_EPMD)
        if epmd:
            epmd.stop(signal.SIGTERM, self.seconds_to_stop)

    @property
    def url(self) -> str:
        """The default virtual host."""
        return f"amqp://{USER}:{self.instance.secret(self.name)}@{LOOPBACK}:{self.port}//" if self.port else ""

    def control(self, arguments: Sequence[str]) -> int:
        """Run `rabbitmqctl` for the node, and pass its output on."""
        return subprocess.run([self._control, *arguments], env=self._environment(), check=False).returncode

    def _start_epmd(self) -> None:
        if self.instance.process(_EPMD):
            return  # a node was killed, which leaves its epmd
        port = self.instance.claim_port(_EPMD)
        self.spawn([self._epmd, "-port", str(port), "-address", LOOPBACK], name=_EPMD)
        # A node without an epmd would start its own.
        wait_until(lambda: not is_free(port), seconds=5)

    def _environment(self) -> dict[str, str]:
        distribution = self.instance.port(_DISTRIBUTION) or 0
        # A machine's own RabbitMQ or Erlang may have left settings in our environment.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return inherited | {
            "HOME": str(self.directory),  # where Erlang looks for its cookie
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(distribution + 1),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(distribution + 100),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_ARGUMENTS,
            "ERL_EPMD_PORT": str(self.instance.port(_EPMD)),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            # The start script becomes the node instead of waiting for it, so that the process that we start and store
            # is the node.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def _unwrapped(name: str) -> Path:
    """The program itself: the release's own folder comes before the PATH."""
    candidates = sorted(Path("/usr/lib/rabbitmq/lib").glob(f"rabbitmq_server-*/sbin/{name}"), reverse=True)
    return candidates[0] if candidates else programs.find(name)
