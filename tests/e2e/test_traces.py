"""From a caller's `traceparent` to the batch that counted the event, as a collector gets it."""

from collections.abc import Iterator

import pytest

from tests.e2e.asking import bearer, message
from tests.e2e.collector import Collector, running_collector
from tests.e2e.stack import Stack, running_stack
from tests.e2e.waiting import wait_until
from tests.servers import Servers

pytestmark = pytest.mark.e2e

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
POST = "POST /api/v1/projects/{projectId}/events"
GET = "GET /api/v1/projects/{projectId}/analytics"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture
def traced(
    collector: Collector, real_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    more = {"RAGTIME_TRACES__ENDPOINT": collector.url, "RAGTIME_TRACES__SAMPLE_RATIO": "0"}
    with running_stack(real_servers, tmp_path_factory.mktemp("traces"), more=more) as running:
        yield running


def test_trace_leads_from_the_request_to_the_batch_when_a_caller_asks_for_it(
    traced: Stack, collector: Collector
) -> None:
    (project,) = traced.new_projects(1)
    sampled = bearer(project.live_key) | {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
    http, url = traced.http, traced.events_url(project.id)
    assert http.post(url, json=[message("a-canary")], headers=sampled).status_code == 202
    traced.wait_until_counted()
    assert http.get(traced.analytics_url(project.id), headers=sampled).status_code == 200

    events = traced.topics.events

    def all_came() -> bool:
        names = (("ingest", POST), ("ingest", f"publish {events}"), ("query", GET))
        counted = collector.spans("ragtime-processor", f"count {events}")
        return bool(counted) and all(collector.spans(f"ragtime-{s}", name) for s, name in names)

    wait_until(all_came, "all services have sent their spans")
    (request,) = collector.spans("ragtime-ingest", POST)
    (record,) = collector.spans("ragtime-ingest", f"publish {events}")
    (batch,) = collector.spans("ragtime-processor", f"count {events}")
    (question,) = collector.spans("ragtime-query", GET)

    assert {one.trace_id.hex() for one in (request, record, batch, question)} == {TRACE_ID}
    assert request.parent_span_id.hex() == question.parent_span_id.hex() == SPAN_ID
    assert record.parent_span_id == request.span_id
    assert [link.span_id for link in record.links] == [request.span_id]
    assert batch.parent_span_id == record.span_id
    assert [link.span_id for link in batch.links] == [record.span_id]
    everything = b"".join(collector.bodies)
    for private in (project.live_key, project.id, "a-canary", "127.0.0.1", "httpx", "c-1"):
        assert private.encode() not in everything
