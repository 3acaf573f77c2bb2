"""The images and docker-compose.yml, run: what an image holds, an answer, a killed processor.

`make test-deploy` runs it. Real base images are taken where they can be had, else stand-ins.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from deploy.local.layout import CHECKOUT
from tests.deploy.containers import (
    PYTHON_IMAGE,
    RELEASE,
    REVISION,
    SERVICES,
    Compose,
    docker,
    image_of,
    python_in,
)
from tests.e2e.model import answer
from tests.e2e.traffic import make_traffic, send_traffic
from tests.e2e.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.allow_hosts(["127.0.0.1"])]

_PROJECT = "museum"
_EVENTS = 60_000
_COUNTED_WITHIN_S = 120.0
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_CONTENTS = """
import importlib.metadata, importlib.util, json, os, pathlib, shutil, site
import services
try:
    pathlib.Path("/opt/ragtime/written").touch()
    writable = True
except OSError:
    writable = False
print(json.dumps({
    "services": sorted(one.name for one in pathlib.Path(services.__file__).parent.iterdir()
                       if one.is_dir() and one.name != "__pycache__"),
    "distributions": {one.name: one.version for one in
                      importlib.metadata.distributions(path=site.getsitepackages())},
    "uid": os.getuid(),
    "writable": writable,
    "tools": [name for name in ("pip", "pip3", "gcc", "cc", "g++", "make") if shutil.which(name)],
    "modules": [name for name in ("pip", "ensurepip") if importlib.util.find_spec(name)],
    "sbom": json.loads(pathlib.Path("/opt/ragtime/sbom.cdx.json").read_text()),
    "ragtime": bool(shutil.which("ragtime")),
}))
"""
_TRACE = """
from libs.settings import TraceSettings
from libs.telemetry.tracing import tracing
with tracing("a-service", TraceSettings(endpoint="http://127.0.0.1:9/v1/traces")) as traces:
    print('"on"' if traces else '"off"')
"""
_ASK = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
with urllib.request.urlopen(request) as response:
    print(json.dumps({"status": response.status, "body": json.load(response)}))
"""


@pytest.fixture(scope="module")
def contents(compose: Compose) -> dict[str, Any]:
    """What each image holds, seen from inside."""
    return {service: python_in(image_of(service), _CONTENTS) for service in SERVICES}


@pytest.fixture(params=["ingest", "processor", "query"])
def traced(request: pytest.FixtureRequest, compose: Compose) -> Iterator[tuple[str, str]]:
    """A service, and an image of it that can send traces."""
    arguments = _build_arguments(compose, f"SERVICE={request.param}", "EXTRAS=traces")
    image = docker("build", "--quiet", *arguments, ".").stdout.strip()
    yield request.param, image
    docker("image", "rm", image)


@pytest.fixture(scope="module")
def key(running: Compose) -> str:
    """A key of a project of its own, known to both services."""
    scopes = ("--scope", "analytics:read", "--scope", "events:write", "--rate", "10000")
    made = running.ragtime("keys", "create", "--project", _PROJECT, *scopes, "--json")
    own = str(json.loads(made)["key"])
    wait_until(lambda: _get(_analytics(running), own).status_code == 200, "query has the key")
    wait_until(lambda: _post(_events(running), own) not in {401, 503}, "ingest has the key")
    return own


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_its_service_alone(contents: dict[str, Any], service: str) -> None:
    assert contents[service]["services"] == [service]
    installed = _names(contents[service]["distributions"])
    assert {"ragtime-analytics", "pydantic"} <= installed
    assert installed <= _wanted(service) | {"ragtime-analytics"}
    assert contents[service]["ragtime"] is (service == "admin")


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_brings_nothing_to_build_with(contents: dict[str, Any], service: str) -> None:
    assert contents[service]["tools"] == []
    assert contents[service]["modules"] == []


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_runs_as_nobody_in_particular(contents: dict[str, Any], service: str) -> None:
    assert contents[service]["uid"] == 10001
    assert contents[service]["writable"] is False


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_lists_what_it_is_made_of(contents: dict[str, Any], service: str) -> None:
    sbom, installed = contents[service]["sbom"], contents[service]["distributions"]
    listed = {one["name"]: one["version"] for one in sbom["components"]}
    assert sbom["bomFormat"] == "CycloneDX"
    assert listed == {name: of for name, of in installed.items() if name != "ragtime-analytics"}
    assert all(one["purl"].startswith("pkg:pypi/") for one in sbom["components"])
    assert sbom["metadata"]["component"]["name"] == "ragtime-analytics"
    assert sbom["metadata"]["component"]["version"] == RELEASE


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_labels(compose: Compose, service: str) -> None:
    labels = json.loads(docker("inspect", image_of(service)).stdout)[0]["Config"]["Labels"]
    about = f"Daily analytics for RAGtime chat assistants: {service}"
    wanted = {
        "title": f"ragtime-analytics {service}",
        "description": about,
        "licenses": "Apache-2.0",
        "version": RELEASE,
        "revision": REVISION,
        "base.name": compose.lines().get("PYTHON_IMAGE", PYTHON_IMAGE),
    }
    assert (
        wanted.items()
        <= {
            name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()
        }.items()
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("SERVICE=quary",), "SERVICE is 'quary': give --build-arg SERVICE=ingest"),
        (("SERVICE=query", "EXTRAS=trace"), "EXTRAS is 'trace': give --build-arg EXTRAS=traces"),
    ],
)
def test_an_unknown_argument_is_refused_with_a_sentence(
    compose: Compose, arguments: tuple[str, ...], sentence: str
) -> None:
    done = docker("build", *_build_arguments(compose, *arguments), ".", check=False)
    assert done.returncode != 0
    assert sentence in done.stderr


