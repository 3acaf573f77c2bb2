"""A collector of traces that keeps what it is sent: OTLP over HTTP, as protobuf."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """Where to send spans, and what came."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def spans(self, service: str, name: str) -> list[Span]:
        """The spans of this name that a service has sent."""
        return [
            span
            for body in list(self.bodies)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            if any(one.value.string_value == service for one in resource.resource.attributes)
            for scope in resource.scope_spans
            for span in scope.spans
            if span.name == name
        ]


@contextmanager
def running_collector(tls: ssl.SSLContext | None = None) -> Iterator[Collector]:
    """A collector on a free port, by TLS where it is told how."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if tls is not None:
            scheme, server.socket = "https", tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        collector.url = f"{scheme}://127.0.0.1:{server.server_port}/v1/traces"
        yield collector
        server.shutdown()
