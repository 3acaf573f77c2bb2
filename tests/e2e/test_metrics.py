"""What the running services show: as it is declared, by whom it is declared, and nothing else."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from deploy.documents import DASHBOARDS
from libs.telemetry.metrics import GROUPS, SERVICES
from tests.e2e.processes import Service
from tests.e2e.stack import Project, Stack
from tests.e2e.waiting import wait_until
from tests.ports import free_port
from tests.promql import RULES, known_series, names_in

pytestmark = pytest.mark.e2e

DECLARED = {metric.name: metric for group in GROUPS for metric in group.declared}
_OF_THE_LIBRARY = ("process_", "python_")


def families(stack: Stack, service: str) -> Iterator[Metric]:
    text = stack.http.get(f"{stack.services[service].url}/metrics").text
    yield from text_string_to_metric_families(text)


def values(stack: Stack, service: str, series: str) -> dict[tuple[str, ...], float]:
    """The values of a series by those of its labels."""
    samples = [one for family in families(stack, service) for one in family.samples]
    return {tuple(one.labels.values()): one.value for one in samples if one.name == series}


@pytest.mark.parametrize("service", SERVICES)
def test_every_label_has_a_declared_value_when_all_kinds_of_requests_came(
    stack: Stack, project: Project, service: str
) -> None:
    url = stack.services[service].url
    for path in ("/", f"/{project.id}", "/healthz/ready", f"/api/v1/projects/{project.id}/events"):
        stack.http.get(f"{url}{path}", headers={"Authorization": f"Bearer {project.live_key}"})
    known = known_series()
    for family in families(stack, service):
        if family.name.startswith(_OF_THE_LIBRARY):
            continue
        for sample in family.samples:
            assert set(sample.labels) <= known[sample.name]
            assert project.id not in "".join(sample.labels.values())
            declared = DECLARED[sample.name] if sample.name in DECLARED else DECLARED[family.name]
            for label, value in sample.labels.items():
                allowed = declared.labels.get(label, "le")
                assert isinstance(allowed, str) or value in allowed


def test_lag_and_servers_are_told_when_all_has_been_counted(own_stack: Stack) -> None:
    (project,) = own_stack.new_projects(1)
    own_stack.post_events(project, [_message("metrics")])
    own_stack.wait_until_counted()

    def lag() -> dict[tuple[str, ...], float]:
        return values(own_stack, "processor", "ragtime_lag_records")

    wait_until(lambda: len(lag()) == own_stack.topics.partitions, "each partition's lag is told")
    wait_until(lambda: not any(lag().values()), "the lag is 0")
    assert values(own_stack, "processor", "ragtime_server_answers") == {
        ("kafka",): 1.0,
        ("clickhouse",): 1.0,
    }
    assert values(own_stack, "processor", "ragtime_partitions_stuck") == {(): 0.0}


def test_every_series_that_alerts_and_dashboards_ask_for_is_shown(
    stack: Stack, project: Project
) -> None:
    stack.analytics(project)
    wait_until(
        lambda: bool(values(stack, "processor", "ragtime_lag_records")), "the lag has been told"
    )
    shown = {
        sample.name
        for service in SERVICES
        for family in families(stack, service)
        for sample in family.samples
    }
    rules = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    asked = [rule["expr"] for group in rules for rule in group["rules"]]
    asked += [target["expr"] for target in _targets("operations")]
    # The doctor writes its own into a file, see test_doctor.py.
    of_others = {"up", "ALERTS"} | {name for name in known_series() if "_doctor_" in name}
    assert set().union(*map(names_in, asked)) - of_others <= shown


def test_analytics_answer_every_question_of_the_dashboard(stack: Stack, project: Project) -> None:
    stack.post_events(project, [_message("dashboard")])
    stack.wait_until_counted()
    today = datetime.now(UTC).date().isoformat()
    values_of = {"project": project.id, "live": "true"} | dict.fromkeys(
        ("__from:date:YYYY-MM-DD", "__to:date:YYYY-MM-DD"), today
    )

    def filled(text: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda match: values_of[match[1]], text)

    for target in _targets("analytics"):
        answer = stack.http.get(
            stack.services["query"].url + filled(target["url"]),
            params={one["key"]: filled(one["value"]) for one in target["url_options"]["params"]},
            headers={"Authorization": f"Bearer {project.live_key}"},
        )
        assert answer.status_code == 200, answer.text
        columns = {column["selector"] for column in target["columns"]}
        assert all(columns <= set(row) for row in answer.json()["stats"])
    assert len(_targets("analytics")) == 9


def _targets(dashboard: str) -> list[dict[str, Any]]:
    panels = json.loads((DASHBOARDS / f"{dashboard}.json").read_text("utf-8"))["panels"]
    return [target for panel in panels for target in panel.get("targets", ())]


@pytest.mark.parametrize("service", SERVICES)
def test_checks_are_those_of_readiness(stack: Stack, service: str) -> None:
    def is_the_same() -> bool:
        checks = stack.http.get(f"{stack.services[service].url}/healthz/ready").json()["checks"]
        told = values(stack, service, "ragtime_ready_check")
        return told == {(name,): float(passes) for name, passes in checks.items()}

    # Asked one after the other; what a check says may change between the two.
    wait_until(is_the_same, "both tell the same")


def test_batch_is_one_line_in_the_log_when_it_was_counted(own_stack: Stack) -> None:
    (project,) = own_stack.new_projects(1)
    before = own_stack.services["processor"].log.stat().st_size
    message = {
        "id": "logged",
        "type": "chat.message",
        "role": "user",
        "sessionId": "logged",
        "conversationId": "logged",
    }
    own_stack.post_events(project, [message])
    own_stack.wait_until_counted()
    wait_until(lambda: bool(_batches(own_stack, before)), "the batch is in the log")
    (line,) = _batches(own_stack, before)
    fields = ("records", "events", "duplicates", "skipped", "dead_letters")
    assert {name: line[name] for name in fields} == {
        "records": 1,
        "events": 1,
        "duplicates": 0,
        "skipped": 0,
        "dead_letters": 0,
    }
    assert isinstance(line["age_ms"], int)
    assert project.id not in str(line)


def _batches(stack: Stack, since: int) -> list[dict[str, object]]:
    written = stack.services["processor"].log.read_bytes()[since:].decode()
    return [line for line in map(_fields, written.splitlines()) if line["event"] == "batch.counted"]


def _fields(line: str) -> dict[str, object]:
    fields: dict[str, object] = json.loads(line)
    return fields


def test_metrics_are_on_their_own_port_alone_when_there_is_one(
    stack: Stack, tmp_path: Path
) -> None:
    port = free_port()
    settings = {"RAGTIME_HTTP__METRICS_PORT": str(port)}
    service = Service("query", stack.environment | settings, tmp_path / "query.log")
    service.start()
    try:
        service.wait_until_ready()
        own = stack.http.get(f"http://127.0.0.1:{port}/metrics")
        other = stack.http.get(f"{service.url}/metrics")
    finally:
        service.close()
    assert (own.status_code, other.status_code) == (200, 404)
    assert 'service="query"' in own.text


def _message(conversation: str) -> dict[str, str]:
    return {
        "type": "chat.message",
        "role": "user",
        "sessionId": conversation,
        "conversationId": conversation,
    }
