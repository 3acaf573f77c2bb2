"""The spans of an event's way: a request, the record it travels in, the batch it is counted in.

A record gathers events of many requests, and a batch many records: a span is the child of the first
of those that led to it, and has a link to each. From ingest to the processor the way is told by a
header of the record, `traceparent`, as W3C defines it.

Nothing that somebody sent becomes an attribute: no key, project, address, path or body. A caller's
`traceparent` is taken when it is a valid one; a `tracestate`, which is free text, never is.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.settings import TraceSettings
from libs.telemetry.tracing import TRACEPARENT

if TYPE_CHECKING:
    from starlette.types import Scope

_QUIET_PATHS = ("/healthz/", "/metrics")
_MAX_LINKS = 128  # of a span, as the SDK keeps
_EXPORT_WITHIN_S = 5.0
_CLOSE_WITHIN_S = 1.0

_w3c = TraceContextTextMapPropagator()


class _Session(requests.Session):
    """Where the settings name a CA, no REQUESTS_CA_BUNDLE stands above it."""

    def send(
        self,
        request: requests.PreparedRequest,
        **given: Any,  # noqa: ANN401 - as requests has it
    ) -> requests.Response:
        """Send, and trust whom the settings name."""
        own = {"verify": self.verify} if isinstance(self.verify, str) else {}
        return super().send(request, **given | own)


def exporting(service: str, settings: TraceSettings) -> "Traces":
    """Traces that are sent to a collector by OTLP over HTTP, in a thread of their own."""
    provider = provider_of(service, settings.sample_ratio)
    ca, certificate, key = settings.tls_files.texts()
    exporter = OTLPSpanExporter(
        endpoint=settings.endpoint,
        certificate_file=ca,
        client_certificate_file=certificate,
        client_key_file=key,
        session=_Session(),
        timeout=_EXPORT_WITHIN_S,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider)


def provider_of(service: str, sample_ratio: float) -> TracerProvider:
    """Where spans are made. It is never made the global one: no library adds spans of its own."""
    return TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        resource=Resource({"service.name": f"ragtime-{service}"}),
        shutdown_on_exit=False,
    )


class Traces:
    """Starts the spans of a service. What is not sampled is None, and costs nothing further on."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("ragtime")

    def request(self, scope: "Scope") -> Span | None:
        """A request has come. Its span is ended by `answered`."""
        if scope["path"].startswith(_QUIET_PATHS):
            return None
        given = [value for name, value in scope["headers"] if name == TRACEPARENT.encode()]
        caller = context_in(given[0].decode("latin-1")) if len(given) == 1 else None
        return self._start("request", SpanKind.SERVER, [caller] if caller else [])

    def answered(self, span: Span, method: str, route: str, status: int) -> None:
        """A request has its answer."""
        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
            }
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def publishing(self, requests: Sequence[Span], topic: str) -> "Publishing | None":
        """A record goes off with events of these requests."""
        causes = [span.get_span_context() for span in requests]
        span = self._start(f"publish {topic}", SpanKind.PRODUCER, causes, linked=True)
        return None if span is None else Publishing(span)

    @contextmanager
    def counting(self, traceparents: Iterable[bytes], topic: str) -> Iterator[None]:
        """A batch of records is counted in this block. Traced when one of its records is."""
        contexts = (context_in(one.decode("latin-1")) for one in traceparents)
        causes = [one for one in contexts if one is not None and one.trace_flags.sampled]
        span = (
            self._start(f"count {topic}", SpanKind.CONSUMER, causes, linked=True)
            if causes
            else None
        )
        if span is None:
            yield
            return
        try:
            yield
        except BaseException as error:
            _fail(span, error)
            raise
        finally:
            span.end()

    def _start(
        self, name: str, kind: SpanKind, causes: Sequence[SpanContext], *, linked: bool = False
    ) -> Span | None:
        parent = NonRecordingSpan(causes[0]) if causes else None
        links = [Link(cause) for cause in causes[:_MAX_LINKS]] if linked else []
        context = set_span_in_context(parent) if parent is not None else Context()
        span = self._tracer.start_span(name, context=context, kind=kind, links=links)
        return span if span.is_recording() else None

    def close(self) -> None:
        """Send what is left, if the collector takes it soon."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(_CLOSE_WITHIN_S)


class Publishing:
    """A record on its way to Kafka."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def header(self) -> tuple[str, bytes]:
        """What the record carries along for those who go on with it."""
        carrier: dict[str, str] = {}
        _w3c.inject(carrier, set_span_in_context(self._span))
        return TRACEPARENT, carrier[TRACEPARENT].encode()

    def end(self, error: Exception | None = None) -> None:
        """Kafka has it, or not."""
        if error is not None:
            _fail(self._span, error)
        self._span.end()


def _fail(span: Span, error: BaseException) -> None:
    """By its kind: its text may quote what somebody sent."""
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))


def context_in(traceparent: str) -> SpanContext | None:
    """The span that a header names; None when it is not valid."""
    context = _w3c.extract({TRACEPARENT: traceparent}, Context())
    found = get_current_span(context).get_span_context()
    return found if found.is_valid else None
