"""promtool on rules, dashboards' queries, the scrape configuration, and what services show."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.documents import DASHBOARDS
from deploy.local.layout import CHECKOUT
from libs.telemetry.metrics import SERVICES
from tests.deploy.alert_cases import ALL_IS_WELL, CASES, Case, Series
from tests.deploy.tools import PROMTOOL, go_tool
from tests.e2e.stack import Stack
from tests.promql import RULES

pytestmark = pytest.mark.deploy

PROMETHEUS = CHECKOUT / "deploy" / "prometheus"
_FIRING = 'max by (alertname) (ALERTS{alertstate="firing"})'


@pytest.fixture(scope="session")
def promtool() -> Path:
    return go_tool(PROMTOOL)


def run(promtool: Path, *arguments: str, text: str = "") -> str:
    """What promtool says. It must find nothing."""
    done = subprocess.run(
        [promtool, *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_rules_are_valid(promtool: Path) -> None:
    assert "SUCCESS" in run(promtool, "check", "rules", "--lint-fatal", "--lint=all", str(RULES))


@pytest.mark.parametrize("file", sorted(PROMETHEUS.glob("*.yml")), ids=lambda file: file.name)
def test_scrape_configuration_is_valid(promtool: Path, file: Path) -> None:
    run(promtool, "check", "config", "--lint-fatal", str(file))


def test_queries_of_dashboards_are_valid(promtool: Path, tmp_path: Path) -> None:
    dashboard = json.loads((DASHBOARDS / "operations.json").read_text("utf-8"))
    targets = [one for panel in dashboard["panels"] for one in panel.get("targets", ())]
    expressions = [one["expr"].replace("$__rate_interval", "1m") for one in targets]
    assert expressions
    rules = [{"record": f"query:{at}", "expr": text} for at, text in enumerate(expressions)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")
    run(promtool, "check", "rules", str(file))


@pytest.mark.e2e
@pytest.mark.parametrize("service", SERVICES)
def test_metrics_of_the_running_services_follow_the_conventions(
    promtool: Path, stack: Stack, service: str
) -> None:
    text = stack.http.get(f"{stack.services[service].url}/metrics").text
    assert "ragtime_build_info" in text
    assert not run(promtool, "check", "metrics", text=text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_alerts_fire_when_they_should_and_no_others(
    promtool: Path, tmp_path: Path, case: Case
) -> None:
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump(_test_of(case)), "utf-8")
    run(promtool, "test", "rules", str(file))


def test_every_alert_is_seen_firing() -> None:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert set().union(*(case.alerts for case in CASES)) == alerts


def _test_of(case: Case) -> dict[str, Any]:
    series: Series = {**ALL_IS_WELL, **case.series}
    firing = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(case.alerts)]
    return {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": case.name,
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values}
                    for name, values in series.items()
                    if values is not None
                ],
                "promql_expr_test": [
                    {"expr": _FIRING, "eval_time": case.at, "exp_samples": firing}
                ],
            }
        ],
    }
