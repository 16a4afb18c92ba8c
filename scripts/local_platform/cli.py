"""The command line of `scripts/run`."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

from private_services import ports
from private_services.console import Failure, complain, say
from private_services.disk import explain
from private_services.instance import Instance

from local_platform import environment
from local_platform.platform import REPOSITORY, Platform, Stopped, services
from local_platform.record import Record, only_one
from local_platform.servers import choose

_SECONDS_TO_STOP: Final = 90
#: SIGHUP: the terminal was closed.
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the platform until it is told to stop, or stop a running one; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/run", description="The whole platform on this machine. PORT sets the web's port, 8000 if unset."
    )
    parser.add_argument("--stop", action="store_true", help="stop the one that runs, from another terminal")
    parser.add_argument(
        "--dir", type=Path, default=REPOSITORY / ".run", help="where all it owns is kept (default: .run)"
    )
    parser.add_argument("--embedded", action="store_true", help="PostgreSQL of a wheel, and neither RabbitMQ nor Redis")
    arguments = parser.parse_args(argv)
    directory: Path = arguments.dir.resolve()
    try:
        return _stop(directory) if arguments.stop else _run(directory, embedded=arguments.embedded)
    except Failure as failure:
        complain(str(failure))
        return failure.exit_code
    except OSError as error:
        complain(explain(error))
        return Failure.exit_code


def _run(directory: Path, *, embedded: bool) -> int:
    port = _port()
    with only_one(directory) as alone:
        if not alone:
            raise Failure(f"It runs already: {Record.load(directory).url or 'starting'}. `make stop` stops it.")
        asked = _listen_for_the_end()
        choice = choose(Instance(directory / "services"), embedded=embedded)
        platform = Platform(directory, port=port, choice=choice, tell=_tell, stopping=lambda: bool(asked))
        platform.clear_up_after_a_crash()
        if not ports.is_free(port):
            raise Failure(f"Port {port} is taken by another program. Choose another one: PORT={port + 1} make run")
        environment.check_given(directory / "services")
        try:
            platform.start()
            _announce(platform)
            platform.watch()
        except Stopped:
            return 0
        finally:
            _tell("stopping …")
            platform.stop()
            _tell("stopped; the data is kept in " + _shown(directory))
    return 0


def _stop(directory: Path) -> int:
    record = Record.load(directory)
    if record.supervisor and record.supervisor.is_alive:
        if not record.supervisor.stop(signal.SIGTERM, _SECONDS_TO_STOP):
            raise Failure(f"It did not stop in {_SECONDS_TO_STOP} s: process {record.supervisor.pid}.")
        say("stopped")
        return 0
    with only_one(directory) as alone:
        if not alone:
            raise Failure("It is just starting; try again.")
        # It was killed, and has not stopped its processes.
        for process in record.children.values():
            process.kill()
        if record.servers:
            subprocess.run(services(directory / "services", "stop", *record.servers), check=False)
        Record.erase(directory)
    say("nothing runs")
    return 0


def _port() -> int:
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Failure(f"PORT={text} is no port: give a number from 1 to 65535.")
    return int(text)


def _listen_for_the_end() -> list[int]:
    """Return a list that is filled by a request to stop. Nothing is interrupted: all waits check the list."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for ending in _ENDINGS:
        signal.signal(ending, ask)
    return asked


def _announce(platform: Platform) -> None:
    told = platform.environment
    _tell("")
    _tell(f"  Shop       {platform.url}/   user demo, password {told['DEMO_PASSWORD']}")
    _tell(f"  API docs   {platform.url}/api/docs/")
    _tell(f"  Admin      {platform.staff_url}/admin/   user {told['ADMIN_USER']}, password {told['ADMIN_PASSWORD']}")
    _tell(f"  Clients    {_shown(environment.demo_file(platform.directory))} has a token and the webhook's secret")
    _tell(f"  Logs       {_shown(platform.directory / 'logs')}")
    _tell("")
    _tell("Ready. `make demo` in another terminal shows it at work; Ctrl-C stops all of it.")


def _shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _tell(line: str) -> None:
    """Print a line. Ignore a closed output, because the started processes must still be stopped."""
    with suppress(OSError):
        say(line)
