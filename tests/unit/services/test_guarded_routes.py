"""No route is open but those that are meant to be: a new one must name its caller."""

from collections.abc import Iterator
from inspect import signature

import pytest
from fastapi import FastAPI
from starlette.routing import Match, Route

from libs.access.api_keys import Scope
from libs.access.callers import Caller, Reader, Writer
from libs.access.key_store import KeyStore
from libs.http.admission import Guarded
from services.ingest.app import build as build_ingest
from services.ingest.publisher import Publisher
from services.ingest.settings import PublishSettings
from services.query.app import build as build_query
from tests.fakes_kafka import FakeKafka
from tests.golden_events import ACCEPTED_AT
from tests.unit.services.ingest import service as ingest
from tests.unit.services.query.conftest import Service as Query

OPEN = {"/healthz/live", "/healthz/ready", "/metrics", "/openapi.json"}


def apps() -> dict[str, FastAPI]:
    query, kafka, settings = Query(), FakeKafka(), ingest.settings_of()
    publisher = Publisher(kafka.topic, PublishSettings(), kafka.make_producer, share=0.5)
    return {
        "query": build_query(query.settings, query.clickhouse.connect, query.clock),
        "ingest": build_ingest(
            settings,
            KeyStore(settings.access),
            publisher,
            ingest._never_connect,
            lambda: ACCEPTED_AT,
        ),
    }


def routes_behind_keys(app: FastAPI) -> Iterator[Route]:
    for route in app.routes:
        path = getattr(route, "path", None)
        if path not in OPEN:
            assert isinstance(route, Route), f"{path} is no route that this test knows"
            yield route


@pytest.mark.parametrize(("name", "caller"), [("query", Reader), ("ingest", Writer)])
def test_route_names_its_caller_when_it_is_not_open(name: str, caller: type[Caller]) -> None:
    routes = list(routes_behind_keys(apps()[name]))
    assert routes
    for route in routes:
        guarded = getattr(route.endpoint, "__self__", None)
        assert isinstance(guarded, Guarded), f"{route.path} asks for no key"
        assert guarded.caller is caller
        *_, named = signature(guarded.route).parameters.values()
        assert named.annotation is caller


def test_every_scope_has_a_caller() -> None:
    assert {kind.scope for kind in Caller.__subclasses__()} == set(Scope)


@pytest.mark.parametrize("name", ["query", "ingest"])
def test_no_route_takes_a_path_with_a_line_end_behind_it(name: str) -> None:
    for route in apps()[name].routes:
        assert isinstance(route, Route)
        path = route.path.replace("{projectId}", "museum")
        scope = {"type": "http", "method": "GET", "path": path}

        assert route.matches(scope)[0] is not Match.NONE
        assert route.matches(scope | {"path": f"{path}\n"})[0] is Match.NONE
