"""The command line of `scripts/services`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from private_services.console import Failure, complain, say
from private_services.disk import explain
from private_services.instance import Instance
from private_services.pgbouncer import PgBouncer
from private_services.postgres import Postgres
from private_services.provision import provide
from private_services.rabbitmq import RabbitMQ
from private_services.redis import Redis
from private_services.server import Server

REPOSITORY: Final = Path(__file__).resolve().parents[2]

#: In the order of starting: RabbitMQ takes the longest.
SERVERS: Final[dict[str, type[Server]]] = {kind.name: kind for kind in (RabbitMQ, Postgres, Redis)}
#: Started by name only, behind the others, and stopped before them.
EXTRAS: Final[dict[str, type[Server]]] = {PgBouncer.name: PgBouncer}
_ALL: Final = {**SERVERS, **EXTRAS}

# As of `systemctl status`.
_NOT_RUNNING: Final = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    arguments = _parser().parse_args(argv)
    command: Callable[[Instance, argparse.Namespace], int] = arguments.command
    try:
        return command(Instance(arguments.dir), arguments)
    except Failure as failure:
        complain(str(failure))
        return failure.exit_code
    except OSError as error:
        complain(explain(error))
        return Failure.exit_code


def _start(instance: Instance, arguments: argparse.Namespace) -> int:
    with instance.locked():
        servers = [kind(instance) for name, kind in _ALL.items() if name in (arguments.names or SERVERS)]
        given = {} if arguments.ignore_environment else _given(servers)
        for server in servers:
            if isinstance(server, Postgres):
                server.embedded = arguments.embedded
        own = [server for server in servers if server.variable not in given]
        for server in servers:
            if server.variable in given:
                say(f"{server.name}: not started, {server.variable} is set in the environment")
        provide(own, instance.log("apt"))
        for server in own:
            if not server.process:
                server.check()
        for server in own:
            server.start()
        for server in own:
            server.await_ready()
        file = instance.update_environment(given | {server.variable: server.url for server in own})
        say(f"URLs are in {file}")
    return 0


def _given(servers: Sequence[Server]) -> dict[str, str]:
    """Return the URLs that the environment sets, except our own from services.env."""
    urls = {server.variable: os.environ.get(server.variable, "") for server in servers}
    own = {server.url for server in servers}
    return {variable: url for variable, url in urls.items() if url and url not in own}


def _stop(instance: Instance, arguments: argparse.Namespace) -> int:
    if instance.exists:
        with instance.locked():
            for name in arguments.names or [*_started(instance, EXTRAS), *SERVERS]:
                _ALL[name](instance).stop()
    return 0


def _kill(instance: Instance, arguments: argparse.Namespace) -> int:
    if instance.exists:
        with instance.locked():
            _ALL[arguments.name](instance).kill()
    return 0


def _started(instance: Instance, names: Iterable[str]) -> list[str]:
    """Those that were started here before."""
    return [name for name in names if instance.port(name) is not None]


def _status(instance: Instance, _: argparse.Namespace) -> int:
    running = True
    for name in [*SERVERS, *_started(instance, EXTRAS)]:
        process = _ALL[name](instance).process
        running = running and process is not None
        say(f"{name}: pid {process.pid}, port {instance.port(name)}" if process else f"{name}: not running")
    return 0 if running else _NOT_RUNNING


def _env(instance: Instance, _: argparse.Namespace) -> int:
    for variable, url in instance.environment().items():
        say(f"{variable}={url}")
    return 0


def _rabbitmqctl(instance: Instance, arguments: argparse.Namespace) -> int:
    node = RabbitMQ(instance)
    if not node.process:
        raise Failure("rabbitmq: not running")
    node.locate()
    return node.control(arguments.arguments)


def _destroy(instance: Instance, arguments: argparse.Namespace) -> int:
    if instance.exists:
        _stop(instance, arguments)
        instance.delete()
    say(f"nothing is left of {instance.directory}")
    return 0


def _server_name(text: str) -> str:
    if text not in _ALL:
        raise argparse.ArgumentTypeError(f"there is no {text}, only {', '.join(_ALL)}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/services",
        description="Private PostgreSQL, RabbitMQ and Redis, on loopback and free ports.",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=REPOSITORY / ".run" / "services",
        help="where all they own is kept (default: .run/services of the repository)",
    )
    parser.add_argument(
        "--ignore-environment",
        action="store_true",
        help="start private servers even where DATABASE_URL, RABBITMQ_URL or REDIS_URL is set",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    start = commands.add_parser("start", help="start servers (default: all but pgbouncer) and write services.env")
    start.add_argument(
        "--embedded", action="store_true", help="make a new cluster with the wheel's PostgreSQL, also where another is"
    )
    start.add_argument("names", nargs="*", type=_server_name, metavar="NAME")
    start.set_defaults(command=_start)

    stop = commands.add_parser("stop", help="stop servers (default: all); their data is kept")
    stop.add_argument("names", nargs="*", type=_server_name, metavar="NAME")
    stop.set_defaults(command=_stop)

    kill = commands.add_parser("kill", help="SIGKILL a server, as a power cut would")
    kill.add_argument("name", type=_server_name, metavar="NAME")
    kill.set_defaults(command=_kill)

    status = commands.add_parser("status", help=f"say what runs; exit with {_NOT_RUNNING} unless all do")
    status.set_defaults(command=_status)

    env = commands.add_parser("env", help="print services.env")
    env.set_defaults(command=_env)

    # The rest belongs to rabbitmqctl, with its options; without prefixes none of them is taken for ours.
    rabbitmqctl = commands.add_parser(
        "rabbitmqctl", help="run rabbitmqctl against the private node", prefix_chars="\0", add_help=False
    )
    rabbitmqctl.add_argument("arguments", nargs="*", metavar="ARGUMENT")
    rabbitmqctl.set_defaults(command=_rabbitmqctl)

    destroy = commands.add_parser("destroy", help="stop the servers and delete their data")
    destroy.set_defaults(command=_destroy, names=())
    return parser
