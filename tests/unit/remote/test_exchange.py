"""One HTTP exchange over TLS, with a server that this process runs."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sagas.errors import NotSent
from sagas.remote import exchange
from sagas.remote.exchange import Request

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl, which makes the certificate")
pytestmark = needs_openssl


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(cert),
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


@pytest.fixture(scope="module")
def port(certificate: tuple[Path, Path]) -> Iterator[int]:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    exchange._tls.cache_clear()
    yield
    exchange._tls.cache_clear()


def post(host: str, port: int, body: bytes = b"hello") -> exchange.Reply:
    request = Request("POST", f"https://{host}:{port}/", {}, body)
    return exchange.exchange(request, connect_timeout=5, timeout=5, limit=1_000_000)


def test_a_trusted_certificate_is_accepted(trusted: None, port: int) -> None:
    assert post("localhost", port, b"x" * 500_000).body == b"x" * 500_000


def test_an_untrusted_certificate_is_refused(port: int) -> None:
    exchange._tls.cache_clear()
    with pytest.raises(NotSent):
        post("localhost", port)


def test_a_certificate_of_another_name_is_refused(trusted: None, port: int) -> None:
    with pytest.raises(NotSent):
        post("127.0.0.1", port)
