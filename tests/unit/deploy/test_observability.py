"""Dashboards and alert rules name what exists, and each alert says what to do."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from deploy.documents import DASHBOARDS
from deploy.local.layout import CHECKOUT
from libs.telemetry.metrics import GROUPS, SERVICES
from services.query.routes import PATH
from tests.promql import RULES, RUNBOOKS, faults, names_in

PROVISIONING = CHECKOUT / "deploy" / "grafana" / "provisioning"
COMPOSE = CHECKOUT / "docker-compose.yml"
SCRAPED = CHECKOUT / "deploy" / "prometheus" / "prometheus.yml"
ALERTS_PAGE = CHECKOUT / "docs" / "alerts.md"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(dashboard: str) -> list[dict[str, Any]]:
    listed = json.loads((DASHBOARDS / f"{dashboard}.json").read_text("utf-8"))["panels"]
    return [panel for panel in listed if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str, str]]:
    """Of each query of the dashboard for operators: title, expression, legend."""
    for panel in panels("operations"):
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


RULES_BY_NAME = {rule["alert"]: rule for rule in rules()}
each_rule = pytest.mark.parametrize("name", RULES_BY_NAME)


@pytest.mark.parametrize(("title", "expression", "legend"), list(queries()))
def test_query_names_only_what_exists(title: str, expression: str, legend: str) -> None:
    assert not list(faults(expression)), title
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    grouped = {
        one.strip() for part in re.findall(r"by \(([^)]*)\)", expression) for one in part.split(",")
    }
    joined = set(re.findall(r"group_left \((\w+)\)", expression))
    assert shown <= (grouped or {"instance", "job"}) | joined


@each_rule
def test_alert_names_only_what_exists(name: str) -> None:
    assert not list(faults(RULES_BY_NAME[name]["expr"]))


@pytest.mark.parametrize(
    "expression",
    [
        "rate(ragtime_requests[5m])",
        'ragtime_requests_total{state="500"}',
        "sum by (project) (ragtime_lag_records)",
        "sum(ragtime_lag_records) > bool ragtime_lag",
    ],
)
def test_fault_is_found_when_a_name_does_not_exist(expression: str) -> None:
    assert list(faults(expression))


def test_every_metric_is_seen_somewhere_when_it_is_worth_having() -> None:
    shown = set().union(*(names_in(expression) for _, expression, _ in queries()))
    shown |= set().union(*(names_in(rule["expr"]) for rule in rules()))
    metrics = [metric for group in GROUPS for metric in group.declared]
    unseen = [metric.name for metric in metrics if not shown & set(metric.series)]
    assert not unseen, (
        f"{unseen}: in no panel of deploy/grafana/operations.py and no rule of"
        " deploy/prometheus/rules"
    )


@each_rule
def test_alert_leads_to_its_own_section_of_the_runbook(name: str) -> None:
    annotations = RULES_BY_NAME[name]["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == f"{RUNBOOKS}#{name.lower()}"
    headings = re.findall(r"^### (\w+)$", ALERTS_PAGE.read_text("utf-8"), re.MULTILINE)
    assert headings.count(name) == 1


def test_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    headings = re.findall(r"^### (\w+)$", ALERTS_PAGE.read_text("utf-8"), re.MULTILINE)
    assert set(headings) == set(RULES_BY_NAME)


@each_rule
def test_alert_has_a_severity_that_the_runbook_explains(name: str) -> None:
    severity = RULES_BY_NAME[name]["labels"]["severity"]
    assert f"| `{severity}` |" in ALERTS_PAGE.read_text("utf-8")


@pytest.mark.parametrize("dashboard", ["operations", "analytics"])
def test_every_panel_has_its_place_and_says_what_it_shows(dashboard: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(dashboard):
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert panel["title"]
        assert panel["description"].endswith(".") or "`" in panel["description"]
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_analytics_ask_each_category_once_and_show_no_key() -> None:
    targets = [target for panel in panels("analytics") for target in panel["targets"]]
    asked = [
        {one["key"]: one["value"] for one in target["url_options"]["params"]} for target in targets
    ]
    assert len({one["category"] for one in asked}) == len(asked) == 9
    assert {target["url"] for target in targets} == {PATH.replace("{projectId}", "${project}")}
    text = (DASHBOARDS / "analytics.json").read_text("utf-8")
    assert "rt_live" not in text
    assert "Authorization" not in text


def test_prometheus_asks_each_service_where_its_metrics_are_and_nobody_else_can() -> None:
    jobs = yaml.safe_load(SCRAPED.read_text("utf-8"))["scrape_configs"]
    services = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    asked = {one["names"][0]: one["port"] for job in jobs for one in job.get("dns_sd_configs", ())}
    assert set(asked) == set(SERVICES)
    for name, port in asked.items():
        environment = services[name]["environment"]
        own = environment.get("RAGTIME_HTTP__METRICS_PORT", environment["RAGTIME_HTTP__PORT"])
        published = [one.rpartition(":")[2] for one in services[name].get("ports", ())]
        assert str(port) == own
        assert own not in published
    assert all("ragtime" in job["job_name"] for job in jobs if "dns_sd_configs" in job)


def test_provisioned_sources_are_those_that_dashboards_name() -> None:
    text = (PROVISIONING / "datasources" / "ragtime.yml").read_text("utf-8")
    sources = {source["uid"]: source for source in yaml.safe_load(text)["datasources"]}
    named = {panel["datasource"]["uid"] for panel in panels("analytics")}
    assert named == {"ragtime-analytics"}
    assert sources["ragtime-analytics"]["secureJsonData"] == {
        "bearerToken": "${GRAFANA_ANALYTICS_KEY}"
    }
    assert sources["ragtime-prometheus"]["isDefault"]
