"""One host for both services: by an Ingress, and by the Gateway API."""

import re
from typing import Any

import pytest

from services.ingest.routes import EVENTS_PATH
from services.query.routes import PATH as ANALYTICS_PATH
from tests.deploy.chart import manifests, notes, of_kind, render, values_file

pytestmark = pytest.mark.deploy

Json = dict[str, Any]

_EVENTS = EVENTS_PATH.replace("{projectId}", "museum")
_ANALYTICS = ANALYTICS_PATH.replace("{projectId}", "museum")


def _ingress() -> Json:
    return of_kind(manifests(render(*values_file("one-host"))), "Ingress")["api"]


def _route() -> Json:
    return of_kind(manifests(render(*values_file("openshift"))), "HTTPRoute")["api"]


def _led_by_ingress(path: str) -> str:
    """Where ingress-nginx leads a path: with patterns on, the longest one that begins it wins."""
    (rule,) = _ingress()["spec"]["rules"]
    for one in sorted(rule["http"]["paths"], key=lambda one: -len(one["path"])):
        whole = re.fullmatch if one["pathType"] == "Exact" else re.match
        if whole(one["path"], path):
            return str(one["backend"]["service"]["name"])
    return ""


def _led_by_route(method: str, path: str, **headers: str) -> str:
    """Where a Gateway leads a request: of matches with equal paths one that names a method wins."""
    found: list[tuple[int, str]] = []
    for rule in _route()["spec"]["rules"]:
        for match in rule["matches"]:
            wanted = match["path"]
            is_exact = wanted["type"] == "Exact"
            begins = f"{path}/".startswith(f"{wanted['value']}/")
            fits = [
                path == wanted["value"] if is_exact else begins,
                match.get("method", method) == method,
                all(headers.get(one["name"]) == one["value"] for one in match.get("headers", [])),
            ]
            if all(fits):
                found.append(("method" in match, rule["backendRefs"][0]["name"]))
    return max(found)[1] if found else ""


@pytest.mark.parametrize(
    ("path", "service"),
    [
        (_EVENTS, "ingest"),
        (f"{_EVENTS}/", "ingest"),
        (_ANALYTICS, "query"),
        ("/api/v1/projects/events/analytics", "query"),
        ("/api/v1/projects/museum/events/more", "query"),
        ("/openapi.json", "query"),
        ("/healthz/ready", ""),
        ("/metrics", ""),
        ("/", ""),
    ],
)
def test_one_ingress_leads_each_path_to_its_service(path: str, service: str) -> None:
    assert _led_by_ingress(path) == (f"release-ragtime-analytics-{service}" if service else "")


def test_one_ingress_has_one_host_with_tls_and_patterns_that_nginx_reads() -> None:
    ingress = _ingress()
    (rule,) = ingress["spec"]["rules"]

    assert ingress["spec"]["tls"] == [{"hosts": [rule["host"]], "secretName": "analytics-tls"}]
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/use-regex"] == "true"


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("POST", _EVENTS, "ingest"),
        ("GET", _ANALYTICS, "query"),
        ("HEAD", _ANALYTICS, "query"),
        ("GET", "/openapi.json", "query"),
        ("GET", "/healthz/ready", ""),
        ("POST", "/metrics", ""),
        ("GET", "/apis", ""),
    ],
)
def test_one_route_leads_each_request_to_its_service(method: str, path: str, service: str) -> None:
    assert _led_by_route(method, path) == (
        f"release-ragtime-analytics-{service}" if service else ""
    )


def test_a_browser_that_asks_first_is_led_where_it_will_send() -> None:
    asked = "Access-Control-Request-Method"

    assert _led_by_route("OPTIONS", _EVENTS, **{asked: "POST"}).endswith("-ingest")
    assert _led_by_route("OPTIONS", _ANALYTICS, **{asked: "GET"}).endswith("-query")


def test_route_names_ports_that_the_services_have() -> None:
    services = of_kind(manifests(render(*values_file("openshift"))), "Service")
    ports = {
        one["metadata"]["name"]: {port["port"] for port in one["spec"].get("ports", [])}
        for one in services.values()
    }
    backends = [one for rule in _route()["spec"]["rules"] for one in rule["backendRefs"]]

    assert len(backends) == 2
    assert all(one["port"] in ports[one["name"]] for one in backends)


def test_notes_tell_the_one_host_and_what_is_to_be_trusted(tmp_path: Any) -> None:
    text = notes(tmp_path / "a", *values_file("openshift"))

    assert "https://analytics.example/api/v1/projects/" in text
    assert "query.settings.RAGTIME_TRUSTED_PROXIES is not set" in text
    trusting = notes(tmp_path / "b", *values_file("one-host"))
    assert "RAGTIME_TRUSTED_PROXIES is not set" not in trusting
