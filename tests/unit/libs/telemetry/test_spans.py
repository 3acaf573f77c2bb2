"""What spans tell, whose they are, and what they never tell."""

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from libs.telemetry.spans import Traces, context_in, provider_of

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"
UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-00"


class Traced:
    """Traces, and the spans that have ended."""

    def __init__(self, sample_ratio: float = 1.0) -> None:
        provider = provider_of("test", sample_ratio)
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = Traces(provider)

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def parent_id(self, *traceparents: str) -> str | None:
        """The parent of a request that came with these headers; None when it begins a trace."""
        span = self.traces.request(request(*traceparents))
        assert span is not None
        self.traces.answered(span, "GET", "/route", 200)
        parent = self.ended[-1].parent
        return None if parent is None else f"{parent.span_id:016x}"


def request(*traceparents: str, path: str = "/api/v1/projects/secret/events") -> dict[str, Any]:
    headers = [(b"traceparent", one.encode()) for one in traceparents]
    return {"type": "http", "path": path, "headers": headers}


def test_trace_is_the_callers_when_its_header_is_valid() -> None:
    traced = Traced(sample_ratio=0.0)
    assert traced.parent_id(SAMPLED) == SPAN_ID
    # What a later version adds behind the flags is not ours to refuse.
    assert traced.parent_id(f"01-{TRACE_ID}-{SPAN_ID}-01-more") == SPAN_ID


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("",),
        ("nonsense",),
        (SAMPLED.upper(),),
        (SAMPLED + "-more",),
        (SAMPLED[:-1],),
        (f"ff-{TRACE_ID}-{SPAN_ID}-01",),
        (f"00-{'0' * 32}-{SPAN_ID}-01",),
        (f"00-{TRACE_ID}-{'0' * 16}-01",),
        (SAMPLED, SAMPLED),
    ],
)
def test_trace_is_our_own_when_the_header_is_not_valid(given: tuple[str, ...]) -> None:
    assert Traced().parent_id(*given) is None


def test_nothing_is_traced_when_the_caller_or_chance_says_so() -> None:
    assert Traced().traces.request(request(UNSAMPLED)) is None
    assert Traced(sample_ratio=0.0).traces.request(request()) is None
    assert Traced().traces.request(request(path="/healthz/ready")) is None
    assert Traced().traces.request(request(path="/metrics")) is None


def test_record_and_batch_lead_back_to_all_that_are_in_them() -> None:
    traced = Traced()
    traces = traced.traces
    requests = [traces.request(request()) for _ in range(3)]
    spans = [span for span in requests if span is not None]
    headers = []
    for some in (spans[:2], spans[2:]):
        publishing = traces.publishing(some, "events")
        assert publishing is not None
        headers.append(publishing.header())
        publishing.end()
    with traces.counting([value for _, value in headers], "events"):
        pass

    first, second, batch = traced.ended
    assert {name for name, _ in headers} == {"traceparent"}
    own = [span.get_span_context() for span in spans]
    assert [link.context.span_id for link in first.links] == [one.span_id for one in own[:2]]
    assert first.context.trace_id == own[0].trace_id
    assert second.context.trace_id == own[2].trace_id
    assert [link.context.span_id for link in batch.links] == [
        first.context.span_id,
        second.context.span_id,
    ]
    assert batch.context.trace_id == first.context.trace_id


def test_batch_is_not_traced_when_no_record_of_it_is() -> None:
    traced = Traced()
    with traced.traces.counting([b"nonsense", b"\xff", UNSAMPLED.encode()], "events"):
        pass
    assert traced.ended == ()


def test_error_is_told_by_its_kind_when_a_span_ends_with_one() -> None:
    traced = Traced()
    with (
        pytest.raises(ValueError, match="a canary"),
        traced.traces.counting([SAMPLED.encode()], "events"),
    ):
        raise ValueError("a canary")
    (span,) = traced.ended
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError")
    assert span.events == ()


def test_request_is_told_by_its_route_when_it_is_answered() -> None:
    traced = Traced()
    span = traced.traces.request(request())
    assert span is not None
    traced.traces.answered(span, "POST", "/api/v1/projects/{projectId}/events", 503)
    (ended,) = traced.ended
    assert ended.name == "POST /api/v1/projects/{projectId}/events"
    assert ended.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v1/projects/{projectId}/events",
        "http.response.status_code": 503,
    }
    assert ended.status.status_code is StatusCode.ERROR


def test_context_is_none_when_a_header_holds_what_is_no_ascii() -> None:
    assert context_in("00-ü") is None
