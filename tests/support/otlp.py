"""A collector of spans that keeps them in memory. It speaks OTLP over HTTP, in protobuf and in JSON."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True, slots=True)
class Collected:
    """A span as it came; ids are hexadecimal, times are nanoseconds of Unix time."""

    service: str
    scope: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    began: int
    ended: int
    status: int
    attributes: dict[str, Any]
    links: tuple[str, ...]


@dataclass
class Collector:
    """What has come, by which address. ``status`` is what it answers; while ``hold`` is set it answers nothing."""

    url: str = ""
    spans: list[Collected] = field(default_factory=list)
    status: int = 200
    hold: threading.Event | None = None

    def named(self, name: str) -> list[Collected]:
        """The spans of a name."""
        return [span for span in list(self.spans) if span.name == name]

    def of(self, trace_id: str) -> list[Collected]:
        """The spans of a trace."""
        return [span for span in list(self.spans) if span.trace_id == trace_id]


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value")) if value.WhichOneof("value") else None


def _read(body: bytes) -> Iterator[Collected]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {each.key: _value(each.value) for each in of_resource.resource.attributes}
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Collected(
                    resource.get("service.name", ""),
                    of_scope.scope.name,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                    {each.key: _value(each.value) for each in span.attributes},
                    tuple(link.trace_id.hex() for link in span.links),
                )


def _read_json(body: bytes) -> Iterator[Collected]:
    """As ``_read``; in JSON ids are hexadecimal, and only texts are attributes here."""
    for of_resource in json.loads(body)["resourceSpans"]:
        service = of_resource["resource"]["attributes"][0]["value"]["stringValue"]
        for of_scope in of_resource["scopeSpans"]:
            for span in of_scope["spans"]:
                yield Collected(
                    service,
                    of_scope["scope"]["name"],
                    span["name"],
                    span["traceId"],
                    span["spanId"],
                    span["parentSpanId"],
                    span["kind"],
                    int(span["startTimeUnixNano"]),
                    int(span["endTimeUnixNano"]),
                    0,
                    {each["key"]: each["value"]["stringValue"] for each in span["attributes"]},
                    (),
                )


_READERS = {"application/x-protobuf": _read, "application/json": _read_json}


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a free port."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if made.hold is not None:
                made.hold.wait(60)
            assert self.path == "/v1/traces"
            if made.status == 200:
                made.spans += _READERS[self.headers["Content-Type"]](body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(made.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield made
    finally:
        if made.hold is not None:
            made.hold.set()
        server.shutdown()
        server.server_close()
