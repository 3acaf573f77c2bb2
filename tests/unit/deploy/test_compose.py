"""docker-compose.yml names settings that its services read, and all that they need."""

from typing import Any

import pytest
import yaml

from deploy.local.layout import CHECKOUT
from deploy.settings import all_settings

Json = dict[str, Any]

COMPOSE = CHECKOUT / "docker-compose.yml"
DOCKERFILES = [CHECKOUT / "Dockerfile", CHECKOUT / "deploy" / "Dockerfile"]
PROCESSES = {
    "ingest": "ingest",
    "processor": "processor",
    "query": "query",
    "init": "ragtime",
}

# Both come with the same change: once there are images, there is no reason for this.
pytestmark = pytest.mark.skipif(
    not any(file.exists() for file in DOCKERFILES), reason="NOT TESTED: there are no images yet"
)


def services() -> dict[str, Json]:
    found: dict[str, Json] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return found


def variables(service: Json) -> set[str]:
    """The names of ours that a service is given; compose takes a list as well."""
    environment = service.get("environment", {})
    names = {one.partition("=")[0] for one in environment}
    return {name for name in names if name.startswith("RAGTIME_")}


@pytest.mark.parametrize("service", PROCESSES)
def test_variables_are_those_of_the_process_when_compose_names_them(service: str) -> None:
    known = {one.variable for one in all_settings() if one.process == PROCESSES[service]}
    assert variables(services()[service]) <= known


@pytest.mark.parametrize("service", ["ingest", "processor", "query"])
def test_all_is_given_that_the_process_needs_when_compose_starts_it(service: str) -> None:
    required = {
        one.variable
        for one in all_settings()
        if one.process == service and one.default == "required"
    }
    assert required
    assert required <= variables(services()[service])
