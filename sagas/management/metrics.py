"""``manage.py sagas metrics``: print all metrics once, or serve them to Prometheus."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from sagas.conf import config
from sagas.requirements import extras

#: Where ``--listen`` listens without an address.
ADDRESS = "127.0.0.1:9464"


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--listen",
        nargs="?",
        const=ADDRESS,
        metavar="HOST:PORT",
        help=f"Serve GET /metrics to those who have SAGAS['METRICS_TOKEN'], at {ADDRESS} by default.",
    )


def run(out: OutputWrapper, *, listen: str | None, **_: Any) -> None:
    """Print them, or serve them until the process is told to end.

    Raises:
        CommandError: a package or a setting is missing, or nothing can listen there.
    """
    try:
        extras.require("prometheus_client", "manage.py sagas metrics")
    except ImportError as error:
        raise CommandError(str(error)) from error
    if config().broker is not None and not extras.celery():
        from sagas.messaging import gauges  # noqa: F401, PLC0415 - an extra; it registers what RabbitMQ has

    if not config().metrics:
        msg = "SAGAS['METRICS'] is not set: nothing is counted"
        raise CommandError(msg)
    if listen is not None:
        _serve(out, *_address(listen))
        return
    from prometheus_client import generate_latest  # noqa: PLC0415 - an extra

    from sagas.observability.exposition import Exposition, Unavailable  # noqa: PLC0415 - the same

    try:
        out.write(generate_latest(Exposition().registry()).decode(), ending="")
    except Unavailable as error:
        msg = f"the database cannot be asked: {error}"
        raise CommandError(msg) from error


def _serve(out: OutputWrapper, host: str, port: int) -> None:
    from sagas.observability.server import serve  # noqa: PLC0415 - see above

    if not (token := config().metrics_token):
        msg = "SAGAS['METRICS_TOKEN'] is not set: metrics are not served to everybody"
        raise CommandError(msg)
    try:
        server = serve(host, port, token)
    except OSError as error:
        msg = f"nothing can listen at {host}:{port}: {error.strerror or error}"
        raise CommandError(msg) from error
    # serve_forever() waits for shutdown() in the same thread otherwise.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    out.write(f"metrics at http://{host}:{server.server_port}/metrics")
    out.flush()
    with server:
        server.serve_forever()


def _address(given: str) -> tuple[str, int]:
    host, _, port = given.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) < 2**16:
        msg = f"--listen {given}: give HOST:PORT, such as {ADDRESS}"
        raise CommandError(msg)
    return host.strip("[]") or "127.0.0.1", int(port)