def test_an_image_has_the_packages_for_traces_when_asked(
    traced: tuple[str, str], contents: dict[str, Any]
) -> None:
    service, image = traced
    held, plain = python_in(image, _CONTENTS), _names(contents[service]["distributions"])
    assert plain < _names(held["distributions"]) <= plain | _wanted("traces")
    assert "opentelemetry-sdk" in {one["name"] for one in held["sbom"]["components"]}
    assert python_in(image, _TRACE) == "on"
    with pytest.raises(RuntimeError, match="an image: --build-arg EXTRAS=traces"):
        python_in(image_of(service), _TRACE)


def test_compose_refuses_to_start_without_secrets(compose: Compose) -> None:
    done = docker("compose", "--env-file=/dev/null", "config", "--quiet", check=False)
    assert done.returncode != 0
    assert "run `make env`" in done.stderr


def test_the_stack_answers_its_host_and_its_network(running: Compose, key: str) -> None:
    url = _analytics(running)
    asked = {"category": "usage", "from": f"{datetime.now(UTC):%Y-%m-%d}"}
    answer_of_host = httpx.get(url, params=asked, headers=_bearer(key), trust_env=False)
    assert answer_of_host.status_code == 200
    assert answer_of_host.headers["X-RateLimit-Limit"] == "10000"
    inside = f"http://query:8080/api/v1/projects/{_PROJECT}/analytics?category=usage"
    options = ("run", "--rm", "-T", "--no-deps", "--entrypoint=python", "ragtime")
    answered = json.loads(running.run(*options, "-c", _ASK, inside, key).stdout)
    assert answered["status"] == 200
    assert answered["body"]["projectId"] == _PROJECT


def test_the_containers_are_healthy_and_bound_to_loopback(running: Compose, key: str) -> None:
    for service in ("ingest", "processor", "query", "kafka", "clickhouse", "valkey"):
        state = running.state(service)
        assert state["State"]["Health"]["Status"] == "healthy", service
        bound = [one for ports in state["NetworkSettings"]["Ports"].values() for one in ports or ()]
        assert {one["HostIp"] for one in bound} <= {"127.0.0.1"}, service
        assert bool(bound) is (service in {"ingest", "query"})
    assert running.state("init")["State"]["ExitCode"] == 0


def test_nothing_is_lost_when_the_processor_is_killed_under_load(
    running: Compose, key: str, figures: list[str]
) -> None:
    traffic = make_traffic(seed=7, events=_EVENTS)
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send_traffic, _events(running), key, traffic)
        for _ in range(2):
            running.run("kill", "processor")
            assert not sending.done(), "the load ended before the kill: send more"
            running.run("up", "--detach", "--no-deps", "processor")
        sending.result()
    answered = time.monotonic()
    expected = answer(traffic.sent(), live_only=False)
    wait_until(lambda: _stats(running, key) == expected, "all is counted", _COUNTED_WITHIN_S)
    figures.append(
        f"{_EVENTS} events and {traffic.repeated} repeats over two kills of the processor: exact,"
        f" {time.monotonic() - answered:.0f} s after the last 202"
    )
    running.ragtime("audit")


def test_the_demo_answers_and_keeps_its_keys_out_of_the_log(running: Compose) -> None:
    said = running.run("run", "--rm", "-T", "demo").stdout
    assert "Messages of users in the last 7 days" in said
    assert "rt_live_" not in said
    kept = running.run("run", "--rm", "-T", "--no-deps", "demo", "keys").stdout
    demo = dict(line.split("=", 1) for line in kept.splitlines())
    assert demo["RT_LIVE_KEY"].startswith("rt_live_")
    url = f"{running.url('query')}/api/v1/projects/{demo['RT_PROJECT']}/analytics"
    assert demo["RT_QUERY_URL"] == running.url("query")
    assert _get(url, demo["RT_LIVE_KEY"]).json()["stats"]


def test_all_services_end_with_zero_and_come_back(running: Compose, key: str) -> None:
    running.run("stop", "ingest", "processor", "query")
    codes = {name: running.state(name)["State"]["ExitCode"] for name in SERVICES if name != "admin"}
    assert codes == {"ingest": 0, "processor": 0, "query": 0}
    running.run("up", "--detach", "--wait")
    assert _get(_analytics(running), key).status_code == 200


def _names(distributions: Iterable[str]) -> set[str]:
    """Names of distributions as the registry compares them."""
    return {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}


def _wanted(extra: str) -> set[str]:
    text = (CHECKOUT / "requirements" / f"{extra}.txt").read_text()
    return _names(_REQUIREMENT.findall(text))


def _build_arguments(stack: Compose, *arguments: str) -> list[str]:
    """Those of `docker build`, with the base that compose builds on."""
    base = [f"{name}={value}" for name, value in stack.lines().items() if name == "PYTHON_IMAGE"]
    return [f"--build-arg={one}" for one in (*arguments, *base)]


def _analytics(stack: Compose) -> str:
    return f"{stack.url('query')}/api/v1/projects/{_PROJECT}/analytics"


def _events(stack: Compose) -> str:
    return f"{stack.url('ingest')}/api/v1/projects/{_PROJECT}/events"


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _get(url: str, key: str) -> httpx.Response:
    return httpx.get(url, headers=_bearer(key), trust_env=False)


def _post(url: str, key: str) -> int:
    return httpx.post(url, headers=_bearer(key), trust_env=False).status_code


def _stats(stack: Compose, key: str) -> list[dict[str, Any]]:
    """What is counted, in all categories and of all kinds."""
    asked = {"live": "false"}
    got = httpx.get(_analytics(stack), params=asked, headers=_bearer(key), trust_env=False)
    found: list[dict[str, Any]] = got.json()["stats"]
    return found
