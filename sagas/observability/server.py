"""The server of ``manage.py sagas metrics --listen``: one process an installation, on a port of its own."""

from __future__ import annotations

import hmac
import logging
import socket
import sys
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from sagas.observability.exposition import Exposition, Unavailable

logger = logging.getLogger(__name__)

PATH = "/metrics"
#: Seconds in which a client must send its request.
SLOWEST = 10.0

StartResponse = Callable[[str, list[tuple[str, str]]], object]
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def application(token: str, exposition: Exposition) -> Application:
    """A WSGI application that answers ``GET /metrics`` to those who have the token."""
    answer: Application = make_wsgi_app(exposition.registry())

    def metrics(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return _refuse(start_response, "404 Not Found", f"there is only {PATH}")
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            return _refuse(start_response, "405 Method Not Allowed", "only GET", ("Allow", "GET, HEAD"))
        kind, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            said = "give the token of METRICS_TOKEN: Authorization: Bearer …"
            return _refuse(start_response, "401 Unauthorized", said, ("WWW-Authenticate", "Bearer"))
        try:
            return answer(environ, start_response)
        except Unavailable as error:
            logger.warning("sagas: no metrics: the database cannot be asked: %s", error)
            return _refuse(start_response, "503 Service Unavailable", "the database cannot be asked")

    return metrics


def _refuse(start_response: StartResponse, status: str, said: str, *headers: tuple[str, str]) -> list[bytes]:
    body = f"{said}\n".encode()
    start_response(
        status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *headers]
    )
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread of its own, so that a slow client holds up nobody."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up, or is too slow, is no error of this server."""
        if not isinstance(sys.exc_info()[1], OSError):
            logger.exception("sagas: a request for metrics broke")


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = SLOWEST

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        logger.debug(format, *args)


def serve(host: str, port: int, token: str) -> WSGIServer:
    """A server that listens; ``serve_forever`` has it answer."""
    cls = _ServerV6 if ":" in host else _Server
    return make_server(host, port, application(token, Exposition()), server_class=cls, handler_class=_Handler)
