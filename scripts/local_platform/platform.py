"""The platform: the order of its start, the watching of its processes, and its stop."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from private_services import ports
from private_services.cli import SERVERS
from private_services.console import Failure, tail
from private_services.instance import Instance
from private_services.processes import POLL_SECONDS, Process
from private_services.server import Server

from local_platform import environment
from local_platform.child import Child
from local_platform.record import Record
from local_platform.revival import Revival
from local_platform.servers import Choice

REPOSITORY: Final = Path(__file__).resolve().parents[2]
_BIN: Final = REPOSITORY / ".venv" / "bin"
_SECONDS_TO_START: Final = 60
_SECONDS_TO_STOP: Final = 10
_WATCH_SECONDS: Final = 0.2
#: The webs beside that of the customers, and the variables by which clients find them.
_OTHER_WEBS: Final = {"web-payments": "DRINKGROUP_PAYMENTS_URL", "web-staff": "DRINKGROUP_STAFF_URL"}


class Stopped(Exception):
    """A stop was requested; this is not an error."""


@dataclass
class Kept:
    """A process that must run as long as the platform.

    Attributes:
        name: its name on the console.
        ended: its exit code; ``None`` while it runs.
        start: starts it again.
        log: the file that says why it ended.
        began: when it was last started, by the monotonic clock.
        due: when it will be started again; ``None`` while it runs.
    """

    name: str
    ended: Callable[[], str | None]
    start: Callable[[], object]
    log: Path
    began: float = field(default_factory=time.monotonic)
    due: float | None = None
    revival: Revival = field(default_factory=Revival)


class Platform:
    """Everything that `make run` starts.

    Args:
        directory: the folder for its files.
        port: the web's port.
        choice: the servers that it uses.
        tell: prints a line.
        stopping: whether a stop was requested.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        choice: Choice,
        tell: Callable[[str], None],
        stopping: Callable[[], bool],
    ) -> None:
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}"
        self.environment: dict[str, str] = {}
        self._port = port
        #: Of the webs of gateways and staff, by name: what customers do holds up neither.
        self._other_ports: dict[str, int] = {}
        #: Of the process that serves metrics.
        self._metrics_port = 0
        #: Of the sandbox gateway; 0 where the environment names a gateway.
        self._gateway_port = 0
        self._tell = tell
        self._stopping = stopping
        self._choice = choice
        self._children: dict[str, Child] = {}
        self._record = Record(url=self.url, supervisor=Process.find(os.getpid()))

    def clear_up_after_a_crash(self) -> None:
        """Kill the processes of a killed run, which frees the port. Its servers become ours."""
        before = Record.load(self.directory)
        for name, process in before.children.items():
            if process.is_alive:
                self._tell(f"{name}: left by a run that was killed; ending it")
                process.kill()
        self._record.servers = before.servers
        self._record.save(self.directory)

    def start(self) -> None:
        """Start everything, stage by stage.

        Raises:
            Failure: a stage failed; the text has the end of its log.
            Stopped: a stop was requested meanwhile.
        """
        urls = self._start_servers()
        self.environment = environment.build(self.directory, urls)
        prepared = self._stage("tables, queues and demo data: there", "prepare")
        token = json.loads(prepared.splitlines()[-1])["token"]
        for name in _OTHER_WEBS:
            self._other_ports[name] = ports.choose(taken={self._port, *self._other_ports.values()})
        if not self.environment["GATEWAY_URL"]:
            self._gateway_port = ports.choose(taken={self._port, *self._other_ports.values()})
            self.environment["GATEWAY_URL"] = f"http://127.0.0.1:{self._gateway_port}"
            # Where the order's page leads to pay.
            asked = "order_no={order_no}&amount={amount}&currency={currency}"
            self.environment.setdefault("PAYMENT_PAGE", f"{self.environment['GATEWAY_URL']}/pay?{asked}")
            gateway = self._start_gateway()
            self._await(gateway, lambda: gateway.said("sandbox gateway is at"))
            self._tell(f"gateway: a sandbox on {self.environment['GATEWAY_URL']}")
        taken = {self._port, self._gateway_port, *self._other_ports.values()}
        self._metrics_port = ports.choose(taken=taken)
        urls = {variable: self._url_of(name) for name, variable in _OTHER_WEBS.items()}
        urls["METRICS_URL"] = f"http://127.0.0.1:{self._metrics_port}/metrics"
        environment.write_demo_file(self.directory, self.environment, url=self.url, token=token, others=urls)
        began = time.monotonic()
        web, workers = self._start_web(), self._start_workers()
        others = {name: self._start_other_web(name) for name in _OTHER_WEBS}
        metrics = self._start_metrics()
        self._await(web, partial(_answers, self._port))
        self._tell(f"web: answers on {self.url} ({time.monotonic() - began:.1f} s)")
        for name, other in others.items():
            self._await(other, partial(_answers, self._other_ports[name]))
            self._tell(f"{name}: answers on {self._url_of(name)} ({time.monotonic() - began:.1f} s)")
        self._await(metrics, lambda: metrics.said("metrics at "))
        self._await(workers, lambda: workers.said(" ready."))
        self._tell(f"workers: ready ({time.monotonic() - began:.1f} s)")

    def watch(self) -> None:
        """Show warnings, and restart processes that have died, until a stop is requested.

        Raises:
            Failure: a process died at once, again and again.
            Stopped: a stop was requested.
        """
        kept = [*self._kept_children(), *self._kept_servers()]
        while True:
            self._stop_if_asked()
            self._show_warnings()
            for one in kept:
                self.keep(one)
            time.sleep(_WATCH_SECONDS)

    def keep(self, one: Kept) -> None:
        """Restart it if it has died, after a growing pause."""
        ended, now = one.ended(), time.monotonic()
        if ended is None:
            return
        if one.due is None:
            pause = one.revival.pause(now - one.began)
            if pause is None:
                raise Failure(f"{one.name} ended by itself again and again ({ended}). {tail(one.log)}")
            self._tell(f"{one.name} ended by itself ({ended}); starting it again in {pause:g} s")
            one.due = now + pause
        elif now >= one.due:
            one.due, one.began = None, now
            one.start()
            self._tell(f"{one.name}: started again")

    def stop(self) -> None:
        """Stop web and workers, then the servers that this run started. The data is kept."""
        for child in self._children.values():
            child.ask_to_stop()
        for child in self._children.values():
            child.stop(_SECONDS_TO_STOP)
        self._stop_servers(self._record.servers)
        Record.erase(self.directory)

    def _kept_children(self) -> Iterator[Kept]:
        starts: dict[str, Callable[[], Child]] = {"web": self._start_web, "workers": self._start_workers}
        starts |= {name: partial(self._start_other_web, name) for name in _OTHER_WEBS}
        starts["metrics"] = self._start_metrics
        if self._gateway_port:
            starts["gateway"] = self._start_gateway
        for name, start in starts.items():
            yield Kept(name, partial(self._how_ended, name), partial(self._start_again, name, start), self._log(name))

    def _how_ended(self, name: str) -> str | None:
        code = self._children[name].exit_code
        return None if code is None else _how(code)

    def _start_again(self, name: str, start: Callable[[], Child]) -> None:
        # Its children may have survived it, with the port and the queues.
        self._children[name].stop(_SECONDS_TO_STOP)
        start()

    def _kept_servers(self) -> Iterator[Kept]:
        instance = Instance(self._services)
        for name in self._record.servers:
            server = SERVERS[name](instance)
            if server.process:
                yield Kept(name, partial(_how_server_ended, server), partial(self._run_services, name), server.log)

    # Stages ---------------------------------------------------------------------------------------

    def _start_servers(self) -> dict[str, str]:
        instance = Instance(self._services)
        names = self._choice.names
        running = {name for name in names if instance.exists and SERVERS[name](instance).process}
        self._record.servers = sorted({*self._record.servers, *(set(names) - running)})
        # Before the start, so that a killed run leaves no unknown servers.
        self._record.save(self.directory)
        starting = self._run_services(*(["--embedded"] if self._choice.embedded else []), *names)
        if starting.returncode:
            raise Failure("The servers did not start; see above.")
        self._stop_if_asked()
        for line in self._choice.described(instance):
            self._tell(line)
        return self._choice.urls(instance.environment())

    def _run_services(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the servers, and wait until that is done."""
        # Its progress goes to the console. It has a session of its own, so that Ctrl-C does not interrupt apt-get.
        starting = subprocess.Popen(services(self._services, "start", *arguments), start_new_session=True)
        while starting.poll() is None:
            if self._stopping():
                self._tell("waiting for the servers' start, to stop them in order")
                starting.wait()
            time.sleep(POLL_SECONDS)
        return starting

    def _stage(self, done: str, *command: str) -> str:
        """Run a management command; return its output."""
        self._stop_if_asked()
        began = time.monotonic()
        process = subprocess.Popen(
            [_BIN / "python", REPOSITORY / "manage.py", *command],
            # An index takes as long as it takes.
            env={**self.environment, "STATEMENT_TIMEOUT": "0"},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output = self._output(process)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise Failure(f"manage.py {' '.join(command)} failed:\n{output}")
        self._tell(f"{done} ({time.monotonic() - began:.1f} s)")
        return output

    def _output(self, process: subprocess.Popen[str]) -> str:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=_WATCH_SECONDS)[0]
            self._stop_if_asked()

    def _start_gateway(self) -> Child:
        """Start the stand-in of a payment gateway, on a port of its own."""
        program = REPOSITORY / "examples" / "sandbox-gateway" / "gateway.py"
        books = self.directory / "gateway.sqlite"
        webhook = f"{self._url_of('web-payments')}/api/v1/payments/webhook/main/"
        options: list[str | Path] = ["--port", str(self._gateway_port), "--db", books, "--webhook", webhook]
        return self._child("gateway", [_BIN / "python", program, *options])

    def _start_web(self) -> Child:
        # Behind payments, staff and workers where the processors are short. The rest is in gunicorn.conf.py.
        command: list[str | Path] = ["nice", "-n", "5", _BIN / "gunicorn", "drinkgroup.wsgi"]
        command += ["--bind", f"127.0.0.1:{self._port}"]
        command += ["--graceful-timeout", "3"]
        return self._child("web", command)

    def _start_other_web(self, name: str) -> Child:
        """Start the web of the gateways, or that of the staff: a process, and connections, of its own."""
        command: list[str | Path] = [_BIN / "gunicorn", "drinkgroup.wsgi"]
        command += ["--bind", f"127.0.0.1:{self._other_ports[name]}", "--workers", "1", "--graceful-timeout", "3"]
        return self._child(name, command)

    def _start_metrics(self) -> Child:
        """Start the one process that Prometheus asks."""
        command: list[str | Path] = [_BIN / "python", REPOSITORY / "manage.py", "sagas", "metrics"]
        return self._child("metrics", [*command, "--listen", f"127.0.0.1:{self._metrics_port}"])

    def _url_of(self, name: str) -> str:
        return f"http://127.0.0.1:{self._other_ports[name]}"

    @property
    def staff_url(self) -> str:
        """The address of the web of the staff, once it is started."""
        return self._url_of("web-staff")

    def _start_workers(self) -> Child:
        if not self._choice.has_broker:
            work: list[str | Path] = [_BIN / "python", REPOSITORY / "manage.py", "sagas", "work"]
            return self._child("workers", [*work, "--processes", "2"])
        # A name of its own distinguishes this worker from an earlier one that RabbitMQ still knows.
        name = f"run-{secrets.token_hex(4)}@%h"
        command: list[str | Path] = [
            _BIN / "celery",
            "-A",
            "sagas",
            "worker",
            "-c",
            "2",
            "-n",
            name,
            "--loglevel",
            "INFO",
        ]
        return self._child("workers", [*command, "--without-gossip", "--without-mingle"])

    def _child(self, name: str, command: Sequence[str | Path]) -> Child:
        child = Child(name, command, environment=self.environment, directory=REPOSITORY, log=self._log(name))
        self._children[name] = child
        self._record.children[name] = child.identity
        self._record.save(self.directory)
        return child

    # Watching -------------------------------------------------------------------------------------

    def _await(self, child: Child, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        while not is_ready():
            self._look()
            if time.monotonic() > deadline:
                raise Failure(f"{child.name} was not ready in {_SECONDS_TO_START} s. {tail(child.log)}")
            time.sleep(0.05)

    def _look(self) -> None:
        """Check during the start: a process that ends now would end again."""
        self._stop_if_asked()
        for name, child in self._children.items():
            if ended := self._how_ended(name):
                raise Failure(f"{name} ended by itself ({ended}). {tail(child.log)}")
        self._show_warnings()

    def _show_warnings(self) -> None:
        for child in self._children.values():
            for warning in child.warnings():
                self._tell(warning)

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _stop_if_asked(self) -> None:
        if self._stopping():
            raise Stopped

    # Servers --------------------------------------------------------------------------------------

    @property
    def _services(self) -> Path:
        return self.directory / "services"

    def _stop_servers(self, names: Sequence[str]) -> None:
        # Without a name the tool would stop all servers, also those that ran before.
        if names:
            subprocess.run(services(self._services, "stop", *names), start_new_session=True, check=False)


def services(directory: Path, *arguments: str) -> list[str]:
    """The command that starts or stops the private servers of a directory."""
    return [sys.executable, str(REPOSITORY / "scripts" / "services"), "--dir", str(directory), *arguments]


def _answers(port: int) -> bool:
    """Whether a web answers at this port."""
    try:
        web = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        web.request("GET", "/readyz")
        return web.getresponse().status == 200
    except (http.client.HTTPException, OSError):
        return False


def _how_server_ended(server: Server) -> str | None:
    return None if server.process else "nobody knows how"


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
