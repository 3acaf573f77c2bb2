"""What each service shows, and what is there before anything has happened."""

import re
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from libs.events.reasons import DeadLetterReason
from libs.http.refusals import EARLY, STOPPING
from libs.telemetry.groups import Declared, Group
from libs.telemetry.metrics import GROUPS, SERVICES, shown_by
from services.processor.reactions import Reaction

DECLARED = [declared for group in GROUPS for declared in group.declared]
each_service = pytest.mark.parametrize("service", SERVICES)
each_metric = pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)


def shown_names(service: str) -> Iterator[str]:
    for family in text_string_to_metric_families(generate_latest(shown_by(service)).decode()):
        yield from {sample.name for sample in family.samples} | {family.name}


@each_service
def test_service_shows_its_own_metrics_and_no_others(service: str) -> None:
    own = {metric.name.removesuffix("_total") for metric in DECLARED if service in metric.services}
    others = {metric.name.removesuffix("_total") for metric in DECLARED} - own
    shown = {name.removesuffix("_total") for name in shown_names(service)}
    assert own <= shown
    assert not others & shown
    assert {"process_cpu_seconds", "python_info"} <= shown


@each_service
def test_nothing_is_said_twice(service: str) -> None:
    assert not [name for name in shown_names(service) if name.endswith("_created")]
    text = generate_latest(shown_by(service)).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    series = [line.rsplit(" ", 1)[0] for line in lines]
    assert len(series) == len(set(series))


@each_metric
def test_name_says_kind_and_unit(metric: Declared) -> None:
    assert re.fullmatch(r"ragtime_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert not re.search(r"_(ms|minutes|hours|kb|mb|count|sum|bucket)$", metric.name)
    assert metric.help[:1].isupper() or metric.help[:1] in "`1"


@each_metric
def test_labels_say_nothing_of_tenants_or_their_keys(metric: Declared) -> None:
    assert not set(metric.labels) & {"project", "project_id", "key", "key_id", "path", "address"}


def test_every_series_is_there_when_the_values_of_its_labels_are_known() -> None:
    group = Group("test")
    group.counter("ragtime_test_total", "Help", reason=DeadLetterReason)
    text = generate_latest(group.registry).decode()
    for reason in DeadLetterReason:
        assert f'ragtime_test_total{{reason="{reason.value}"}} 0.0\n' in text


def test_every_reaction_has_its_series() -> None:
    retries = next(one for one in DECLARED if one.name == "ragtime_insert_retries_total")
    assert set(retries.labels["reaction"]) == {reaction.value for reaction in Reaction} | {"wait"}


def test_every_reason_to_cut_a_connection_has_its_series() -> None:
    cut = next(one for one in DECLARED if one.name == "ragtime_connections_cut_total")
    refusals = {problem.code for problem in (*EARLY, STOPPING)}
    assert set(cut.labels["reason"]) == refusals | {"idle", "stopping", "slow_reader"}


@each_service
def test_build_is_told_in_labels(service: str) -> None:
    text = generate_latest(shown_by(service)).decode()
    labels = rf'python="3\.\d+\.\d+\S*",service="{service}",version="[^"]+"'
    assert re.search(rf"^ragtime_build_info{{{labels}}} 1\.0$", text, re.MULTILINE)
