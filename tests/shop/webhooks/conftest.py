"""A receiver of webhooks, as a customer runs one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from webhooks import services


@dataclass
class Receiver:
    """What came, and what is answered: by default 200 at once."""

    url: str = ""
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    hold: threading.Event | None = None


@pytest.fixture
def receiver() -> Iterator[Callable[[], Receiver]]:
    """Make receivers, each a server of its own."""
    servers: list[ThreadingHTTPServer] = []

    def make() -> Receiver:
        made = Receiver()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                made.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
                if made.hold is not None:
                    made.hold.wait(30)
                status = made.statuses.pop(0) if made.statuses else 200
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", made.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        return made

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _forgotten_endpoints() -> None:
    services.forget()
