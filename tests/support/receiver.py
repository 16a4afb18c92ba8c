"""Somebody who is told: a real HTTP server, as apprise's ``json://`` calls it. It may be away at first."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """A port that refuses connections until ``start``; then each JSON body that comes is kept."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[dict[str, Any]] = []
        # Bound from now on, though nobody listens: else another program might take the port meanwhile.
        self._server: ThreadingHTTPServer | None = self._bound()
        self.port = int(self._server.server_address[1])
        self._listens = False

    @property
    def url(self) -> str:
        """The channel, with a password and a token in its path as chat services have them."""
        return f"json://robot:hunter2@127.0.0.1:{self.port}/T0KEN/?cto=20&rto=20"

    def start(self) -> None:
        """Answer from now on."""
        assert self._server is not None
        self._server.server_activate()
        self._listens = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _bound(self) -> ThreadingHTTPServer:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.status == 200:
                    receiver.bodies.append(body)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        server.server_bind()
        return server

    def stop(self) -> None:
        """Nobody answers any more."""
        if self._server is not None:
            if self._listens:
                self._server.shutdown()
            self._server.server_close()
            self._server = None

    def about(self, run_id: object) -> list[str]:
        """The titles of what was told of a run."""
        return [body["title"] for body in list(self.bodies) if str(run_id) in body["message"]]
