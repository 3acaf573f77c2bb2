"""The profiles of docker-compose.yml: Prometheus on the running stack, and the demo with `up`.

Grafana can't be had where images can't be pulled: what it shows is asked of Prometheus here.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import yaml

from deploy.documents import DASHBOARDS
from tests.deploy.containers import Compose
from tests.e2e.waiting import wait_until
from tests.promql import RULES

pytestmark = [pytest.mark.docker, pytest.mark.allow_hosts(["127.0.0.1"])]

Json = dict[str, Any]
Ask = Callable[..., list[Json]]

# Two scrapes, a new name in the DNS and an evaluation, each every 15 s.
_SEEN_WITHIN_S = 90.0
_REQUESTS = (("ingest", "POST", "events"), ("query", "GET", "analytics"))
_ASK = """
import json, sys, urllib.request
print(json.dumps([json.load(urllib.request.urlopen(url)) for url in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def ask(running: Compose) -> Ask:
    """Ask Prometheus from the stack's network, where alone it is reached: an answer a question."""
    if not running.has_prometheus:
        pytest.skip("NOT TESTED: Go is not on the PATH, so there is no stand-in for Prometheus")
    running.run("--profile", "observability", "up", "--detach", "prometheus")

    def asked(path: str, *queries: str) -> list[Json]:
        url = f"http://prometheus:9090/api/v1/{path}"
        urls = [str(httpx.URL(url, params={"query": query})) for query in queries] or [url]
        options = ("run", "--rm", "-T", "--no-deps", "--entrypoint=python", "ragtime")
        found: list[Json] = json.loads(running.run(*options, "-c", _ASK, *urls).stdout)
        assert {one["status"] for one in found} == {"success"}
        return [one["data"] for one in found]

    return asked


def test_prometheus_reads_every_process_when_there_are_two_processors(
    running: Compose, ask: Ask
) -> None:
    running.run("up", "--detach", "--wait", "--no-deps", "--scale", "processor=2", "processor")
    jobs = {"ragtime-ingest": 1, "ragtime-processor": 2, "ragtime-query": 1, "prometheus": 1}
    wait_until(lambda: _up(ask) == jobs, "Prometheus reads them all", _SEEN_WITHIN_S)

    (found,) = ask("query", "sum by (service) (ragtime_build_info)")
    builds = {one["metric"]["service"]: one["value"][1] for one in found["result"]}
    assert builds == {"ingest": "1", "processor": "2", "query": "1"}
    running.run("up", "--detach", "--no-deps", "--scale", "processor=1", "processor")


def test_rules_are_evaluated_and_notice_when_a_service_is_gone(running: Compose, ask: Ask) -> None:
    wait_until(lambda: set(_rules(ask, "health").values()) == {"ok"}, "all work", _SEEN_WITHIN_S)
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    assert set(_rules(ask, "health")) == {
        one["alert"] for group in groups for one in group["rules"]
    }

    def absent() -> str:
        return _rules(ask, "state")["RagtimeServiceAbsent"]

    wait_until(lambda: absent() == "inactive", "all services are there", _SEEN_WITHIN_S)
    running.run("stop", "processor")
    wait_until(lambda: absent() == "pending", "the processor is missed", _SEEN_WITHIN_S)
    running.run("up", "--detach", "--wait", "--no-deps", "processor")


def test_every_query_of_the_dashboard_has_something_to_show(running: Compose, ask: Ask) -> None:
    dashboard = json.loads((DASHBOARDS / "operations.json").read_text("utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    queries = [one["expr"] for panel in panels for one in panel["targets"]]
    plain = [query.replace("$__rate_interval", "1m") for query in queries]

    def shown() -> int:
        for service, method, path in _REQUESTS:
            url = f"{running.url(service)}/api/v1/projects/museum/{path}"
            assert httpx.request(method, url, trust_env=False).status_code == 401
        return sum(bool(answer["result"]) for answer in ask("query", *plain))

    wait_until(lambda: shown() == len(plain), "all have", _SEEN_WITHIN_S)


def test_demo_is_over_with_zero_when_it_is_brought_up_with_the_stack(running: Compose) -> None:
    profile = ("--profile", "demo")
    running.run(*profile, "up", "--detach")

    def state() -> Json:
        found: Json = running.state("demo")["State"]
        return found

    wait_until(lambda: state()["Status"] == "exited", "the demo is over", _SEEN_WITHIN_S)
    said = running.run(*profile, "logs", "--no-color", "demo").stdout
    assert state()["ExitCode"] == 0
    assert "Messages of users in the last 7 days" in said
    assert "rt_live_" not in said


def _up(ask: Ask) -> dict[str, int]:
    """How many processes of each job answer."""
    (found,) = ask("targets?state=active")
    jobs = [one["labels"]["job"] for one in found["activeTargets"] if one["health"] == "up"]
    return {job: jobs.count(job) for job in jobs}


def _rules(ask: Ask, field: str) -> dict[str, str]:
    """A field of each alert rule by its name."""
    (found,) = ask("rules")
    return {rule["name"]: rule[field] for group in found["groups"] for rule in group["rules"]}
