"""API9:2023, improper inventory management: what answers is what the documents name.

Without a server: the apps tell their routes.
"""

from fastapi import FastAPI
from starlette.routing import Route

from libs.access.key_store import KeyStore
from services.ingest import app as ingest
from services.ingest.publisher import Publisher
from services.query import app as query
from tests.fakes_kafka import FakeKafka
from tests.golden_events import ACCEPTED_AT
from tests.security.operations import OPERATIONS
from tests.unit.services.ingest.service import settings_of
from tests.unit.services.query.conftest import Service

# For operators and tools: without a key, and without a word about a tenant (test_configuration).
_OPEN = {"/healthz/live", "/healthz/ready", "/metrics", "/openapi.json"}


def _routes(app: FastAPI) -> set[tuple[str, str]]:
    found = set()
    for route in app.routes:
        assert isinstance(route, Route)
        found |= {(method.lower(), route.path) for method in route.methods or ()}
    return {(method, path) for method, path in found if method != "head"}


def _documented(service: str) -> set[tuple[str, str]]:
    own = {(one.method, one.path) for one in OPERATIONS if one.service == service}
    return own | {("get", path) for path in _OPEN}


def test_every_route_of_query_is_documented_and_the_other_way_round() -> None:
    service = Service()
    app = query.build(service.settings, service.clickhouse.connect, service.clock)
    assert _routes(app) == _documented("query")


def test_every_route_of_ingest_is_documented_and_the_other_way_round() -> None:
    settings, kafka = settings_of(), FakeKafka()
    publisher = Publisher(kafka.topic, settings.publish, kafka.make_producer, share=0.5)
    never = Service().clickhouse.connect
    app = ingest.build(settings, KeyStore(settings.access), publisher, never, lambda: ACCEPTED_AT)
    assert _routes(app) == _documented("ingest")


def test_every_operation_asks_for_a_key_with_a_scope() -> None:
    assert len(OPERATIONS) >= 2
    assert all(one.scope for one in OPERATIONS)
    assert all("{projectId}" in one.path for one in OPERATIONS)
